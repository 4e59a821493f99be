"""Random drawing from a table, as often and with the same seeds as its search: what the search adds to luck."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

import numpy as np

from scalesearch.plain_data import PlainDict
from scalesearch.searchers import Search, SpaceTableProblem, TableProblem, search_result_of
from scalesearch.statistics import interval
from scalesearch.study.driver import Driver
from scalesearch.study.page import fragment
from scalesearch.study.step import Step
from scalesearch.study.steps import rows
from scalesearch.study.steps.random_control import DRAWN, Options
from scalesearch.study.study import Study
from scalesearch.trials import Jobs


@dataclass(frozen=True)
class TableControl:
    """Compares the search of a table with random drawing.

    Attributes:
        queries: Rows that random drawing looked up with every seed.
        finals: By seed, the final score of its best row.
        mean: The mean of these.
        interval: Half its 95 % interval over the seeds; None with one.
        median: The median final score of the table: a row taken blindly.
        improvement: The search's mean over that median, relative to it (Yang et al. 2020); None where it is 0.
        random_improvement: That of random drawing.
    """

    queries: int
    finals: dict[int, float]
    mean: float
    interval: float | None
    median: float
    improvement: float | None
    random_improvement: float | None


def count(study: Study) -> int:
    """Returns how many rows are drawn with every seed."""
    drawn = study.options(Options).random
    return study.options(rows.Options).trials if drawn is None else drawn


def control(run: Driver) -> TableControl | None:
    """Returns how the search compares with random drawing; None before both have found something."""
    problem, study = run.study.problem, run.study
    assert study.rows is not None
    assert isinstance(problem, TableProblem | SpaceTableProblem)
    final = problem.table.column(study.rows.columns.final or study.rows.columns.score, "table.final")
    results = {
        seed: search_result_of(run.log.of(DRAWN, seed), problem, study.evaluator.score, False) for seed in study.seeds
    }
    drawn = {
        seed: float(final[problem.row(result.best.decisions)]) for seed, result in results.items() if result.scored
    }
    finals = {seed: score for seed, score in drawn.items() if math.isfinite(score)}
    searched = [
        float(final[problem.row(search.best.decisions)])
        for search in rows.searches_by_seed(run).values()
        if search.scored
    ]
    searched = [score for score in searched if math.isfinite(score)]
    if not finals or not searched:
        return None
    middle = median(float(score) for score in np.asarray(final, dtype=float) if math.isfinite(score))

    def improvement(score: float) -> float | None:
        return (score - middle) / abs(middle) if middle else None

    scores = list(finals.values())
    average = mean(scores)
    return TableControl(
        count(study), finals, average, interval(scores), middle, improvement(mean(searched)), improvement(average)
    )


class RandomRows(Step):
    """Draws rows of a table at random, as often as the search looks rows up, once for each seed."""

    name = DRAWN
    title = "drawing rows at random"
    key = "control"
    options = Options
    trains = False
    may_end_early = True
    fragments = (fragment(112, __file__),)

    def read(self, value: Any) -> Options:
        """Returns the options; a study without the section has no control."""
        options = super().read(value)
        assert isinstance(options, Options)
        return Options(0) if value is None else options

    def jobs(self, run: Driver) -> Jobs:
        study = run.study
        for seed in study.seeds if count(study) else ():
            yield from Search(
                study.problem,
                study.evaluator.score,
                count(study),
                "random",
                DRAWN,
                seed,
                f"{seed}-{DRAWN}",
                study.parallel,
                label=f"{DRAWN}{seed}",
            ).jobs(run.log)

    def macs(self, study: Study, base_macs: float) -> list[float]:
        return [0.0] * (count(study) * len(study.seeds))

    def networks(self, study: Study) -> int:
        return count(study)

    def description(self, study: Study) -> str:
        return f"{count(study)} with every seed"

    def conclusions(self, run: Driver) -> PlainDict:
        found = control(run) if count(run.study) else None
        return {} if found is None else {"random": found}

    def notes(self, run: Driver) -> list[str]:
        """Returns a sentence that sets the search against random drawing."""
        found = control(run) if count(run.study) else None
        if found is None:
            return []
        half = "" if found.interval is None else f" ± {found.interval:.4f}"
        text = f"Random drawing of {found.queries} rows with the same seeds ends at {found.mean:.4f}{half}"
        if found.improvement is None or found.random_improvement is None:
            return [f"{text}."]
        gains = f"{found.improvement:+.2%} by the search, {found.random_improvement:+.2%} by drawing"
        return [f"{text}. Over the table's median of {found.median:.4f} that is {gains} (Yang et al. 2020)."]
