"""A published table that a study searches: what its columns mean, and the problem that it poses."""

from __future__ import annotations

from dataclasses import dataclass

from scalesearch.budget import Budget
from scalesearch.errors import InputError, errors_at
from scalesearch.searchers import SpaceTableProblem, Table, TableProblem
from scalesearch.space import Space

# the place in a study of each argument of `TableProblem`
PLACES = {key: f"table.{key}" for key in ("decisions", "score", "numbers", "same")} | {"objective": "search.objective"}


@dataclass(frozen=True)
class Columns:
    """Names a table and its columns.

    Attributes:
        file: The table's file.
        score: The column to be maximised.
        decisions: The columns that are decisions.
        final: The column that scores the network that a search ends with; `score` by default.
        numbers: Columns that are known without training.
        same: A column that is equal in rows of the same network.
    """

    file: str
    score: str
    decisions: tuple[str, ...] = ()
    final: str | None = None
    numbers: tuple[str, ...] = ()
    same: str | None = None


@dataclass(frozen=True)
class Rows:
    """Holds a table and the meaning of its columns."""

    table: Table
    columns: Columns

    def problem(
        self, space: Space | None, budget: Budget, objectives: tuple[str, ...]
    ) -> TableProblem | SpaceTableProblem:
        """Returns the search over the table's rows inside the budget, or over a space whose scores the table holds.

        Raises:
            InputError: With its place in the study, for columns that are missing or unfit.
        """
        columns = self.columns
        if space is not None:
            with errors_at("search.objective"):
                budget.check_measurable(objectives)
            return SpaceTableProblem(space, self.table, columns.score, budget, objectives)
        try:
            return TableProblem(
                self.table, columns.decisions, columns.score, objectives, columns.numbers, budget.bounds, columns.same
            )
        except InputError as error:
            raise InputError(error.message, PLACES.get(error.place, error.place)) from None
