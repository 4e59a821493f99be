"""The events of a run, as one stream that progress displays, storages and loggers observe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from scalesearch.trials.job import Job
from scalesearch.trials.trial import Trial


@dataclass(frozen=True)
class Event:
    """Something that happened in a run.

    Attributes:
        kind: `started` and `finished` are of a step, or of a trial where `job` or `trial` is given; `epoch` has a
            training's `numbers`; `message` has a line of `text` for whoever watches.
        step: Name of the step.
        job: The job that has started, or whose epoch has ended.
        trial: The trial that has finished.
        numbers: Losses and scores of an epoch by their keys.
        text: The line of a message.
        resumed: Whether the trial was finished by an earlier run of the same study.
        worker: The machine and process that an epoch was trained on, where that is known.
    """

    kind: Literal["started", "epoch", "finished", "message"]
    step: str = ""
    job: Job | None = None
    trial: Trial | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    text: str = ""
    resumed: bool = False
    worker: str = ""


Observer: TypeAlias = Callable[[Event], None]


def broadcast(observers: Iterable[Observer]) -> Observer:
    """Returns an observer that passes every event on to all of `observers`, in their order."""
    listeners = tuple(observers)

    def notify(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return notify
