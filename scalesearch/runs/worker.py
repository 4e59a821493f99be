"""What does one job after another in a process of its own; whatever goes wrong with one is that one's failure."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scalesearch.arch import BLOCKS, Block
from scalesearch.runs.last_words import LastWords
from scalesearch.runs.mirror import Errand
from scalesearch.searchers import Evaluator, Job
from scalesearch.training import Place


class Worker:
    """Takes a job and gives its numbers step by step, a step being an epoch. `blocks` are a person's own, which the
    driving process has registered. Where the run's folder is elsewhere, it works in one of its own machine."""

    def __init__(self, evaluator: Evaluator, place: Place, blocks: Mapping[str, Block]):
        BLOCKS.update(blocks)
        self.errand = Errand(place.store) if place.store else None
        self.evaluator = evaluator
        self.place = replace(place, folder=self.errand.mirror.folder) if self.errand else place

    def take(self, job: Job) -> None:
        self.job = job
        if self.errand:
            self.errand.begin(job, self.place)
        self.tries: Iterator[dict[str, Any]] | None = None
        self.words = LastWords(self.place.last_words(job.key), self.place.timeout)

    def step(self) -> dict[str, Any]:
        """The numbers of an epoch, or as text what came of the job, and whether it is `done`."""
        try:
            tries = self.tries = self.tries or self.evaluator.tries(self.job, self.place)
            said = next(tries)
            if self.errand:
                self.errand.bring()
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
            said = {"outcome": {"reason": reason.replace("\n", " ")[:500]}}
        if "outcome" not in said:
            return {**said, "done": False}
        self.words.take_back()
        return {**said, "done": True, "outcome": json.dumps(said["outcome"])}  # Tune takes mappings apart
