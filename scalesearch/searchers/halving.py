"""Successive halving: which networks are trained for more epochs.

Promotions are a function of the results so far, so a search resumes by replay. Scores are compared within a
rung alone: between networks trained for as many epochs of the same schedule.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from scalesearch.errors import InputError, errors_at, format_value, unknown_message
from scalesearch.plain_data import PlainMapping
from scalesearch.signature import Count, Rule, parse_section
from scalesearch.statistics import sort_keys

SCHEDULERS = ("none", "asha", "hyperband")


@dataclass(frozen=True)
class Scheduler:
    """Decides which networks go on to more epochs.

    Attributes:
        with_: `none`; `asha` (Li et al. 2020); or `hyperband` (Li et al. 2018), its brackets run side by side.
        eta: Of each rung the best 1/`eta` of the networks go on, to `eta` times the epochs.
        min_epochs: The epochs of the lowest rung.
    """

    with_: str = "none"
    eta: Annotated[int, Rule(low=2, high=16)] = 3
    min_epochs: Count = 1

    def check(self) -> None:
        """Raises `InputError` if the scheduler's name is unknown."""
        if self.with_ not in SCHEDULERS:
            raise InputError(unknown_message("scheduler", self.with_, SCHEDULERS), "with")

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Returns the epochs at which scores are compared, ascending; the last are `epochs`."""
        if self.with_ == "none":
            return (epochs,)
        rungs = (self.min_epochs * self.eta**k for k in itertools.count())
        return (*itertools.takewhile(lambda rung: rung < epochs, rungs), epochs)

    def first_rung(self, candidate: int, rungs: int) -> int:
        """Returns the rung at which a candidate starts: the lowest, or by Hyperband's brackets in turn.

        Args:
            candidate: The candidate's number, from 0.
            rungs: The number of rungs.
        """
        if self.with_ != "hyperband":
            return 0
        brackets = [math.ceil(rungs / (s + 1) * self.eta**s) for s in reversed(range(rungs))]
        position = candidate % sum(brackets)
        return next(i for i, upto in enumerate(itertools.accumulate(brackets)) if position < upto)


def scheduler_of(value: Scheduler | PlainMapping | str | None) -> Scheduler:
    """Returns the scheduler for a specification such as `{"with": "asha", "eta": 3}` or `"asha"`.

    Raises:
        InputError: At `scheduler`, for a specification that is none.
    """
    if isinstance(value, str):
        value = {"with": value}
    if value is not None and not isinstance(value, Scheduler | Mapping):
        raise InputError(f'takes {{"with": NAME, …}}, got {format_value(value)}', "scheduler")
    scheduler = value if isinstance(value, Scheduler) else parse_section(Scheduler, value, "scheduler")
    with errors_at("scheduler"):
        scheduler.check()
    return scheduler


Entry = tuple[int, int]  # a candidate's number, and its rung


def next_promotion(
    entries: Sequence[Entry], results: Mapping[Entry, Sequence[float] | None], rungs: int, eta: int
) -> Entry | None:
    """Returns the next promotion that the known results justify, or None; high rungs come first.

    A promotion is a candidate among the best 1/`eta` of its rung that is not yet at the next rung.

    Args:
        entries: Everything that was started, as pairs of candidate and rung.
        results: The objectives, each to be maximised, by candidate and rung; None where training failed.
        rungs: The number of rungs.
        eta: The reduction factor.
    """
    started = set(entries)
    for rung in reversed(range(rungs - 1)):
        rung_results = [
            (candidate, values) for (candidate, r), values in results.items() if r == rung and values is not None
        ]
        for candidate in _best(rung_results, len(rung_results) // eta):
            if (candidate, rung + 1) not in started:
                return candidate, rung + 1
    return None


def _best(rung_results: Sequence[tuple[int, Sequence[float]]], count: int) -> Iterator[int]:
    keys = sort_keys([values for _, values in rung_results])
    order = sorted(range(len(rung_results)), key=lambda i: (keys[i], -rung_results[i][0]), reverse=True)
    return (rung_results[i][0] for i in order[:count])


def modelled_rung(results: Mapping[Entry, Any], rungs: int, enough: int) -> int:
    """Returns the highest rung with at least `enough` scores to learn from, or else the rung with most scores."""
    counts = [sum(r == rung and values is not None for (_, r), values in results.items()) for rung in range(rungs)]
    sufficient = [rung for rung in range(rungs) if counts[rung] >= enough]
    return max(sufficient) if sufficient else max(range(rungs), key=lambda rung: counts[rung])
