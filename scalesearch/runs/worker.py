"""Does one job after another in a process of its own; whatever goes wrong with a job becomes its
outcome.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from scalesearch.arch import BLOCKS, Block
from scalesearch.plain_data import PlainDict
from scalesearch.runs.failures import FailureNote, NoteUploader
from scalesearch.runs.mirror import JobFiles
from scalesearch.trials import Evaluator, Job, Place, Progress


class Worker:
    """Does jobs and returns their numbers epoch by epoch.

    If the run's folder is kept elsewhere, the worker works in a folder of its own machine.

    Args:
        evaluator: Does the jobs.
        place: The run's folder and the worker's resources.
        blocks: The user's own blocks, which the driving process has registered.
    """

    def __init__(self, evaluator: Evaluator, place: Place, blocks: Mapping[str, Block]):
        BLOCKS.update(blocks)
        self.evaluator, self.place = evaluator, place
        self.files = self.note_uploader = None
        if place.store:
            self.files = JobFiles(place.store)
            self.place = replace(place, folder=self.files.mirror.folder)
            self.note_uploader = NoteUploader(place.store, self.place.folder)

    def take(self, job: Job) -> None:
        """Begins another job."""
        self.job = job
        if self.files:
            self.files.download_inputs(job, self.place)
        self.reports: Iterator[Progress] | None = None
        self.note = FailureNote(self.place.failure_note(job.key), self.place.timeout)
        if self.note_uploader:
            self.note_uploader.watch(self.note.path)

    def step(self) -> PlainDict:
        """Returns the numbers of an epoch and whether the job is `done`; then also its outcome, as JSON."""
        try:
            self.reports = self.reports or self.evaluator.evaluate(self.job, self.place)
            report = next(self.reports)
            if self.files:
                self.files.upload_outputs()
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
            report = Progress(outcome={"reason": reason.replace("\n", " ")[:500]})
        if report.outcome is None:
            return {**report.numbers, "done": False}
        self.note.remove()
        return {**report.numbers, "done": True, "outcome": json.dumps(report.outcome)}  # Tune takes mappings apart
