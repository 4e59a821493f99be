"""The evaluator that trains networks. It imports torch only when there is a job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scalesearch.arch import Resolution
from scalesearch.data import Source
from scalesearch.trials import Fidelity, Job, Place, Progress, Recipe, Score, Task

if TYPE_CHECKING:
    from scalesearch.training.session import Session
    from scalesearch.training.team import Team


@dataclass(frozen=True)
class Training:
    """Trains networks on images under a recipe: an `Evaluator` for a study's jobs.

    Attributes:
        task: What the networks are for.
        data: The images and their labels; networks are adapted to their classes and channels.
        resolution: Pixels of a side, or height and width, that networks are adapted to.
        recipe: How networks are trained, unless a job has its own recipe.
        timed: Whether the latency of final networks is measured on the CPU.
        init: Whether trainings start from `weights/init.safetensors` of the run's folder.
        in_process: Whether jobs are so cheap that they need no worker process.
    """

    task: Task
    data: Source
    resolution: Resolution
    recipe: Recipe
    timed: bool = False
    init: bool = False
    in_process: bool = False

    @property
    def score(self) -> Score:
        """The task's score on the validation split."""
        return self.task.searched

    def fidelity(self, job: Job) -> Fidelity:
        """Returns the fidelity of a job: epochs trained, epochs of the schedule (`of`), data share, seed,
        resolution, and the trial whose weights it starts from.
        """
        arch, recipe = job.arch_and_recipe
        return {
            "epochs": job.until,
            "of": job.of if job.until else 0,
            "data_share": recipe.data_share,
            "seed": job.seed,
            "resolution": arch.resolution,
            "parent": job.parent,
        }

    def evaluate(self, job: Job, place: Place) -> Iterator[Progress]:
        """Trains the network of `job` and yields the numbers of every epoch; the last report has the outcome."""
        from scalesearch.training.team import team_of  # torch is paid for where training is done

        with team_of(job, place, self) as team:
            session = self.session(job, place, team)
            yield session.screen() if not job.until else session.epoch()
            while not session.ended:
                yield session.epoch()

    def session(self, job: Job, place: Place, team: Team) -> Session:
        """Returns the training of `job` by this process, which is one of `team`."""
        from scalesearch.training.session import Session

        return Session(job, place, self, team)
