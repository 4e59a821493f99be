"""A step of a study: what it is told in the study's file, what it tries, what it concludes, what it says in the
report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scalesearch.searchers import Jobs, Problem
from scalesearch.signature import section

if TYPE_CHECKING:
    from scalesearch.study.driver import Driver
    from scalesearch.study.study import Study


def _nothing(*_: Any) -> Any:
    return None


@dataclass(frozen=True)
class Step:
    """A file of `steps/`, and a row of the table there.

    `jobs` are handed out when all results of the steps that it `needs` are known. `macs` lists what every network that
    it tries at most may count, given what the base may; `what` says in words what is tried. `key` names the section of
    a study's file that tells it its `options`, which other steps may read too; `check` raises `InputError` for what is
    wrong in them. `epochs` are fewer than the recipe's where a search says so, none where nothing is trained.
    """

    name: str
    title: str  # as progress says it
    jobs: Callable[[Driver], Jobs]
    macs: Callable[[Study, float], list[float]]
    what: Callable[[Study], str]
    needs: tuple[str, ...] = ()
    key: str = ""
    options: type | None = None
    listed: str = ""  # the one field of `options` whose value is the whole section, where that is a list
    check: Callable[[Study], None] = _nothing
    epochs: Callable[[Study], int | None] = _nothing
    trains: bool = True
    networks: Callable[[Study], int] | None = None  # where networks are tried several times, how many they are
    ended: Callable[[Driver], bool] = lambda run: True  # whether all is known that it must try
    concludes: Callable[[Driver], dict[str, Any]] = lambda run: {}
    lead: Callable[[Driver], str] = lambda run: ""  # the report's first sentence, if it has it
    says: Callable[[Driver], list[str]] = lambda run: []  # further sentences of the report
    tells: Callable[[Driver], list[str]] = lambda run: []  # lines for whoever waits, when it has ended
    printed: tuple[str, ...] = ()  # columns of its rows that a terminal shows
    stored: Callable[[Driver], Problem] | None = None  # of a search that Optuna's dashboard may show: what it tries

    def read(self, value: Any) -> Any:
        """The options in a section. Raises `InputError`, placed in it."""
        assert self.options is not None
        return section(self.options, {self.listed: value or ()} if self.listed else value, "" if self.listed
                       else self.key)
