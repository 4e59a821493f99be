"""Successive halving: which networks have earned more epochs. A function of the results so far, so it resumes by
replay.

Scores are compared within a rung alone: trained for as many epochs of the same schedule.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from scalesearch.errors import InputError, inside, shown, unknown
from scalesearch.plain_data import PlainMapping
from scalesearch.signature import Count, Rule, section
from scalesearch.statistics import sort_keys

SCHEDULERS = ("none", "asha", "hyperband")


@dataclass(frozen=True)
class Scheduler:
    """`with` none, asha (Li et al. 2020) or hyperband (Li et al. 2018, its brackets run side by side): of each rung the
    best 1/`eta` go on to `eta` times the epochs, from `min_epochs` on."""

    with_: str = "none"
    eta: Annotated[int, Rule(low=2, high=16)] = 3
    min_epochs: Count = 1

    def check(self) -> None:
        if self.with_ not in SCHEDULERS:
            raise InputError(unknown("scheduler", self.with_, SCHEDULERS), "with")

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """The epochs at which scores are compared, the last one all of them."""
        if self.with_ == "none":
            return (epochs,)
        steps = itertools.takewhile(lambda e: e < epochs, (self.min_epochs * self.eta**k for k in itertools.count()))
        return (*steps, epochs)

    def first_rung(self, candidate: int, rungs: int) -> int:
        """Where the candidate of that number starts: at the lowest, or by Hyperband's brackets in turn."""
        if self.with_ != "hyperband":
            return 0
        brackets = [math.ceil(rungs / (s + 1) * self.eta**s) for s in reversed(range(rungs))]
        place = candidate % sum(brackets)
        return next(i for i, upto in enumerate(itertools.accumulate(brackets)) if place < upto)


def scheduler_of(value: Scheduler | PlainMapping | str | None) -> Scheduler:
    """The scheduler that `{"with": "asha", "eta": 3}` names. Raises `InputError` at `scheduler` for none."""
    if isinstance(value, str):
        value = {"with": value}
    if value is not None and not isinstance(value, Scheduler | Mapping):
        raise InputError(f'takes {{"with": NAME, …}}, got {shown(value)}', "scheduler")
    scheduler = value if isinstance(value, Scheduler) else section(Scheduler, value, "scheduler")
    with inside("scheduler"):
        scheduler.check()
    return scheduler


Entry = tuple[int, int]  # a candidate's number and its rung


def promotion(
    entries: Sequence[Entry], results: Mapping[Entry, Sequence[float] | None], rungs: int, eta: int
) -> Entry | None:
    """The next promotion that the known results justify, from the highest rung down: a candidate among the best 1/`eta`
    of its rung, each objective to be maximised, that has not been sent on. None where there is none."""
    sent = set(entries)
    for rung in reversed(range(rungs - 1)):
        there = [(candidate, values) for (candidate, r), values in results.items() if r == rung and values is not None]
        for candidate in _best(there, len(there) // eta):
            if (candidate, rung + 1) not in sent:
                return candidate, rung + 1
    return None


def _best(there: Sequence[tuple[int, Sequence[float]]], count: int) -> Iterator[int]:
    keys = sort_keys([values for _, values in there])
    order = sorted(range(len(there)), key=lambda i: (keys[i], -there[i][0]), reverse=True)
    return (there[i][0] for i in order[:count])


def modelled_rung(results: Mapping[Entry, Any], rungs: int, enough: int) -> int:
    """The highest rung with `enough` scores to learn from, else the one with most."""
    counts = [sum(r == rung and values is not None for (_, r), values in results.items()) for rung in range(rungs)]
    full = [rung for rung in range(rungs) if counts[rung] >= enough]
    return max(full) if full else max(range(rungs), key=lambda rung: counts[rung])
