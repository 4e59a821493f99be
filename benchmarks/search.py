"""Searchers on published tables: what they find, against the table's optimum and against each other, over many seeds.

    python benchmarks/search.py                                   # the tables beside the repository, default settings
    python benchmarks/search.py --table T.npz --decisions ops --score valid --final test --queries 100 200
    python benchmarks/search.py --table T.csv --decisions k1,k2 --score acc --budget 'flops<=60M' --numbers flops,params

Any .npz, .csv or .parquet will do: `--decisions` names its columns, or one array with a decision per entry. The
architecture with the best `--score` of those asked about is scored by `--final`. `--numbers` are columns that are known
without training. `--objective` names counted columns to be small beside the score: the hypervolume is printed then, as
a share of the whole table's.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from random import Random
from statistics import mean, median, pstdev

from scalesearch.errors import InputError
from scalesearch.searchers.problem import Past
from scalesearch.searchers.proposal import ask
from scalesearch.searchers.registry import DEFAULT, SEARCHERS
from scalesearch.searchers.table_problem import TableProblem
from scalesearch.searchers.tables import parse_bound, read_table
from scalesearch.statistics.pareto import hypervolume

SHARED = Path(__file__).parent.parent.parent / "shared" / "data" / "nas"
NASBENCH201 = {
    "table": SHARED / "nasbench201_cifar10.npz",
    "decisions": ["ops"],
    "score": "valid12",
    "final": "test200",
    "numbers": ["params", "flops"],
}
MACRO = {
    "table": SHARED / "nasbench_macro.npz",
    "decisions": ["arch"],
    "score": "test_acc",
    "final": "test_acc",
    "numbers": ["params", "flops"],
}
LARGEST = "the tenth with the most MACs"
FEW = [12, 16, 24, 48]
# name, table, queries, bounds, objectives
RUNS = [
    ("NAS-Bench-201, CIFAR-10", NASBENCH201, [*FEW, 100, 200, 300], [], []),
    ("NAS-Bench-201, 60 to 90M MACs", NASBENCH201, [*FEW, 100], ["flops>=60M", "flops<=90M"], []),
    ("NAS-Bench-Macro", MACRO, [*FEW, 100], [], []),
    ("NAS-Bench-Macro, 40 to 60M MACs", MACRO, [*FEW, 100], ["flops>=40M", "flops<=60M"], []),
    ("NAS-Bench-Macro, MACs ≤ 60M", MACRO, [*FEW, 100], ["flops<=60M"], []),
    ("NAS-Bench-Macro, accuracy and MACs", MACRO, [100], [], ["flops"]),
]


@cache
def problem_of(
    table: Path, decisions: tuple, score: str, numbers: tuple, bounds: tuple, objectives: tuple, same: str | None
):
    return TableProblem(read_table(table), decisions, score, objectives, numbers, dict(map(parse_bound, bounds)), same)


def one(job: tuple) -> tuple[list[float], list[float]]:
    """A search of one seed: the final score (or share of the hypervolume) after each number of queries, and seconds per
    query."""
    options, queries, searcher, final, seed = job
    problem = problem_of(*options)
    problem.memory.clear()
    outcome = problem.table.column(final, "--final")
    results, seen, seconds, found = [], set(), [], []
    for number in range(max(queries)):
        start, rng = time.perf_counter(), Random(f"{seed}-{number}")
        if searcher == LARGEST:
            decisions = from_the_largest(problem, rng, seen)
        else:
            asked = ask(problem, searcher, Past(results), rng, seen, (), 1 + len(problem.objectives))
            decisions = asked and asked.decisions
        seconds.append(time.perf_counter() - start)
        if decisions is None:
            break
        seen.add(problem.identity(decisions))
        results.append((decisions, problem.measured_score(decisions)))
        if number + 1 in queries:
            found.append(
                volume_share(problem, results) if problem.objectives else float(outcome[problem.row(best(results))])
            )
    return found + found[-1:] * (len(queries) - len(found)), seconds


def from_the_largest(problem: TableProblem, rng: Random, seen: set) -> dict | None:
    """A network drawn from the tenth of the table with the most MACs: what the counts alone are worth."""
    if "largest" not in problem.memory:
        macs = {row: sum(problem.sizes(problem.at_row(row))[-1:]) for row in problem.rows}
        problem.memory["largest"] = sorted(problem.rows, key=macs.__getitem__)[-max(1, len(problem.rows) // 10) :]
    left = [d for d in map(problem.at_row, problem.memory["largest"]) if problem.identity(d) not in seen]
    return rng.choice(left) if left else None


def best(results: list) -> dict:
    return max((r for r in results if r[1] is not None), key=lambda r: r[1])[0]


def point(problem: TableProblem, decisions: dict) -> tuple:
    return (problem.measured_score(decisions), *(-c for c in problem.costs(decisions)))


def volume_share(problem: TableProblem, results: list) -> float:
    if "volume" not in problem.__dict__:
        points = [point(problem, problem.at_row(row)) for row in problem.rows]
        reference = tuple(min(p[i] for p in points) for i in range(len(points[0])))
        problem.__dict__["volume"] = hypervolume(points, reference), reference
    whole, reference = problem.__dict__["volume"]
    return hypervolume([point(problem, decisions) for decisions, _ in results], reference) / whole


def table(
    name: str,
    options: tuple,
    queries: list[int],
    final: str,
    searchers: list[str],
    seeds: int,
    pool: ProcessPoolExecutor,
) -> None:
    problem = problem_of(*options)
    outcome = problem.table.column(final, "--final")
    optimum = "1" if problem.objectives else f"{max(outcome[row] for row in problem.rows):.3f}"
    print(f"\n**{name}**: {len(problem.rows):,} networks inside, optimum {optimum}, {seeds} seeds\n")
    print("| searcher | " + " | ".join(f"{q} queries" for q in queries) + " | ms a query, median | largest |")
    print("|---|" + "---|" * (len(queries) + 2))
    for searcher in searchers:
        runs = list(pool.map(one, [(options, queries, searcher, final, seed) for seed in range(seeds)]))
        cells = [f"{mean(column):.3f} ± {pstdev(column):.3f}" for column in zip(*(found for found, _ in runs))]
        every = [s for _, seconds in runs for s in seconds]
        bold = "**" if searcher == DEFAULT else ""
        print(
            f"| {bold}{searcher}{bold} | {' | '.join(cells)} | {median(every) * 1e3:.1f} | {max(every) * 1e3:.0f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--decisions", default="")
    parser.add_argument("--score")
    parser.add_argument("--final")
    parser.add_argument("--numbers", default="")
    parser.add_argument("--budget", action="append", default=[])
    parser.add_argument("--objective", action="append", default=[])
    parser.add_argument("--same", help="column: rows of equal value are one network")
    parser.add_argument("--queries", type=int, nargs="+", default=[100])
    parser.add_argument("--seeds", type=int, default=300)
    everyone = [DEFAULT, "tpe", LARGEST, "random", "evolution"]
    parser.add_argument("--searchers", nargs="+", choices=[*SEARCHERS, LARGEST], default=everyone)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()

    def names(text):
        return tuple(n for n in text.split(",") if n)

    with ProcessPoolExecutor(given.processes) as pool:
        if given.table:
            options = (
                given.table,
                names(given.decisions),
                given.score,
                names(given.numbers),
                tuple(given.budget),
                tuple(given.objective),
                given.same,
            )
            table(
                given.table.stem, options, given.queries, given.final or given.score, given.searchers, given.seeds, pool
            )
            return
        if not SHARED.exists():
            raise SystemExit(f"skipped: {SHARED} is not there; give a table with --table")
        for name, data, queries, bounds, objectives in RUNS:
            options = (
                data["table"],
                tuple(data["decisions"]),
                data["score"],
                tuple(data["numbers"]),
                tuple(bounds),
                tuple(objectives),
                None,
            )
            searchers = [*given.searchers, *(["nsga2"] if objectives and "nsga2" not in given.searchers else [])]
            table(name, options, queries, data["final"], searchers, given.seeds, pool)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
