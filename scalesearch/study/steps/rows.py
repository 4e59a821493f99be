"""The search of a table, once for each seed: nothing is trained, scores are looked up."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean

from scalesearch.errors import InputError, distinct, inside, numbered
from scalesearch.plain_data import PlainDict
from scalesearch.searchers import (
    DEFAULT,
    Search,
    SearchResult,
    SpaceTableProblem,
    TableProblem,
    check_searcher,
    search_result_of,
)
from scalesearch.signature import Count
from scalesearch.statistics import hypervolume, interval
from scalesearch.study.driver import Driver
from scalesearch.study.page import fragment
from scalesearch.study.step import Step
from scalesearch.study.study import Study
from scalesearch.trials import Jobs

NAME = "search"
PRINTED = ("seed", "queries", "failed", "score", "final", "exhausted", "on front", "hypervolume", "hypervolume share")


@dataclass(frozen=True)
class Options:
    """`with` which searcher, over how many rows; `objective` are columns to be small beside the score."""

    with_: str = DEFAULT
    trials: Count = 100
    objective: tuple[str, ...] = ()


def found(run: Driver) -> dict[int, SearchResult]:
    """By seed, what its search has found so far."""
    study, wanted = run.study, run.study.options(Options).trials
    searches = {}
    for seed in study.seeds:
        trials = run.log.of(NAME, seed)
        exhausted = len(trials) < wanted and not study.problem.has_unseen({t.network for t in trials})
        searches[seed] = search_result_of(trials, study.problem, study.evaluator.score, exhausted)
    return searches


def _whole_volume(problem: TableProblem | SpaceTableProblem) -> tuple[float, tuple[float, ...]]:
    """The hypervolume of the whole table's front over the table's worst in everything, and that worst."""
    if not isinstance(problem, TableProblem):
        return 0.0, ()
    rows: Iterable[PlainDict] = map(problem.at_row, problem.rows)
    points = [
        (score, *(-c for c in problem.costs(d))) for d in rows if (score := problem.measured_score(d)) is not None
    ]
    reference = tuple(map(min, zip(*points, strict=True)))
    return hypervolume(points, reference), reference


class TableSearch(Step):
    """Searches a table, once for each seed."""

    name = NAME
    title = "searching the table"
    key = "search"
    options = Options
    trains = False
    search_title = "search"
    printed = PRINTED
    fragments = (fragment(110, __file__),)

    def check(self, study: Study) -> None:
        assert study.rows is not None
        options = study.options(Options)
        with inside("search.with"):
            check_searcher(options.with_, 1 + len(options.objective))
        score = study.rows.columns.score
        if score in options.objective:
            raise InputError(
                f'holds the score "{score}"; takes the columns that are to be small beside it', "search.objective"
            )
        distinct(options.objective, "search.objective")
        assert study.problem is not None  # its own faults are told now

    def jobs(self, run: Driver) -> Jobs:
        study, options = run.study, run.study.options(Options)
        for seed in study.seeds:
            yield from Search(
                study.problem,
                study.evaluator.score,
                options.trials,
                options.with_,
                NAME,
                seed,
                str(seed),
                study.parallel,
                label=f"seed{seed}",
            ).jobs(run.log)

    def ended(self, run: Driver) -> bool:
        wanted = run.study.options(Options).trials
        return all(one.exhausted or len(one.results) == wanted for one in found(run).values())

    def notes(self, run: Driver) -> list[str]:
        failed = [trial for trial in run.log.of(NAME) if not trial.done]
        said = []
        if failed:
            said.append(f"{len(failed)} of {numbered(len(run.log), 'trial')} failed; the first: {failed[0].reason}.")
        problem, rows = run.study.problem, run.study.rows
        assert isinstance(problem, TableProblem | SpaceTableProblem)
        assert rows is not None
        table = problem.table
        if table.repetition_note:
            apart = table.spread.get(rows.columns.score)
            said.append(
                f"The table has {table.repetition_note}"
                + (
                    f" ({rows.columns.score}: ± {apart:.4g}, the standard deviation between rows of one network)."
                    if apart is not None
                    else "."
                )
            )
        return said

    def conclusions(self, run: Driver) -> PlainDict:
        """Returns per seed the network that the search ends with and its final score; over the seeds the mean."""
        rows: list[PlainDict] = []
        study, problem = run.study, run.study.problem
        assert study.rows is not None
        assert isinstance(problem, TableProblem | SpaceTableProblem)
        final = problem.table.column(study.rows.columns.final or study.rows.columns.score, "table.final")
        whole, reference = _whole_volume(problem) if study.objectives else (0.0, ())
        for seed, one in ((seed, one) for seed, one in found(run).items() if one.scored):
            best = one.best
            told = float(final[problem.row(best.decisions)])
            row = {
                "seed": seed,
                "queries": len(one.results),
                "failed": len(one.results) - len(one.scored),
                "score": best.score,
                "final": told if math.isfinite(told) else None,
                "decisions": best.decisions,
                "exhausted": one.exhausted,
            }
            if one.objectives:
                points = [(r.score or 0.0, *(-c for c in r.costs)) for r in one.scored]
                row |= {
                    "on front": len(one.front),
                    "hypervolume": one.volumes()[-1],
                    "hypervolume share": hypervolume(points, reference) / whole if whole else None,
                }
            rows.append(row)
        finals = [row["final"] for row in rows if row["final"] is not None]
        return {
            "searcher": study.options(Options).with_,
            "rows": rows,
            "mean": mean(finals) if finals else None,
            "interval": interval(finals) if finals else None,
        }

    def headline(self, run: Driver) -> str:
        result, rows = self.conclusions(run), run.study.rows
        assert rows is not None
        middle = "–" if result["mean"] is None else f"{result['mean']:.4f}"
        half = (
            f" ± {result['interval']:.4f} (95 % interval over {len(result['rows'])} seeds)"
            if result["interval"]
            else ""
        )
        of = "the final score of the network with the best score asked about"
        return f"{result['searcher']} on {rows.table.path.name}: {middle}{half}, {of}."

    def macs(self, study: Study, base_macs: float) -> list[float]:
        return [0.0] * (study.options(Options).trials * len(study.seeds))

    def networks(self, study: Study) -> int:
        return study.options(Options).trials

    def what(self, study: Study) -> str:
        return f"{study.options(Options).with_} in {study.rows.table.path if study.rows else ''}"

    def settle(self, run: Driver) -> None:
        for one in found(run).values():
            one.best  # noqa: B018  # raises where all failed
