"""The search of a table, once for each seed: nothing is trained, scores are looked up."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean

from scalesearch.errors import InputError, check_distinct, errors_at, format_count
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
PRINTED_COLUMNS = (
    "seed",
    "queries",
    "failed",
    "score",
    "final",
    "exhausted",
    "on front",
    "hypervolume",
    "hypervolume share",
)


@dataclass(frozen=True)
class Options:
    """Options of the search of a table.

    Attributes:
        with_: The searcher.
        trials: How many rows each seed looks up.
        objective: Columns to be minimised beside the score.
    """

    with_: str = DEFAULT
    trials: Count = 100
    objective: tuple[str, ...] = ()


def searches_by_seed(run: Driver) -> dict[int, SearchResult]:
    """Returns by seed what its search has found so far."""
    study, planned = run.study, run.study.options(Options).trials
    searches = {}
    for seed in study.seeds:
        trials = run.log.of(NAME, seed)
        exhausted = len(trials) < planned and not study.problem.has_unseen({t.network for t in trials})
        searches[seed] = search_result_of(trials, study.problem, study.evaluator.score, exhausted)
    return searches


def _table_volume(problem: TableProblem | SpaceTableProblem) -> tuple[float, tuple[float, ...]]:
    """Returns the hypervolume of the whole table's front and its reference point, the worst value of each objective.

    Both are empty for a space whose scores the table holds.
    """
    if not isinstance(problem, TableProblem):
        return 0.0, ()
    rows: Iterable[PlainDict] = map(problem.at_row, problem.rows)
    points = [
        (score, *(-c for c in problem.costs(decisions)))
        for decisions in rows
        if (score := problem.measured_score(decisions)) is not None
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
    printed_columns = PRINTED_COLUMNS
    fragments = (fragment(110, __file__),)

    def check(self, study: Study) -> None:
        assert study.rows is not None
        options = study.options(Options)
        with errors_at("search.with"):
            check_searcher(options.with_, 1 + len(options.objective))
        score = study.rows.columns.score
        if score in options.objective:
            raise InputError(
                f'holds the score "{score}"; takes the columns that are to be small beside it', "search.objective"
            )
        check_distinct(options.objective, "search.objective")
        assert study.problem is not None  # raises its own faults now

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
        planned = run.study.options(Options).trials
        return all(search.exhausted or len(search.results) == planned for search in searches_by_seed(run).values())

    def notes(self, run: Driver) -> list[str]:
        failed = [trial for trial in run.log.of(NAME) if not trial.done]
        sentences = []
        if failed:
            trials = format_count(len(run.log.of(NAME)), "trial")
            sentences.append(f"{len(failed)} of {trials} failed; the first: {failed[0].reason}.")
        problem, rows = run.study.problem, run.study.rows
        assert isinstance(problem, TableProblem | SpaceTableProblem)
        assert rows is not None
        table, score = problem.table, rows.columns.score
        if table.repetition_note:
            deviation = "the standard deviation between rows of one network"
            spread = f" ({score}: ± {table.spread[score]:.4g}, {deviation})" if score in table.spread else ""
            sentences.append(f"The table has {table.repetition_note}{spread}.")
        return sentences

    def conclusions(self, run: Driver) -> PlainDict:
        """Returns for each seed the network that its search ends with, its final score, and the mean over seeds."""
        rows: list[PlainDict] = []
        study, problem = run.study, run.study.problem
        assert study.rows is not None
        assert isinstance(problem, TableProblem | SpaceTableProblem)
        final = problem.table.column(study.rows.columns.final or study.rows.columns.score, "table.final")
        table_volume, reference = _table_volume(problem) if study.objectives else (0.0, ())
        for seed, search in ((seed, search) for seed, search in searches_by_seed(run).items() if search.scored):
            best = search.best
            final_score = float(final[problem.row(best.decisions)])
            row = {
                "seed": seed,
                "queries": len(search.results),
                "failed": len(search.results) - len(search.scored),
                "score": best.score,
                "final": final_score if math.isfinite(final_score) else None,
                "decisions": best.decisions,
                "exhausted": search.exhausted,
            }
            if search.objectives:
                points = [(r.score or 0.0, *(-c for c in r.costs)) for r in search.scored]
                row |= {
                    "on front": len(search.front),
                    "hypervolume": search.volumes()[-1],
                    "hypervolume share": hypervolume(points, reference) / table_volume if table_volume else None,
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
        mean_text = "–" if result["mean"] is None else f"{result['mean']:.4f}"
        if result["interval"]:
            mean_text += f" ± {result['interval']:.4f} (95 % interval over {len(result['rows'])} seeds)"
        meaning = "the final score of the network with the best score asked about"
        return f"{result['searcher']} on {rows.table.path.name}: {mean_text}, {meaning}."

    def macs(self, study: Study, base_macs: float) -> list[float]:
        return [0.0] * (study.options(Options).trials * len(study.seeds))

    def networks(self, study: Study) -> int:
        return study.options(Options).trials

    def description(self, study: Study) -> str:
        return f"{study.options(Options).with_} in {study.rows.table.path if study.rows else ''}"

    def require_result(self, run: Driver) -> None:
        for search in searches_by_seed(run).values():
            search.best  # noqa: B018  # raises where all failed
