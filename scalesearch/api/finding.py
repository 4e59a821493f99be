"""`ss.search`, whose result can be looked at: as a table, as a figure, in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalesearch.errors import format_count
from scalesearch.notebook import html_table
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.scaling import ScalingSpace
from scalesearch.searchers import DEFAULT, Problem, Result, Scheduler, SearchResult, results_frame, search as run_search
from scalesearch.space import Space

if TYPE_CHECKING:
    import pandas
    import plotly.graph_objects

SHOWN = 10  # results that a notebook shows


@dataclass(frozen=True, repr=False)
class Found(SearchResult):
    """The results of `search`: `best`, `front` and `volumes()`, as a table and as a figure."""

    @property
    def rows(self) -> list[PlainDict]:
        """Returns every result as a row: its number, score, costs by name, and decisions."""
        return [
            {"number": r.number, "score": r.score, **dict(zip(self.objectives, r.costs))}
            | {f"decision.{key}": value for key, value in r.decisions.items()}
            for r in self.results
        ]

    def frame(self) -> pandas.DataFrame:
        """Returns every result as a row of a table."""
        return results_frame(self.rows)

    def figure(self) -> plotly.graph_objects.Figure:
        """Returns the scores over the trials with the best so far; with objectives, over the first with the front."""
        from scalesearch.report import plotly_figure, search_figure

        scores = [None if r.early else r.score for r in self.results]
        return plotly_figure(search_figure(scores, [r.costs for r in self.results], self.objectives))

    def __repr__(self) -> str:
        best = f"; best {self.best.score:.6g} by number {self.best.number}" if self.scored else "; none has a score"
        return f"<Found {format_count(len(self.results), 'result')}{best}>"

    def _repr_html_(self) -> str:
        best = sorted(self.scored, key=lambda r: -(r.score or 0.0))[:SHOWN]
        columns = [{"number": r.number, "score": r.score, **dict(zip(self.objectives, r.costs))} for r in best]
        return html_table(repr(self)[1:-1], columns)


def search(
    space: Space | ScalingSpace | Problem,
    objective: Callable[..., Any] | None = None,
    *,
    trials: int,
    with_: str = DEFAULT,
    budget: PlainMapping | None = None,
    objectives: Sequence[str] = (),
    seed: int = 0,
    scheduler: Scheduler | PlainMapping | str | None = None,
    epochs: int = 1,
    log: str | Path | None = None,
    observer: Callable[[Result], None] = lambda result: None,
) -> Found:
    """Searches `trials` networks for the best score of `objective(arch)`, and returns the results.

    Args:
        space: A space, the scalings of a network (`ScalingSpace`), or a problem such as a table's.
        objective: The function that scores a network, large being good; None for a table, which has its scores.
        trials: The number of networks to try.
        with_: The searcher's name.
        budget: Bounds on counted quantities, such as `{"macs": "600M"}`; a table has its own.
        objectives: Counted quantities (`macs`, `params`, …) to be small at the same time.
        seed: The seed of all proposals.
        scheduler: A scheduler such as `{"with": "asha"}`. With one, the objective also gets the number of epochs,
            `objective(arch, epochs)`: few at first, and more in later calls for the best networks.
        epochs: The epochs of the last rung, for a scheduler.
        log: A file that gets every result as a line, synced to disk. A search that is called again with it goes
            on after its last line.
        observer: Called with every new result.

    Returns:
        The results. A trial fails if the objective raises or its score is not a finite number; the search goes
            on.

    Raises:
        InputError: For an unknown searcher, scheduler or quantity, a budget that nothing meets, a missing
            objective, or a log of another search.
        WorkFailed: If the first ten trials all fail, or all of fewer.
    """
    found = run_search(
        space,
        objective,
        trials=trials,
        with_=with_,
        budget=budget,
        objectives=objectives,
        seed=seed,
        scheduler=scheduler,
        epochs=epochs,
        log=log,
        observer=observer,
    )
    return Found(found.results, found.objectives, found.exhausted, found.problem)
