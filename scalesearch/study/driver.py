"""The order in which a study is done: hands out jobs, takes in results. Independent of Ray."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from typing import TypeVar, cast

from scalesearch.errors import InputError, WorkFailed
from scalesearch.study.planning import check_hours, plan_before, planned_study
from scalesearch.study.step import Step
from scalesearch.study.study import AUTO, Study
from scalesearch.trials import (
    WAIT,
    Event,
    Job,
    Jobs,
    Key,
    Observer,
    Outcome,
    Recipe,
    Trial,
    TrialLog,
    Wait,
    comparable_trials,
    trial_of,
)

T = TypeVar("T")


class Driver:
    """Hands out the jobs of a study and takes their results into the log.

    Attributes:
        requested: The study as its file has it.
        study: The same; for a study with hours, with the trials and epochs planned so far.
        log: Every trial.
        notify: Called with every event: trials logged, steps started and finished, messages.
        clock: Returns the seconds that the run has been at work.
    """

    def __init__(
        self,
        study: Study,
        log: TrialLog,
        notify: Observer = lambda event: None,
        clock: Callable[[], float] = lambda: 0.0,
    ):
        self.requested, self.log, self.notify, self.clock = study, log, notify, clock
        self.study = planned_study(study, log)
        self._memory: dict[Hashable, object] = {}  # what steps have worked out from results that won't change
        self._handed_out: list[Key] = []
        self._under_way: list[str] = []  # steps that have begun and not ended
        self._jobs = self._all_steps()

    def next(self) -> Job | Wait | None:
        """Returns a job, `WAIT` while results are missing that the next one depends on, or None at the end."""
        return next(self._jobs, None)

    def finish(self, job: Job, outcome: Outcome) -> Trial:
        """Logs the outcome of `job` and returns it as a trial."""
        trial = replace(trial_of(job, outcome, self.study.evaluator), at=round(self.clock(), 3))
        self.log.append(trial)
        self.notify(Event("finished", job.step, job, trial))
        return trial

    def message(self, text: str) -> None:
        """Sends a line of text to the observer."""
        self.notify(Event("message", text=text))

    def _all_steps(self) -> Jobs:
        for step in self.study.steps:
            yield from self._wait_for(step.needs)
            if self.requested.hours and step.planned_from:
                check_hours(self.requested, self.log)
                self.study = plan_before(self.requested, self.log, step.name)[0]
            for job in step.jobs(self):
                if isinstance(job, Job):
                    if job.key in self.log.trials:
                        continue
                    self._hand_out(job)
                yield job
        yield from self._wait_for(tuple(step.name for step in self.study.steps))

    def _hand_out(self, job: Job) -> None:
        self._handed_out.append(job.key)
        if job.step not in self._under_way:
            self._under_way.append(job.step)
            self.notify(Event("started", job.step))

    def _wait_for(self, steps: tuple[str, ...]) -> Iterator[Wait]:
        while not all(key in self.log.trials for key in self._handed_out if key[0] in steps):
            yield WAIT
        for step in [step for step in self._under_way if step in steps]:
            self._under_way.remove(step)
            self.notify(Event("finished", step))

    def check(self) -> None:
        """Raises `InputError`, with its place in the log, for a trial that its step cannot have produced."""
        fidelity_keys = list(dict.fromkeys(key for trial in self.log for key in trial.fidelity))  # of one evaluator
        for step in self.study.steps:
            trials = self.log.of(step.name)
            problem = step.problem(self) if trials else None
            for trial in trials:
                with self.log.locate_errors(trial, "fidelity"):
                    if missing := next((key for key in fidelity_keys if key not in trial.fidelity), None):
                        raise InputError("is missing", missing)
                with self.log.locate_errors(trial, "decisions"):
                    if problem is not None:
                        problem.check(trial.decisions)
                    step.check_decisions(trial.decisions)
                with self.log.locate_errors(trial, "scores"):
                    self._check_scores(step, trial)

    def _check_scores(self, step: Step, trial: Trial) -> None:
        # a screened network is judged by proxies alone
        required = [self.study.evaluator.score.key] if trial.fidelity.get("epochs", 1) else []
        required += [self.study.trained.task.tested.key] if step.tested else []
        if trial.done and (missing := next((key for key in required if key not in trial.scores), None)):
            raise InputError("is missing, and the trial is done", missing)

    # What steps are made with.

    def recipe_of(self, step: str) -> Recipe:
        """Returns the recipe of a step; with `epochs: auto`, for the epochs that the fidelity step found enough."""
        recipe = self.study.recipe_of(step)
        epochs = next((s.epochs(self.study) for s in self.study.steps if s.name == step), None)
        enough = next((e for s in self.study.steps if (e := s.enough_epochs(self))), None) if epochs == AUTO else None
        return replace(recipe, epochs=enough) if enough else recipe

    def compute_once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Returns the result of `compute`, which is called once per `key`; for results that do not change."""
        if key not in self._memory:
            self._memory[key] = compute()
        return cast(T, self._memory[key])

    def final_trials(self, step: str) -> list[Trial]:
        """Returns the trials of a search that were trained to the end and are comparable with each other.

        Raises:
            WorkFailed: If there are none.
        """
        done = self._final(step)
        if not done:
            trials = self.log.of(step)
            reason = next((t.reason for t in trials if t.reason), "no network was found")
            raise WorkFailed(
                f"none of the {len(trials)} trials of the {step} search came to the end of its training: {reason}"
            )
        return done

    def best(self, step: str) -> Trial:
        """Returns the best trial of a step, of those trained to the end. Raises `WorkFailed` if there is none."""
        return max(self.final_trials(step), key=self.rank)

    def has_best(self, step: str) -> bool:
        """Returns whether any trial of the step was trained to the end."""
        return bool(self._final(step))

    def _final(self, step: str) -> list[Trial]:
        def final_trials() -> list[Trial]:
            return comparable_trials((t for t in self.log.of(step) if not t.early), self.study.evaluator.score)

        return self.log.cached(("final", step), final_trials)

    def test_score(self, trial: Trial) -> float:
        """Returns the test score of a trial that has one, with its sign changed where small is good."""
        tested = self.study.trained.task.tested
        return tested.orient(trial.scores[tested.key])

    def rank(self, trial: Trial) -> tuple[float, float]:
        """Returns the key by which trials of one fidelity are sorted, worst first."""
        return self.study.evaluator.score.rank(trial.scores)

    def score(self, trial: Trial) -> float:
        """Returns the score of a trial that has one, with its sign changed where small is good: larger is better."""
        value = self.study.evaluator.score.of(trial.scores)
        assert value is not None, trial.name
        return value

    @property
    def trials(self) -> list[Trial]:
        """Every trial, in the order of steps and numbers; for a study of a table, seed by seed."""

        def seed(trial: Trial) -> int:
            return trial.fidelity["seed"] if self.study.rows else 0

        return [trial for step in self.study.steps for trial in sorted(self.log.of(step.name), key=seed)]

    @property
    def finished(self) -> bool:
        """Whether every trial of the study is in the log."""
        return all(step.ended(self) for step in self.study.steps)
