"""`Trial`: one network scored (or tried to) once, with what it cost and scored, and at which fidelity."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypeAlias

from typing_extensions import TypedDict  # typing's is not known to pydantic before Python 3.12

from scalesearch.counting import Cost
from scalesearch.errors import InputError
from scalesearch.shapes import Natural, Number, from_json
from scalesearch.training import Score

Key = tuple[str, int, int]  # step, seed, number
if TYPE_CHECKING:  # what they are, a decision's domain and a cost's name say
    Option: TypeAlias = Any
    Count: TypeAlias = Any
else:
    Leaf = None | bool | Number | str
    Option, Count = Leaf | tuple[Leaf | tuple[Leaf, ...], ...], Number


class Fidelity(TypedDict):
    """What a trial's scores were measured with; what is trained has all of it."""

    seed: Natural
    epochs: NotRequired[Natural]
    of: NotRequired[Natural]  # epochs of the whole schedule
    data_share: NotRequired[Number]
    resolution: NotRequired[Natural | tuple[Natural, Natural]]
    parent: NotRequired[str]  # whose weights were inherited


class Left(TypedDict):
    """A file that stays, and by what it is known again."""

    file: str
    bytes: NotRequired[Natural]
    sha256: NotRequired[str]


class Used(TypedDict, total=False):
    """How a training was done in fact."""

    device: str
    precision: str
    micro_batch: Natural
    epochs: Natural
    inherited: Number
    weights: Left


@dataclass(frozen=True)
class Trial:
    """A line of the log. Never edited; step, seed and number name it.

    `scores` are named by what scored it: shares, nats (loss), seconds (latency), zero-cost proxies (`proxy.NAME`).
    `arch` is empty where a row of a table was looked up.
    `network` and `recipe` are digests of what was really built and used, `built` of the module's tensors. `candidate`
    and `rung` say which network of a search it is and how far it had come. `rejected` counts the proposals before this
    one that were over the budget or known already, and so were never tried.
    """

    step: str
    number: Natural
    name: str
    arch: dict[str, Any]
    network: str
    recipe: str
    cost: dict[str, Count]
    fidelity: Fidelity
    decisions: dict[str, Option] = field(default_factory=dict)
    state: Literal["done", "failed"] = "done"  # failed with the reason
    reason: str = ""
    scores: dict[str, Number] = field(default_factory=dict)
    history: list[dict[str, int | float]] = field(default_factory=list)  # nan of an epoch that went wrong among them
    candidate: Natural = 0
    rung: Natural = 0
    built: str = ""
    rejected: Natural = 0
    seconds: Number = 0.0
    at: Number = 0.0  # seconds that the run had been at work, those before a resume counted in
    used: Used = field(default_factory=Used)

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


def trial_from(line: str | bytes) -> Trial:
    """The trial of a line of the log. Raises `InputError`, placed at its key, for what is none."""
    trial = from_json(Trial, line)
    needed = {
        "fidelity": (trial.recipe, Fidelity.__annotations__, trial.fidelity),
        "cost": (trial.arch, Cost._fields, trial.cost),
        "arch": (trial.recipe, ("resolution",), trial.arch),
    }
    for place, (there, keys, told) in needed.items():
        if there and (missing := next((key for key in keys if key not in told), None)):
            raise InputError("is missing", f"{place}.{missing}")
    return trial


def compared(trials: Iterable[Trial], score: Score) -> list[Trial]:
    """The scored trials of one fidelity, scores of different ones being never compared: of those trained longest the
    level with most trials."""
    by_level: dict[tuple, list[Trial]] = defaultdict(list)
    for trial in trials:
        if trial.done and score.of(trial.scores) is not None:
            by_level[trial.level].append(trial)
    return max(by_level.items(), key=lambda item: (item[0][0], len(item[1]), item[0]))[1] if by_level else []
