"""The verification of a run: what it says that it tried is decided again from its seeds, and some trained again."""

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
from scalesearch.runs.images import keep_data
from scalesearch.study import Driver, Study, load_study
from scalesearch.trials import Job, Key, Place, Trial, TrialLog, outcome_of, trial_of
from scalesearch.typed_json import plain

UNSTEADY = ("latency",)  # scores that no two runs share


@dataclass(frozen=True)
class Verdict:
    """A trial trained again: whether network and recipe are those that the log names, and by how much its scores are
    off at most; `fault` says in words what is wrong, if anything."""

    name: str
    step: str
    seed: int
    network: bool
    recipe: bool
    off: float | None
    fault: str = ""


@dataclass(frozen=True)
class Verification:
    """A run's folder with its study, its log, and the images that it was of.

    Raises `InputError` where there is no run, and where its images have changed.
    """

    folder: Path
    study: Study
    log: TrialLog

    @staticmethod
    def of(folder: Path) -> Verification:
        if not (folder / "study.yaml").exists():
            raise InputError("is no run's folder: it has no study.yaml", str(folder))
        check_run(folder)
        study = load_study(folder / "study.yaml")
        if study.training is None:
            raise InputError("is a run over a table: nothing was trained", str(folder))
        keep_data(study.training.data, study.document.get("data", ""), folder)
        return Verification(folder, study, TrialLog(folder / "trials.jsonl", {"study": study.digest}, repair=False))

    @cached_property
    def replayed(self) -> dict[Key, Job]:
        """By key the jobs that the study's seeds lead to, as far as the log has their results."""
        driver, jobs = Driver(self.study, TrialLog()), {}
        while isinstance(job := driver.next(), Job) and job.key in self.log.trials:
            jobs[job.key] = job
            driver.log.append(self.log.trials[job.key])
        return jobs

    @cached_property
    def strangers(self) -> list[str]:
        """Names of the trials of the log that its study would not have tried, or not so."""
        return [
            trial.name for trial in self.log if (job := self.replayed.get(trial.key)) is None or not _is_of(trial, job)
        ]

    @property
    def same_machine(self) -> bool:
        """Whether the run was on a machine of this kind with the same libraries, so that its numbers are the same."""
        try:
            return cast(bool, plain((self.folder / "summary.json").read_bytes())["environment"] == environment())
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def sample(self, count: int, seed: int) -> list[Job]:
        """Returns randomly drawn trained trials, but for those whose parent's or teacher's weights are gone."""
        available = [
            job
            for key, job in self.replayed.items()
            if self.log.trials[key].done
            and job.until
            and all((self.folder / path).exists() for path in job.needed_files)
        ]
        return Random(seed).sample(available, min(count, len(available)))

    def again(self, jobs: list[Job], tolerance: float) -> Iterator[Verdict]:
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
        whole = replace(job, start=0, weights="", checkpoint="")
        outcome = outcome_of(self.study.evaluator, whole, place)
        found, logged = trial_of(whole, outcome, self.study.evaluator), self.log.trials[job.key]
        network, recipe = found.network == logged.network, found.recipe == logged.recipe
        off = _off(found, logged)
        fault = found.reason or ("another network" if not network else "another recipe" if not recipe else "")
        if not fault and off is not None and off > tolerance:
            fault = f"its scores are up to {off:.2g} off"
        return Verdict(job.name, job.step, job.seed, network, recipe, off, fault)


def _off(found: Trial, logged: Trial) -> float | None:
    keys = [key for key in logged.scores if key not in UNSTEADY]
    if any(key not in found.scores for key in keys):
        return None
    return max((abs(found.scores[key] - logged.scores[key]) for key in keys), default=0.0)


def _is_of(trial: Trial, job: Job) -> bool:
    """Whether what the log says was tried is what the job asks for."""
    asked = replace(
        trial,
        network=job.network,
        decisions=dict(job.decisions),
        cost=dict(job.cost),
        arch=job.arch.to_dict() if job.arch else {},
        recipe=job.recipe.digest if job.recipe else "",
    )
    return json.dumps(asked.to_dict()) == json.dumps(trial.to_dict())
