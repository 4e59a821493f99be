"""Progress of a run on stderr: a live line on a terminal, a line per trial elsewhere."""

from __future__ import annotations

import time
from math import inf, sqrt
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bar, TextColumn, TimeElapsedColumn

from scalesearch.errors import numbered
from scalesearch.searchers import Job, Trial
from scalesearch.study import Study
from scalesearch.training import shown_score


class Progress:
    """Which step, trials done, running and left, best so far, time left."""

    def __init__(self, study: Study):
        self.study, self.started_at = study, time.monotonic()
        self.titles = {step.name: step.title for step in study.steps}
        self.percent = study.training is not None and study.training.task.percent
        self.running: set[tuple] = set()
        self.done, self.worked, self.known_work = 0, 0.0, 0.0
        self.started_in: dict[str, set[tuple]] = {step: set() for step in self.titles}
        self.base_macs = study.budget.most_macs if study.budget.most_macs < inf else 0
        self.planned = {step: len(macs) for step, macs in study.planned(1.0).items()}
        self.epochs = (
            {}
            if study.training is None
            else {step.name: study.recipe_of(step.name).epochs for step in study.steps if step.trains}
        )
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
        starting = "starting" if study.evaluator.here else "starting Ray"
        self.task = self.bar.add_task(starting, total=sum(self.planned.values()), state="")

    def __enter__(self) -> Progress:
        self.bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()

    def known(self, trials: list[Trial]) -> None:
        """Trials that an earlier run finished."""
        self.done, self.known_work = len(trials), sum(map(self._work, trials))
        for trial in trials:
            self.started_in[trial.step].add(trial.key)
            self._note(trial)
        if trials:
            self.console.print(f"going on after {numbered(len(trials), 'finished trial')}")

    def started(self, job: Job) -> None:
        self.running.add(job.key)
        self.started_in[job.step].add(job.key)
        self._show(job.step)

    def finished(self, trial: Trial) -> None:
        self.running.discard(trial.key)
        self.started_in[trial.step].add(trial.key)
        self.done, self.worked = self.done + 1, self.worked + self._work(trial)
        self._note(trial)
        score = trial.scores.get(self.study.evaluator.score.key)
        outcome = "screened" if score is None else shown_score(score, self.percent)
        outcome = outcome if trial.done else f"failed: {trial.reason}"
        if not self.study.evaluator.here and (not self.live or not trial.done):  # a table's rows come by the hundred
            macs = f", {trial.cost['macs']:,} MACs" if "macs" in trial.cost else ""
            self.told(
                f"[{self.done}/{self._total()}] {trial.name}: {outcome}{macs}, {trial.seconds:.1f} s{self._left()}"
            )
        self._show(trial.step)

    def told(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)

    def _note(self, trial: Trial) -> None:
        self.base_macs = self.base_macs or trial.cost.get("macs", 0)
        if trial.step in self.epochs:  # which `auto` has as many of as were found enough
            self.epochs[trial.step] = trial.fidelity.get("of") or self.epochs[trial.step]
        score = trial.scores.get(self.study.evaluator.score.key)
        if score is None or trial.early:
            return
        if self.best is None or self.study.evaluator.score.larger == (score > self.best[0]):
            self.best = score, trial.name

    def _show(self, step: str) -> None:
        best = f", best {shown_score(self.best[0], self.percent)} ({self.best[1]})" if self.best else ""
        self.bar.update(
            self.task,
            description=self.titles[step],
            completed=self.done,
            total=self._total(),
            state=f"{len(self.running)} running{best}{self._left()}",
        )

    def _total(self) -> int:
        """Trials in all; a step that ended before its time counts with what it had."""
        started = [len(keys) for keys in self.started_in.values()]
        reached = max((i for i, count in enumerate(started) if count), default=0)
        planned = self.planned.values()
        return sum(
            n if i < reached else max(count, n) for i, (n, count) in enumerate(zip(started, planned, strict=True))
        )

    def _left(self) -> str:
        """A guess: small networks take time about as the root of their MACs, which weighs done and planned work."""
        if self.worked == 0:
            return ""
        spent = time.monotonic() - self.started_at
        seconds = spent / self.worked * max(0.0, self._planned_work() - self.known_work - self.worked)
        return f", about {seconds / 60:.0f} min left" if seconds > 90 else f", about {seconds:.0f} s left"

    def _planned_work(self) -> float:
        return sum(
            self.epochs[step.name] * sqrt(m)
            for step in self.study.steps
            if step.name in self.epochs
            for m in step.macs(self.study, self.base_macs)
        )

    def _work(self, trial: Trial) -> float:
        return trial.fidelity.get("epochs", 0) * sqrt(trial.cost.get("macs", 0))
