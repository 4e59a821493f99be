"""A published table as what a study searches: its columns, and the rows inside the study's bounds."""

from __future__ import annotations

from dataclasses import dataclass

from scalesearch.budget import Budget
from scalesearch.errors import InputError, inside
from scalesearch.searchers import SpaceTableProblem, Table, TableProblem
from scalesearch.space import Space

# where a study has what a `TableProblem` is made of
PLACES = {key: f"table.{key}" for key in ("decisions", "score", "numbers", "same")} | {"objective": "search.objective"}


@dataclass(frozen=True)
class Columns:
    """The table's `file`, the columns that are `decisions`, and the one that is the `score` to be large.

    `final` scores the network that a search ends with (the same column by default), `numbers` are columns known without
    training, and rows of equal `same` are one network.
    """

    file: str
    score: str
    decisions: tuple[str, ...] = ()
    final: str | None = None
    numbers: tuple[str, ...] = ()
    same: str | None = None


@dataclass(frozen=True)
class Rows:
    """A table and what its columns are."""

    table: Table
    columns: Columns

    def problem(
        self, space: Space | None, budget: Budget, objectives: tuple[str, ...]
    ) -> TableProblem | SpaceTableProblem:
        """The table's rows inside the budget, or the networks of a space whose scores the table holds.

        Raises `InputError`, placed where a study has what is wrong.
        """
        columns = self.columns
        if space is not None:
            with inside("search.objective"):
                budget.check_measurable(objectives)
            return SpaceTableProblem(space, self.table, columns.score, budget, objectives)
        try:
            return TableProblem(
                self.table, columns.decisions, columns.score, objectives, columns.numbers, budget.bounds, columns.same
            )
        except InputError as error:
            raise InputError(error.message, PLACES.get(error.place, error.place)) from None
