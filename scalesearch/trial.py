"""`Trial`: one network trained (or tried to) once, with what it cost and scored, and at which fidelity."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Trial:
    """A line of the trial log. Never edited; `(step, number)` names it.

    `scores` are shares (accuracy) and nats (loss); `fidelity` says what they were measured with: epochs, data share, seed.
    `network` and `recipe` are digests of what was really built and used. `rejected` counts the proposals before this one
    that were over the budget or known already, and so were never trained.
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
    rejected: int = 0
    seconds: float = 0.0

    @property
    def rank(self) -> tuple[float, float]:
        """Sorts trials of one fidelity: validation accuracy, then the lower loss; failed ones last."""
        return self.scores.get("val_accuracy", -1.0), -self.scores.get("val_loss", float("inf"))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
