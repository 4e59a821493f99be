"""`Trial`: one network scored (or tried to) once, with what it cost and scored, and at which fidelity."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from scalesearch.training import Score

Key = tuple[str, int, int]  # step, seed, number


@dataclass(frozen=True)
class Trial:
    """A line of the log. Never edited; step, seed and number name it.

    `scores` are named by what scored it: shares, nats (loss), seconds (latency), zero-cost proxies (`proxy.NAME`).
    `fidelity` says what they were measured with: seed, epochs trained, `of` how many the schedule has, data share,
    resolution, and the `parent` whose weights were inherited. `arch` is empty where a row of a table was looked up.
    `network` and `recipe` are digests of what was really built and used, `built` of the module's tensors. `candidate`
    and `rung` say which network of a search it is and how far it had come. `rejected` counts the proposals before this
    one that were over the budget or known already, and so were never tried.
    """

    step: str
    number: int
    name: str
    arch: dict[str, Any]
    network: str
    recipe: str
    cost: dict[str, Any]
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
    at: float = 0.0  # seconds that the run had been at work, those before a resume counted in
    used: dict[str, Any] = field(default_factory=dict)  # device, arithmetic and images at a time of a training

    @property
    def key(self) -> Key:
        return self.step, self.fidelity["seed"], self.number

    @property
    def done(self) -> bool:
        return self.state == "done"

    @property
    def level(self) -> tuple[Any, ...]:
        """What scores must share to be compared: the fidelity but for seed and resolution."""
        f = self.fidelity
        return f.get("epochs", 0), f.get("of", f.get("epochs", 0)), f.get("data_share", 1.0), bool(f.get("parent"))

    @property
    def early(self) -> bool:
        """Whether training was stopped before the end of its schedule."""
        return self.level[0] != self.level[1]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def compared(trials: Iterable[Trial], score: Score) -> list[Trial]:
    """The scored trials of one fidelity, scores of different ones being never compared: of those trained longest the
    level with most trials."""
    by_level: dict[tuple, list[Trial]] = defaultdict(list)
    for trial in trials:
        if trial.done and score.of(trial.scores) is not None:
            by_level[trial.level].append(trial)
    return max(by_level.items(), key=lambda item: (item[0][0], len(item[1]), item[0]))[1] if by_level else []
