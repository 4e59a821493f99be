"""Architectures sampled, costed and checked against a budget per second on one core: `python benchmarks/sampling.py`.

The peer in the last column draws from the same space with Optuna's random sampler (`study.ask` with fixed distributions)
and counts and checks the same way.
"""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import optuna

from scalesearch.counting import cost
from scalesearch.schema import load_space
from scalesearch.searchers.tpe import distribution
from scalesearch.study import Budget

SPACES = sorted((Path(__file__).parent.parent / "search_spaces").glob("*.yaml"))
BUDGET = Budget(macs=150_000_000)


def ours(space, n: int) -> tuple[float, int]:
    rng, inside, start = Random(0), 0, time.perf_counter()
    for _ in range(n):
        _, arch = space.sample(rng)
        inside += not BUDGET.broken_by(cost(arch))
    return n / (time.perf_counter() - start), inside


def optunas(space, n: int) -> float:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    distributions = {name: distribution(decision.domain) for name, decision in space.decisions.items()}
    start = time.perf_counter()
    for _ in range(n):
        arch = space._at(space.completed(study.ask(distributions).params))
        BUDGET.broken_by(cost(arch))
    return n / (time.perf_counter() - start)


def main() -> None:
    print("| space | architectures | ours, per second | inside the budget | Optuna's random sampler, per second | ratio |")
    print("|---|---|---|---|---|---|")
    for path in SPACES:
        space = load_space(path)
        ours(space, 2_000)
        rate, inside = ours(space, 20_000)
        theirs = optunas(space, 300)
        print(f"| {space.name} | {space.size:.3g} | {rate:,.0f} | {inside / 20_000:.1%} of 20,000 | {theirs:,.0f} | {rate / theirs:,.0f} |")


if __name__ == "__main__":
    main()
