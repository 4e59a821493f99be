"""Training as a way to score networks: what a study says of it. Imports no torch before a job is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scalesearch.arch import Resolution
from scalesearch.data import Source
from scalesearch.training.recipe import Place, Recipe
from scalesearch.training.tasks import Score, Task


@dataclass(frozen=True)
class Training:
    """Training on images under a recipe: an evaluator for a study's jobs.

    Networks are brought to `resolution` and to the classes and channels of the data. `timed` says whether final
    networks are timed on the CPU too.
    """

    task: Task
    data: Source
    resolution: Resolution
    recipe: Recipe
    timed: bool = False
    init: bool = False  # whether trainings start from `weights/init.safetensors` of the run's folder
    here: bool = False  # whether a try is so cheap that it needs no worker of its own

    @property
    def score(self) -> Score:
        return self.task.searched

    def fidelity(self, job: Any) -> dict[str, Any]:
        """Epochs trained, `of` how many the schedule has, data share, seed, resolution, and the trial whose weights it
        started from."""
        return {
            "epochs": job.until,
            "of": job.of if job.until else 0,
            "data_share": job.recipe.data_share,
            "seed": job.seed,
            "resolution": job.arch.resolution,
            "parent": job.parent,
        }

    def tries(self, job: Any, place: Place) -> Iterator[dict[str, Any]]:
        """The numbers of every epoch of `job` (a `Job` with a recipe), the last one's with its outcome."""
        from scalesearch.training.team import team_of  # torch is paid for where training is done

        with team_of(job, place, self) as team:
            session = self.session(job, place, team)
            yield {"outcome": session.screened()} if not job.until else session.epoch()
            while not session.ended:
                yield session.epoch()

    def session(self, job: Any, place: Place, team: Any) -> Any:
        """The training of `job` by this process, one of a team."""
        from scalesearch.training.session import Session

        return Session(job, place, self.data, self.task.name, self.timed, self.init, team)
