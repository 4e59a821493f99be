"""A step of a study: what the study's file tells it, what it tries, concludes, and says in the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scalesearch.errors import InputError, shown
from scalesearch.searchers import Jobs, Problem
from scalesearch.signature import section

Asked = Any  # a `Study`; it is made of steps, so they don't name it here but where their functions are defined
Run = Any  # a `Driver`, likewise


def fewer_may_do(run: Run) -> bool:
    """Of steps that may try fewer than planned: whether they have ended is told by those after them."""
    return True


def _nothing(*_: Any) -> Any:
    return None


@dataclass(frozen=True)
class Step:
    """A file of `steps/`, and a row of the table there.

    `jobs` are handed out when all results of the steps that it `needs` are known. `macs` lists what every network that
    it tries at most may count, given what the base may; `what` says in words what is tried. `key` names the section of
    a study's file that tells it its `options`, which other steps may read too; `check` raises `InputError` for what is
    wrong in them. `epochs` are fewer than the recipe's where a search says so (`auto`: as few as the
    fidelity step finds enough), none where nothing is trained.
    """

    name: str
    title: str  # as progress says it
    jobs: Callable[[Run], Jobs]
    macs: Callable[[Asked, float], list[float]]
    what: Callable[[Asked], str]
    needs: tuple[str, ...] = ()
    key: str = ""
    options: type | None = None
    listed: str = ""  # the field of `options` that a section is where it is a list
    check: Callable[[Asked], None] = _nothing
    epochs: Callable[[Asked], int | str | None] = _nothing
    trains: bool = True
    costs: Callable[[Asked], list[tuple[float, float]]] | None = None  # MACs and activations, where they are known
    networks: Callable[[Asked], int] | None = None  # where networks are tried several times, how many they are
    # whether all is known that it tries; without it, as many as `macs` lists
    ended: Callable[[Run], bool] | None = None
    settled: Callable[[Run], object] | None = None  # of a search: raises `WorkFailed` where it found nothing
    concludes: Callable[[Run], dict[str, Any]] = lambda run: {}
    lead: Callable[[Run], str] = lambda run: ""  # the report's first sentence, if it has it
    says: Callable[[Run], list[str]] = lambda run: []  # further sentences of the report
    tells: Callable[[Run], list[str]] = lambda run: []  # lines for whoever waits, when it has ended
    enough: Callable[[Run], int] | None = None  # how many epochs `auto` is, of the step that finds it out
    printed: tuple[str, ...] = ()  # columns of its rows that a terminal shows
    stored: Callable[[Run], Problem] | None = None  # of a search that Optuna's dashboard may show: what it tries
    tested: bool = False  # whether its trials are scored on the test split too
    decided: tuple[str, ...] = ()  # what is decided of every trial of a step that is none, each a number

    def check_decisions(self, decisions: Mapping[str, Any]) -> None:
        """Raises `InputError` where what is `decided` is missing or no number."""
        for name in self.decided:
            if not isinstance(value := decisions.get(name), (int, float)):
                raise InputError(f"takes a number, got {shown(value)}", name)

    def read(self, value: Any) -> Any:
        """The options in a section. Raises `InputError`, placed in it."""
        assert self.options is not None
        listed = self.listed and not isinstance(value, Mapping)
        return section(self.options, {self.listed: value or ()} if listed else value, "" if listed else self.key)
