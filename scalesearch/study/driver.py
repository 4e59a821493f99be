"""What a study tries, in which order: jobs out, results in. It knows no Ray, so it runs and is tested without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from scalesearch.errors import InputError, WorkFailed
from scalesearch.searchers import WAIT, Job, Jobs, Key, Trial, TrialLog, Wait, compared, trial_of
from scalesearch.study.planning import STAGES, check_enough, planned, replanned
from scalesearch.study.step import Step
from scalesearch.study.study import AUTO, Study
from scalesearch.training import Recipe

T = TypeVar("T")


class Driver:
    """Hands out the jobs of a study and takes their results into the log. `study` is what was `asked` for, with a plan
    for its hours as far as there is one.

    `next()` gives a job, `WAIT` while results are missing that the next one needs, or None at the end. `told` is called
    with every trial that is logged. `memory` keeps what steps have worked out from results that won't change.
    """

    alone = True  # no other driver tries jobs of the same run

    def __init__(
        self,
        study: Study,
        log: TrialLog,
        told: Callable[[Trial], None] = lambda trial: None,
        clock: Callable[[], float] = lambda: 0.0,
    ):
        self.asked, self.log, self.told, self.clock = study, log, told, clock
        self.study = replanned(study, log)
        self.memory: dict[Any, Any] = {}
        self._asked: list[Key] = []
        self._jobs = self._all_steps()

    def next(self) -> Job | Wait | None:
        return next(self._jobs, None)

    def finish(self, job: Job, outcome: Mapping[str, Any]) -> Trial:
        """Log what came of `job`, as `trial_of` has it."""
        trial = replace(trial_of(job, outcome, self.study.evaluator), at=round(self.clock(), 3))
        return self.keep(trial)

    def keep(self, trial: Trial) -> Trial:
        self.log.append(trial)
        self.told(trial)
        return trial

    def _all_steps(self) -> Jobs:
        for step in self.study.steps:
            yield from self._all_known(step.needs)
            if self.asked.hours and step.name in STAGES:
                check_enough(self.asked, self.log)
                self.study = planned(self.asked, self.log, step.name)[0]
            for job in step.jobs(self):
                if isinstance(job, Job):
                    self._asked.append(job.key)
                yield job
        yield from self._all_known(tuple(step.name for step in self.study.steps))

    def _all_known(self, steps: tuple[str, ...]) -> Iterator[Wait]:
        while not all(key in self.log.trials for key in self._asked if key[0] in steps):
            yield WAIT

    def check(self) -> None:
        """Raises `InputError`, placed in the log, for a trial that its step can't have tried, or not so."""
        for step in self.study.steps:
            trials = self.log.of(step.name)
            problem = step.stored(self) if step.stored and trials else None
            for trial in trials:
                with self.log.line(trial, "decisions"):
                    if problem is not None:
                        problem.check(trial.decisions)
                    step.check_decisions(trial.decisions)
                with self.log.line(trial, "scores"):
                    self._check_scores(step, trial)

    def _check_scores(self, step: Step, trial: Trial) -> None:
        wanted = [self.study.evaluator.score.key] if step.trains and trial.fidelity.get("epochs", 1) else []
        wanted += [self.study.trained.task.tested.key] if step.tested else []
        if trial.done and (missing := next((key for key in wanted if key not in trial.scores), None)):
            raise InputError("is missing, and the trial is done", missing)

    # What steps are made with.

    def recipe_of(self, step: str) -> Recipe:
        """The recipe of a step; with `epochs: auto`, for as many epochs as the fidelity step has found enough."""
        recipe = self.study.recipe_of(step)
        asked = next((s.epochs(self.study) for s in self.study.steps if s.name == step), None)
        enough = next((s.enough for s in self.study.steps if s.enough), None)
        return replace(recipe, epochs=enough(self)) if asked == AUTO and enough else recipe

    def once(self, job: Job) -> Iterator[Job]:
        """The job, if its result is not known."""
        if job.key not in self.log.trials:
            yield job

    def remembered(self, key: Any, make: Callable[[], T]) -> T:
        if key not in self.memory:
            self.memory[key] = make()
        return self.memory[key]

    def final(self, step: str) -> list[Trial]:
        """A search's trials that were trained to the end, alike. Raises `WorkFailed` where none succeeded."""
        done = self._ended(step)
        if not done:
            trials = self.log.of(step)
            reason = next((t.reason for t in trials if t.reason), "no network was found")
            raise WorkFailed(
                f"none of the {len(trials)} trials of the {step} search came to the end of its training: {reason}"
            )
        return done

    def best(self, step: str) -> Trial:
        """The step's best trial, of those trained to the end. Raises `WorkFailed` where none succeeded."""
        return max(self.final(step), key=self.rank)

    def has_best(self, step: str) -> bool:
        return bool(self._ended(step))

    def _ended(self, step: str) -> list[Trial]:
        def ended():
            return compared((t for t in self.log.of(step) if not t.early), self.study.evaluator.score)

        return self.log.standing(("ended", step), ended)

    def rank(self, trial: Trial) -> tuple[float, float]:
        return self.study.evaluator.score.rank(trial.scores)

    def score(self, trial: Trial) -> float:
        """What a trial that has one scored, large being good."""
        value = self.study.evaluator.score.of(trial.scores)
        assert value is not None, trial.name
        return value

    @property
    def trials(self) -> list[Trial]:
        """Everything logged, in the order of steps and numbers; of a table, seed by seed."""

        def by_seed(trial):
            return trial.fidelity["seed"] if self.study.rows else 0

        return [trial for step in self.study.steps for trial in sorted(self.log.of(step.name), key=by_seed)]

    @property
    def finished(self) -> bool:
        """Whether every trial of the study is in the log."""
        planned = {step.name: len(step.macs(self.study, 1.0)) for step in self.study.steps}

        def counted(step):
            return len(self.log.of(step.name)) == planned[step.name]

        return all(step.ended(self) if step.ended else counted(step) for step in self.study.steps)
