"""`Trial`: one network trained (or tried to) once, with what it cost and scored, and at which fidelity."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

STEPS = ("screen", "base", "control", "finalists", "scale", "transfer", "family", "compare")


@dataclass(frozen=True)
class Trial:
    """A line of the trial log. Never edited; `(step, number)` names it.

    `scores` are shares (accuracy), nats (loss), seconds (latency) and zero-cost proxies (`proxy.NAME`). `fidelity` says what they were measured with: epochs
    trained, `of` how many the schedule has, data share, seed, resolution, and the `parent` whose weights were inherited.
    `network` and `recipe` are digests of what was really built and used, `built` of the module's tensors. `candidate` and
    `rung` say which network of a search it is and how far it had come. `rejected` counts the proposals before this one that
    were over the budget or known already, and so were never trained.
    """

    step: str
    number: int
    name: str
    arch: dict[str, Any]
    network: str
    recipe: str
    cost: dict[str, int]
    fidelity: dict[str, Any]
    decisions: dict[str, Any] = field(default_factory=dict)
    state: str = "done"  # or "failed", with the reason
    reason: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    candidate: int = 0
    rung: int = 0
    built: str = ""
    rejected: int = 0
    seconds: float = 0.0

    @property
    def rank(self) -> tuple[float, float]:
        """Sorts trials of one fidelity: validation accuracy, then the lower loss; failed ones last."""
        return self.scores.get("val_accuracy", -1.0), -self.scores.get("val_loss", float("inf"))

    @property
    def level(self) -> tuple[Any, ...]:
        """What scores must share to be compared: the fidelity but for seed and resolution."""
        f = self.fidelity
        return f.get("epochs"), f.get("of", f.get("epochs")), f.get("data_share"), bool(f.get("parent"))

    @property
    def early(self) -> bool:
        """Whether training was stopped before the end of its schedule."""
        return self.fidelity.get("epochs") != self.fidelity.get("of", self.fidelity.get("epochs"))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def compared(trials: Iterable[Trial]) -> list[Trial]:
    """The scored trials of one fidelity, scores of different ones being never compared: of those trained longest the level with
    most trials."""
    by_level: dict[tuple, list[Trial]] = defaultdict(list)
    for trial in trials:
        if trial.state == "done" and "val_accuracy" in trial.scores:
            by_level[trial.level].append(trial)
    return max(by_level.items(), key=lambda item: (item[0][0], len(item[1]), item[0]))[1] if by_level else []
