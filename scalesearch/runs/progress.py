"""Progress of a run on stderr: a live line on a terminal, a line per trial elsewhere."""

from __future__ import annotations

import time
from math import inf, sqrt
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from scalesearch.counting import cost
from scalesearch.study import Job
from scalesearch.report import Transfer
from scalesearch.study import Study
from scalesearch.study import Trial

TITLES = {"screen": "screening by proxies", "base": "searching the base", "control": "training controls",
          "finalists": "training finalists", "scale": "searching α, β, γ", "transfer": "testing the choice at larger φ",
          "family": "training the family", "compare": "training hand-built networks"}  # fmt: skip


class Progress:
    """Which step, trials done, running and left, best so far, time left."""

    def __init__(self, study: Study):
        self.study, self.started_at = study, time.monotonic()
        self.running: set[tuple[str, int]] = set()
        self.done, self.worked, self.known_work = 0, 0.0, 0.0
        self.started_in: dict[str, set[int]] = {step: set() for step in TITLES}
        self.base_macs = study.budget.most_macs if study.budget.most_macs < inf else 0
        self.best: tuple[float, str] | None = None
        self.console = Console(stderr=True, highlight=False)
        self.live = self.console.is_terminal
        self.bar = Bar(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[state]}"),
                       TimeElapsedColumn(), console=self.console, disable=not self.live)
        self.task = self.bar.add_task("starting Ray", total=study.total_trials, state="")

    def __enter__(self) -> Progress:
        self.bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()

    def known(self, trials: list[Trial]) -> None:
        """Trials that an earlier run finished."""
        self.done, self.known_work = len(trials), sum(map(_work, trials))
        for trial in trials:
            self.started_in[trial.step].add(trial.number)
            self._note(trial)
        if trials:
            self.console.print(f"going on after {len(trials)} finished trials")

    def started(self, job: Job) -> None:
        self.running.add((job.step, job.number))
        self.started_in[job.step].add(job.number)
        self._show(job.step)

    def finished(self, trial: Trial) -> None:
        self.running.discard((trial.step, trial.number))
        self.started_in[trial.step].add(trial.number)
        self.done, self.worked = self.done + 1, self.worked + _work(trial)
        self._note(trial)
        score = trial.scores.get("val_accuracy")
        outcome = f"failed: {trial.reason}" if trial.state == "failed" else "screened" if score is None else f"{score:.2%}"
        if not self.live or trial.state == "failed":
            self.console.print(f"[{self.done}/{self._total()}] {trial.name}: {outcome}, {trial.cost['macs']:,} MACs, "
                               f"{trial.seconds:.1f} s{self._left()}", markup=False, soft_wrap=True)
        self._show(trial.step)

    def transferred(self, transfers: list[Transfer]) -> None:
        """Whether the choice of φ = 1 holds at larger φ, before anybody pays for the family."""
        for t in transfers:
            self.console.print(f"ways to scale, φ = {t.phi:g} against φ = 1: rank correlation {t.ranks}", markup=False, soft_wrap=True)

    def _note(self, trial: Trial) -> None:
        self.base_macs = self.base_macs or trial.cost["macs"]
        score = trial.scores.get("val_accuracy")
        if score is not None and not trial.early and (self.best is None or score > self.best[0]):
            self.best = score, trial.name

    def _show(self, step: str) -> None:
        best = f", best {self.best[0]:.2%} ({self.best[1]})" if self.best else ""
        self.bar.update(self.task, description=TITLES[step], completed=self.done, total=self._total(),
                        state=f"{len(self.running)} running{best}{self._left()}")

    def _total(self) -> int:
        """Trials in all; a step that ended before its time counts with what it had."""
        steps = list(TITLES)
        reached = max((i for i, step in enumerate(steps) if self.started_in[step]), default=0)
        return sum(len(self.started_in[step]) if i < reached else max(count, len(self.started_in[step]))
                   for i, (step, count) in enumerate(self.study.planned.items()))

    def _left(self) -> str:
        """A guess: small networks take time about as the root of their MACs, by which done and planned work are weighed."""
        if self.worked == 0:
            return ""
        spent = time.monotonic() - self.started_at
        seconds = spent / self.worked * max(0.0, self._planned() - self.known_work - self.worked)
        return f", about {seconds / 60:.0f} min left" if seconds > 90 else f", about {seconds:.0f} s left"

    def _planned(self) -> float:
        study, base = self.study, self.base_macs
        grown = lambda phi: base * study.scale.factor**phi
        macs = {step: count * [base] for step, count in study.planned.items()}
        macs["scale"] = study.scale.trials * [grown(1)]
        macs["transfer"] = [grown(phi) for phi in study.scale.phi if phi != 1 for _ in range(study.scale.transfer)]
        macs["family"] = len(study.seeds) * [grown(phi) for phi in study.family.phi]
        macs["compare"] = len(study.seeds) * [cost(arch).macs for arch in study.hand_built.values()]
        return sum(study.recipe_of(step).epochs * sqrt(m) for step, all_macs in macs.items() if step != "screen" for m in all_macs)


def _work(trial: Trial) -> float:
    return trial.fidelity["epochs"] * sqrt(trial.cost["macs"])
