"""Architectures drawn inside a budget, counted and checked: ours, one core, against Optuna's random sampler with the
same checks.

Without a band both draw and refuse; inside a band of MACs ours draws along counted costs and the peer goes on refusing.
"""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import optuna

from scalesearch.budget.bounds import Budget, budget_from_dict
from scalesearch.budget.feasibility import Feasible
from scalesearch.searchers.bayes import distribution
from scalesearch.space.schema import load_space
from scalesearch.space.space import Space

SPACE = Path(__file__).parent.parent / "search_spaces" / "mbconv.yaml"
BUDGETS = ["≤ 150M", "297M..303M", "≤ 20M", "≤ 16M"]
SECONDS = 20


def ours(space: Space, budget: Budget, n: int) -> tuple[float, float]:
    """Feasible networks a second, the first one's preparation left out and told in seconds."""
    feasible, rng = Feasible(space, budget), Random(0)
    start = time.perf_counter()
    feasible.draw(rng)
    prepared = time.perf_counter()
    for _ in range(n):
        assert budget.admits(space.at_unchecked(feasible.draw(rng)))
    return n / (time.perf_counter() - prepared), prepared - start


def optunas(space: Space, budget: Budget) -> tuple[float, int]:
    """Feasible networks a second and how many were drawn in all."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions = {name: distribution(decision.domain) for name, decision in space.decisions.items()}
    start, inside, drawn = time.perf_counter(), 0, 0
    while inside < 200 and time.perf_counter() - start < SECONDS:
        if drawn % 1_000 == 0:  # Optuna slows down as its study grows
            study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=drawn))
        inside += budget.admits(space.at_unchecked(space.completed(study.ask(distributions).params)))
        drawn += 1
    return inside / (time.perf_counter() - start), drawn


def main() -> None:
    space = load_space(SPACE)
    print(
        "| MACs | share of the space | ours, feasible per second | prepared in | Optuna's random sampler, feasible "
        "per second | ratio |"
    )
    print("|---|---|---|---|---|---|")
    for written in BUDGETS:
        budget = budget_from_dict({"macs": written})
        share = Feasible(space, budget).share(Random(0))[0]
        rate, prepared = ours(space, budget, 2_000)
        theirs, drawn = optunas(space, budget)
        other = f"{theirs:,.1f}" if theirs else f"none in {drawn:,}"
        ratio = f"{rate / theirs:,.0f}" if theirs else "–"
        print(f"| {written} | {share:.2g} | {rate:,.0f} | {prepared:.2f} s | {other} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
