"""Searchers on tables that have few of all networks: `python benchmarks/sparse.py` (`pip install smac` for that peer).

Most networks one decision away are no rows of such a table. The tables: a random twentieth of NAS-Bench-Macro and of
NAS-Bench-201, and 5,000 networks of the MBConv space, scored by a smooth function of their counts and kernels. The
peers are Optuna's TPE and GP samplers and SMAC, with their defaults; as they know nothing of rows, each of their
proposals becomes the row nearest to it that was not asked about yet, and that row is what they are told of.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import math
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from random import Random
from statistics import mean, median, pstdev

import numpy as np
import optuna
from search import MACRO, NASBENCH201, SHARED, best, volume_share

from scalesearch.counting import cost
from scalesearch.searchers.problem import Past
from scalesearch.searchers.proposal import ask
from scalesearch.searchers.table_problem import TableProblem
from scalesearch.searchers.tables import Table, read_table
from scalesearch.space import load_space

SPACE = Path(__file__).parents[1] / "search_spaces" / "mbconv.yaml"
OURS = ("predictor", "evolution", "local", "random")
SHARE, NETWORKS = 0.05, 5_000


@cache
def problem_of(name: str) -> TableProblem:
    if name == "mbconv":
        table = mbconv()
        decisions = [column for column in table.columns if column not in ("score", "params", "macs")]
        return TableProblem(table, decisions, "score", numbers=["params", "macs"])
    data = NASBENCH201 if name == "nasbench201" else MACRO
    whole = read_table(data["table"])
    rows = np.sort(np.random.default_rng(0).choice(len(whole), int(len(whole) * SHARE), replace=False))
    table = Table(whole.path, {column: values[rows] for column, values in whole.columns.items()})
    objectives = ("flops",) if name == "macro, accuracy and MACs" else ()
    return TableProblem(table, data["decisions"], data["score"], objectives, data["numbers"])


def mbconv() -> Table:
    """Accuracy grows with MACs, ever less, with the mean kernel and a little with params; noise of 0.05."""
    space, rng = load_space(SPACE), Random(1)
    drawn = [space.sample(rng) for _ in range(NETWORKS)]
    costs = [cost(arch) for _, arch in drawn]

    def standard(values):
        return (np.array(values) - np.mean(values)) / np.std(values)

    macs, params = (standard([math.log(getattr(c, of)) for c in costs]) for of in ("macs", "params"))
    kernels = standard([mean(float(v) for name, v in d.items() if "kernel" in name) for d, _ in drawn])
    score = 60 + 3 * macs - 0.6 * (macs - 1) ** 2 + 1.2 * kernels + 0.7 * np.tanh(params)
    score += np.random.default_rng(3).normal(0, 0.05, NETWORKS)
    columns = {name: np.array([str(d.get(name, "-")) for d, _ in drawn]) for name in space.decisions}
    return Table(
        Path("mbconv"),
        {
            **columns,
            "score": score,
            "params": np.array([c.params for c in costs]),
            "macs": np.array([c.macs for c in costs]),
        },
    )


# Each yields decisions, and is sent the score (and the costs) of the row that they became, with that row's decisions.
Proposals = Iterator[dict]


def optunas(sampler: Callable[[int], optuna.samplers.BaseSampler]) -> Callable[[TableProblem, int], Proposals]:
    def propose(problem: TableProblem, seed: int) -> Proposals:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        directions = ["maximize", *["minimize"] * len(problem.objectives)]
        study = optuna.create_study(directions=directions, sampler=sampler(seed))
        domains = {
            name: optuna.distributions.CategoricalDistribution(d.domain.options)
            for name, d in problem.decisions.items()
        }
        while True:
            trial = study.ask(domains)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            decisions, values = yield trial.params
            study.add_trial(optuna.trial.create_trial(params=decisions, distributions=domains, values=values))

    return propose


def smacs(problem: TableProblem, seed: int) -> Proposals:
    from ConfigSpace import Categorical, Configuration, ConfigurationSpace
    from smac import HyperparameterOptimizationFacade, Scenario
    from smac.runhistory.dataclasses import TrialInfo, TrialValue

    logging.getLogger("smac").setLevel(logging.ERROR)
    space = ConfigurationSpace(seed=seed)
    space.add([Categorical(name, list(d.domain.options)) for name, d in problem.decisions.items()])
    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(space, deterministic=True, n_trials=10**6, seed=seed, output_directory=Path(folder))

        def unused(config, seed=0):
            return 0.0

        facade = HyperparameterOptimizationFacade(scenario, unused, overwrite=True, logging_level=logging.ERROR)
        while True:
            info = facade.ask()
            decisions, values = yield dict(info.config)
            there = TrialInfo(Configuration(space, values=decisions), seed=info.seed)
            facade.tell(there, TrialValue(cost=-values[0]), save=False)


PEERS = {
    "Optuna TPE": optunas(lambda seed: optuna.samplers.TPESampler(seed=seed)),
    "Optuna GP": optunas(lambda seed: optuna.samplers.GPSampler(seed=seed)),
    "SMAC": smacs,
}


def one(job: tuple) -> tuple[float, float]:
    """The best score found (or the share of the hypervolume) in so many queries, and the seconds a query took."""
    name, searcher, queries, seed = job
    warnings.simplefilter("ignore")
    problem = problem_of(name)
    problem.memory.clear()
    start = time.perf_counter()
    results = ours(problem, searcher, queries, seed) if searcher in OURS else peers(problem, searcher, queries, seed)
    seconds = (time.perf_counter() - start) / queries
    return volume_share(problem, results) if problem.objectives else problem.measured_score(best(results)), seconds


def ours(problem: TableProblem, searcher: str, queries: int, seed: int) -> list:
    results, seen = [], set()
    for number in range(queries):
        asked = ask(problem, searcher, Past(results), Random(f"{seed}-{number}"), seen, (), 1 + len(problem.objectives))
        seen.add(asked.identity)
        results.append((asked.decisions, problem.measured_score(asked.decisions)))
    return results


def peers(problem: TableProblem, searcher: str, queries: int, seed: int) -> list:
    proposals, results, left = PEERS[searcher](problem, seed), [], list(problem.all_decisions)
    proposed = next(proposals)
    for _ in range(queries):
        row = min(left, key=lambda d: sum(d[name] != value for name, value in proposed.items()))
        left.remove(row)
        results.append((row, problem.measured_score(row)))
        proposed = proposals.send((row, [results[-1][1], *problem.costs(row)]))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--tables", nargs="+", default=["macro", "nasbench201", "mbconv", "macro, accuracy and MACs"])
    given = parser.parse_args()
    if not SHARED.exists():
        raise SystemExit(f"skipped: {SHARED} is not there")
    searchers = [*OURS, *(name for name in PEERS if name != "SMAC" or importlib.util.find_spec("smac"))]
    with ProcessPoolExecutor(given.processes) as pool:
        for name in given.tables:
            problem, queries = problem_of(name), 100 if name == "mbconv" else 50
            optimum = 1 if problem.objectives else max(problem.measured_score(d) for d in problem.all_decisions)
            print(f"\n| {name}: {len(problem.rows):,} rows, optimum {optimum:.6g} | {queries} queries | ms a query |")
            print("|---|---|---|")
            for searcher in searchers:
                if searcher == "SMAC" and problem.objectives:
                    continue  # its weighted sums need weights that nobody gave
                found, seconds = zip(*pool.map(one, [(name, searcher, queries, seed) for seed in range(given.seeds)]))
                cells = f"{mean(found):.3f} ± {pstdev(found):.3f} | {median(seconds) * 1e3:.0f}"
                print(f"| {searcher} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
