"""A listener of a run's events that shows progress on stderr: a live line on a terminal, else a line
per trial.
"""

from __future__ import annotations

import heapq
import time
from math import inf
from statistics import median
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bar, TextColumn, TimeElapsedColumn

from scalesearch.errors import format_count, format_seconds
from scalesearch.machine import cores
from scalesearch.study import Study
from scalesearch.trials import Event, Job, Key, Trial, format_score

GROWTH = 0.75  # exponent of MACs by which the seconds of an epoch grow
LATEST = 6  # trainings whose pace is taken for those that come
MAX_SPANS = 256  # trainings looked back at for how many run side by side


class ProgressDisplay:
    """Shows which step is running, how many trials are done, running and planned, the best score so far,
    and the time left.
    """

    def __init__(self, study: Study):
        self.study, self.started_at = study, time.monotonic()
        self.titles = {step.name: step.title for step in study.steps}
        self.percent = study.training is not None and study.training.task.percent
        self.running: dict[Key, float] = {}  # when it was handed out
        self.done, self.resumed, self.side_by_side = 0, 0, 1  # `done`: finished trials
        self.seconds_per_work: dict[str, list[float]] = {}  # by step, of the trainings that ended
        self.spans: list[tuple[float, float]] = []  # begin and end of every training, in seconds of the run
        self.started_keys: dict[str, set[Key]] = {step: set() for step in self.titles}
        self.ended: dict[str, set[Key]] = {step: set() for step in self.titles}
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
        if self.resumed == self.done and self.resumed and not self.running:
            self.console.print(f"going on after {format_count(self.resumed, 'finished trial')}")
        self.running[job.key] = time.monotonic()
        self.started_keys[job.step].add(job.key)
        self._show(job.step)

    def _finish(self, trial: Trial, resumed: bool) -> None:
        self.running.pop(trial.key, None)
        self.started_keys[trial.step].add(trial.key)
        self.ended[trial.step].add(trial.key)
        self.done += 1
        self._record(trial)
        if resumed:
            self.resumed += 1
            return
        score = trial.scores.get(self.study.evaluator.score.key)
        outcome = "screened" if score is None else format_score(score, self.percent)
        outcome += " (did not train)" if trial.untrained else ""
        outcome = outcome if trial.done else f"failed: {trial.reason}"
        # scores of a table come by the hundred
        if not self.study.evaluator.in_process and (not self.live or not trial.done):
            macs = f", {trial.cost['macs']:,} MACs" if "macs" in trial.cost else ""
            line = f"[{self.done}/{self.total}] {trial.name}: {outcome}{macs}, {trial.seconds:.1f} s{self._remaining()}"
            self.console.print(line, markup=False, soft_wrap=True)
        self._show(trial.step)

    def _record(self, trial: Trial) -> None:
        self.base_macs = self.base_macs or trial.cost.get("macs", 0)
        epochs, macs = trial.fidelity.get("epochs", 0), trial.cost.get("macs", 0)
        if trial.seconds and epochs and macs:
            self.seconds_per_work.setdefault(trial.step, []).append(trial.seconds / _work(epochs, macs))
            begin, middle = trial.at - trial.seconds, trial.at - trial.seconds / 2
            self.spans.append((begin, trial.at))
            overlapping = sum(start <= middle <= end for start, end in self.spans[-MAX_SPANS:])
            self.side_by_side = max(self.side_by_side, overlapping)
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
            total=self.total,
            state=f"{min(len(self.running), self._slots)} running{best}{self._remaining()}",
        )

    @property
    def total(self) -> int:
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
        """Returns in words an estimate of the time left."""
        seconds = self.seconds_left
        return f", about {format_seconds(seconds)} left" if seconds else ""

    @property
    def seconds_left(self) -> float:
        """Returns the seconds until the last trial will have ended, each started as soon as there is room.

        0 as long as no training has ended.
        """
        if not self.seconds_per_work:
            return 0.0
        left = []
        for step in self.study.steps:
            if step.name in self.epochs:
                ended = len(self.ended[step.name])
                macs = step.macs(self.study, self.base_macs)[ended:] if not self._is_over(step.name) else []
                left += [self._training_seconds(step.name, _work(self.epochs[step.name], m)) for m in macs]
        started = sorted(self.running.values())[: self._slots]
        ends = [0.0] * self._slots
        for slot, (start, seconds) in enumerate(zip(started, left)):
            ends[slot] = max(seconds - (time.monotonic() - start), 0.1 * seconds)
        heapq.heapify(ends)
        for seconds in left[len(started) :]:
            heapq.heapreplace(ends, ends[0] + seconds)
        return max(ends)

    def _is_over(self, step: str) -> bool:
        """Returns whether a later step has begun, so that this one has no more trials than it had."""
        names = list(self.started_keys)
        return any(self.started_keys[name] for name in names[names.index(step) + 1 :])

    def _training_seconds(self, step: str, work: float) -> float:
        """Returns the seconds of a training, by the pace of the step's latest ones, else of the latest of all."""
        paces = self.seconds_per_work.get(step) or [pace for paces in self.seconds_per_work.values() for pace in paces]
        pace: float = median(paces[-LATEST:])
        return pace * work

    @property
    def _slots(self) -> int:
        """Returns how many trials run side by side: as many as this machine has room for, or more on a cluster."""
        ray = self.study.ray
        here = int(1 / ray.gpus_per_trial) if ray.gpus_per_trial else int(cores() / ray.cpus_per_trial)
        return max(1, here, self.side_by_side)


def _work(epochs: float, macs: float) -> float:
    """Returns what the time of a training grows with: small networks cost more for each of their MACs than large."""
    return float(epochs * max(1.0, macs) ** GROWTH)
