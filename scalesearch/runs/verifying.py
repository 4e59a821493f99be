"""The verification of a run: its trials are derived again from the study's seeds, and some are trained
again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import cast

from scalesearch.errors import InputError
from scalesearch.files import process_folder
from scalesearch.report import environment
from scalesearch.runs.folder import check_run
from scalesearch.runs.images import prepare_data
from scalesearch.study import Driver, Study, load_study
from scalesearch.trials import Job, Key, Place, Trial, TrialLog, outcome_of, trial_of
from scalesearch.typed_json import load_json

NOT_COMPARED = ("latency",)  # scores that differ from run to run


@dataclass(frozen=True)
class Verdict:
    """The result of training a trial again.

    Attributes:
        name: The trial's network.
        step: Its step.
        seed: Its seed.
        network: Whether the network is the one in the log.
        recipe: Whether the recipe is the one in the log.
        off: The largest difference between the scores and those in the log; None if one is missing.
        fault: What is wrong, in words; empty if nothing is.
    """

    name: str
    step: str
    seed: int
    network: bool
    recipe: bool
    off: float | None
    fault: str = ""


@dataclass(frozen=True)
class Verification:
    """A run's folder with its study and its log."""

    folder: Path
    study: Study
    log: TrialLog

    @staticmethod
    def of(folder: Path) -> Verification:
        """Returns the verification of the run in a folder.

        Raises:
            InputError: If there is no run of trainings, or its images have changed.
        """
        if not (folder / "study.yaml").exists():
            raise InputError("is no run's folder: it has no study.yaml", str(folder))
        check_run(folder)
        study = load_study(folder / "study.yaml")
        if study.training is None:
            raise InputError("is a run over a table: nothing was trained", str(folder))
        prepare_data(study.training.data, study.document.get("data", ""), folder)
        return Verification(folder, study, TrialLog(folder / "trials.jsonl", {"study": study.digest}, repair=False))

    @cached_property
    def replayed(self) -> dict[Key, Job]:
        """Returns by key the jobs that the study's seeds lead to, as far as the log has their results."""
        driver, jobs = Driver(self.study, TrialLog()), {}
        while isinstance(job := driver.next(), Job) and job.key in self.log.trials:
            jobs[job.key] = job
            driver.log.append(self.log.trials[job.key])
        return jobs

    @cached_property
    def foreign_trials(self) -> list[str]:
        """Returns the names of the log's trials that its study would not have tried, or not in this way."""
        return [
            trial.name
            for trial in self.log
            if (job := self.replayed.get(trial.key)) is None or not _matches(trial, job)
        ]

    @property
    def same_machine(self) -> bool:
        """Returns whether the run was made in an environment equal to this one, so that its numbers should be
        equal too.
        """
        try:
            return cast(bool, load_json((self.folder / "summary.json").read_bytes())["environment"] == environment())
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def sample(self, count: int, seed: int) -> list[Job]:
        """Returns up to `count` randomly drawn jobs of trained trials whose parent's and teacher's weights are
        still there.
        """
        available = [
            job
            for key, job in self.replayed.items()
            if self.log.trials[key].done
            and job.until
            and all((self.folder / path).exists() for path in job.needed_files)
        ]
        return Random(seed).sample(available, min(count, len(available)))

    def retrain(self, jobs: list[Job], tolerance: float) -> Iterator[Verdict]:
        """Trains each job again, from its first epoch, in a folder that is removed afterwards.

        Args:
            jobs: What is trained again.
            tolerance: By how much scores may differ from those in the log.
        """
        for job in jobs:
            with process_folder("scalesearch-verify") as scratch:
                yield self._verdict(job, scratch, tolerance)

    def _verdict(self, job: Job, scratch: Path, tolerance: float) -> Verdict:
        resources = self.study.ray
        for path in job.needed_files:
            (scratch / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.folder / path, scratch / path)
        place = Place(scratch, max(1, int(resources.cpus_per_trial)), resources.gpus_per_trial > 0)
        full_job = replace(job, start=0, weights="", checkpoint="")
        outcome = outcome_of(self.study.evaluator, full_job, place)
        repeated, logged = trial_of(full_job, outcome, self.study.evaluator), self.log.trials[job.key]
        network, recipe = repeated.network == logged.network, repeated.recipe == logged.recipe
        difference = _largest_difference(repeated, logged)
        fault = repeated.reason or ("another network" if not network else "another recipe" if not recipe else "")
        if not fault and difference is not None and difference > tolerance:
            fault = f"its scores are up to {difference:.2g} off"
        return Verdict(job.name, job.step, job.seed, network, recipe, difference, fault)


def _largest_difference(repeated: Trial, logged: Trial) -> float | None:
    keys = [key for key in logged.scores if key not in NOT_COMPARED]
    if any(key not in repeated.scores for key in keys):
        return None
    return max((abs(repeated.scores[key] - logged.scores[key]) for key in keys), default=0.0)


def _matches(trial: Trial, job: Job) -> bool:
    """Returns whether the trial that the log holds is the one that the job asks for."""
    expected = replace(
        trial,
        network=job.network,
        decisions=dict(job.decisions),
        cost=dict(job.cost),
        arch=job.arch.to_dict() if job.arch else {},
        recipe=job.recipe.digest if job.recipe else "",
    )
    return json.dumps(expected.to_dict()) == json.dumps(trial.to_dict())
