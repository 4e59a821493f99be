"""A listener of a run's events that shows progress on stderr: a live line on a terminal, else a line
per trial.
"""

from __future__ import annotations

import time
from math import inf, sqrt
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bar, TextColumn, TimeElapsedColumn

from scalesearch.errors import format_count
from scalesearch.study import Study
from scalesearch.trials import Event, Job, Key, Trial, format_score


class ProgressDisplay:
    """Shows which step is running, how many trials are done, running and planned, the best score so far,
    and the time left.
    """

    def __init__(self, study: Study):
        self.study, self.started_at = study, time.monotonic()
        self.titles = {step.name: step.title for step in study.steps}
        self.percent = study.training is not None and study.training.task.percent
        self.running: set[Key] = set()
        self.done, self.resumed, self.work, self.resumed_work = 0, 0, 0.0, 0.0
        self.started_keys: dict[str, set[Key]] = {step: set() for step in self.titles}
        self.base_macs = study.budget.max_macs if study.budget.max_macs < inf else 0
        self.planned = {step.name: step.trials(study) for step in study.steps}
        trained_steps = [step.name for step in study.steps if study.training is not None and step.trains]
        self.epochs = {name: study.recipe_of(name).epochs for name in trained_steps}
        self.best: tuple[float, str] | None = None
        self.console = Console(stderr=True, highlight=False)
        self.live = self.console.is_terminal
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self.live,
        )
        starting = "starting" if study.evaluator.in_process else "starting Ray"
        self.task = self.bar.add_task(starting, total=sum(self.planned.values()), state="")

    def __enter__(self) -> ProgressDisplay:
        self.bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()

    def __call__(self, event: Event) -> None:
        """Updates the display by an event of the run."""
        if event.kind == "message":
            self.console.print(event.text, markup=False, soft_wrap=True)
        elif event.kind == "started" and event.job is not None:
            self._start(event.job)
        elif event.kind == "finished" and event.trial is not None:
            self._finish(event.trial, event.resumed)

    def _start(self, job: Job) -> None:
        if self.resumed and not self.work and not self.running:
            self.console.print(f"going on after {format_count(self.resumed, 'finished trial')}")
        self.running.add(job.key)
        self.started_keys[job.step].add(job.key)
        self._show(job.step)

    def _finish(self, trial: Trial, resumed: bool) -> None:
        self.running.discard(trial.key)
        self.started_keys[trial.step].add(trial.key)
        self.done += 1
        self._record(trial)
        if resumed:
            self.resumed += 1
            self.resumed_work += self._work(trial)
            return
        self.work += self._work(trial)
        score = trial.scores.get(self.study.evaluator.score.key)
        outcome = "screened" if score is None else format_score(score, self.percent)
        outcome = outcome if trial.done else f"failed: {trial.reason}"
        # scores of a table come by the hundred
        if not self.study.evaluator.in_process and (not self.live or not trial.done):
            macs = f", {trial.cost['macs']:,} MACs" if "macs" in trial.cost else ""
            line = (
                f"[{self.done}/{self._total()}] {trial.name}: {outcome}{macs}, {trial.seconds:.1f} s{self._remaining()}"
            )
            self.console.print(line, markup=False, soft_wrap=True)
        self._show(trial.step)

    def _record(self, trial: Trial) -> None:
        self.base_macs = self.base_macs or trial.cost.get("macs", 0)
        if trial.step in self.epochs:  # a step with `epochs: auto` has as many as a step before it has found enough
            self.epochs[trial.step] = trial.fidelity.get("of") or self.epochs[trial.step]
        score = trial.scores.get(self.study.evaluator.score.key)
        if score is None or trial.early:
            return
        if self.best is None or self.study.evaluator.score.larger == (score > self.best[0]):
            self.best = score, trial.name

    def _show(self, step: str) -> None:
        best = f", best {format_score(self.best[0], self.percent)} ({self.best[1]})" if self.best else ""
        self.bar.update(
            self.task,
            description=self.titles[step],
            completed=self.done,
            total=self._total(),
            state=f"{len(self.running)} running{best}{self._remaining()}",
        )

    def _total(self) -> int:
        """Returns how many trials there are in all; a step that ended early counts with the trials that it
        had.
        """
        started_counts = [len(keys) for keys in self.started_keys.values()]
        reached = max((i for i, count in enumerate(started_counts) if count), default=0)
        return sum(
            n if i < reached else max(count, n)
            for i, (n, count) in enumerate(zip(started_counts, self.planned.values(), strict=True))
        )

    def _remaining(self) -> str:
        """Returns in words an estimate of the time left.

        The time of a training is taken to grow with its epochs and the square root of its network's MACs, as it
        does for small networks.
        """
        if self.work == 0:
            return ""
        seconds_per_work = (time.monotonic() - self.started_at) / self.work
        seconds = seconds_per_work * max(0.0, self._planned_work() - self.resumed_work - self.work)
        return f", about {seconds / 60:.0f} min left" if seconds > 90 else f", about {seconds:.0f} s left"

    def _planned_work(self) -> float:
        return sum(
            self.epochs[step.name] * sqrt(macs)
            for step in self.study.steps
            if step.name in self.epochs
            for macs in step.macs(self.study, self.base_macs)
        )

    def _work(self, trial: Trial) -> float:
        return trial.fidelity.get("epochs", 0) * sqrt(trial.cost.get("macs", 0))
