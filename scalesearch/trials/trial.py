"""`Trial`: one network that was scored once or failed, with its cost, its scores and their fidelity."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypeAlias

from typing_extensions import TypedDict  # typing's is not known to pydantic before Python 3.12

from scalesearch.counting import Cost
from scalesearch.errors import InputError
from scalesearch.plain_data import PlainDict
from scalesearch.trials.score import Score
from scalesearch.typed_json import Natural, Number, from_json

Key = tuple[str, int, int]  # step, seed, number
if TYPE_CHECKING:  # a decision's domain and a cost's name say what they are
    Option: TypeAlias = Any
    Count: TypeAlias = Any
else:
    Leaf = None | bool | Number | str
    Option, Count = Leaf | tuple[Leaf | tuple[Leaf, ...], ...], Number


class Fidelity(TypedDict):
    """The conditions that a trial's scores were measured under; a training has all of these keys."""

    seed: Natural
    epochs: NotRequired[Natural]
    of: NotRequired[Natural]  # epochs of the whole schedule
    data_share: NotRequired[Number]
    resolution: NotRequired[Natural | tuple[Natural, Natural]]
    parent: NotRequired[str]  # name of the trial whose weights were inherited


class FileStamp(TypedDict):
    """A file of a run, with its size in bytes and its digest, by which damage is detected."""

    file: str
    bytes: NotRequired[Natural]
    sha256: NotRequired[str]


class ExecutionInfo(TypedDict, total=False):
    """What a training ran on, and the settings that took effect."""

    device: str
    precision: str
    micro_batch: Natural
    epochs: Natural
    inherited: Number
    weights: FileStamp


class Outcome(TypedDict, total=False):
    """The outcome of a job: scores, or the reason why there are none, or `stopped` if the run was asked to end.

    `network`, `recipe` and `built` are digests of what was really built and used; `seconds` is training time.
    `untrained` says why the network learned nothing, and is empty if it did.
    """

    scores: dict[str, float]
    reason: str
    untrained: str
    stopped: bool
    history: list[dict[str, float]]
    network: str
    recipe: str
    built: str
    inherited: float
    images: int
    seconds: float
    used: ExecutionInfo


@dataclass(frozen=True)
class Trial:
    """A line of the log: one network that was scored once, or failed. It is never changed.

    Attributes:
        step: The name of the step; with seed and number it identifies the trial.
        number: The trial's number within its step and seed, from 0.
        name: The trial's name, which files are named after.
        arch: The network as plain data; empty for a row of a table.
        network: The digest of the network that was really built.
        recipe: The digest of the recipe that was really used; empty where nothing was trained.
        cost: The counted cost by quantity.
        fidelity: The conditions that the scores were measured under.
        decisions: The decisions that lead to the network.
        state: Whether it was scored (`done`) or not (`failed`).
        reason: Why it failed; empty if it did not.
        scores: By what was measured: shares in [0, 1], nats (losses), seconds (latency), zero-cost proxies
            (`proxy.NAME`).
        history: Losses and scores of each epoch.
        candidate: Which network of a search it is, from 0.
        rung: Which rung of the scheduler it had reached, from 0.
        built: The digest of the built module's tensors.
        rejected: How many proposals before it were outside the budget or known already, and so were never tried.
        seconds: Seconds of training.
        at: Seconds that the run had been at work, those before a resume included.
        used: What the training ran on, and the settings that took effect.
        untrained: Why its network counts as untrained, though it has scores; empty if it has learned.
    """

    step: str
    number: Natural
    name: str
    arch: PlainDict
    network: str
    recipe: str
    cost: dict[str, Count]
    fidelity: Fidelity
    decisions: dict[str, Option] = field(default_factory=dict)
    state: Literal["done", "failed"] = "done"  # failed with the reason
    reason: str = ""
    scores: dict[str, Number] = field(default_factory=dict)
    history: list[dict[str, int | float]] = field(default_factory=list)  # nan where an epoch went wrong
    candidate: Natural = 0
    rung: Natural = 0
    built: str = ""
    rejected: Natural = 0
    seconds: Number = 0.0
    at: Number = 0.0  # seconds that the run had been at work, those before a resume included
    used: ExecutionInfo = field(default_factory=ExecutionInfo)
    untrained: str = ""

    @property
    def key(self) -> Key:
        """Returns step, seed and number, which no two trials of a run share."""
        return self.step, self.fidelity["seed"], self.number

    @property
    def done(self) -> bool:
        """Returns whether the trial was scored."""
        return self.state == "done"

    @property
    def level(self) -> tuple[float, ...]:
        """Returns what scores must have in common to be compared: the fidelity without seed and resolution.

        That is the epochs, the epochs of the whole schedule, the share of the data, and whether weights were
        inherited.
        """
        f = self.fidelity
        return f.get("epochs", 0), f.get("of", f.get("epochs", 0)), f.get("data_share", 1.0), bool(f.get("parent"))

    @property
    def early(self) -> bool:
        """Returns whether training was stopped before the end of its schedule."""
        return self.level[0] != self.level[1]

    def to_dict(self) -> PlainDict:
        """Returns the trial as the plain data of its line in the log."""
        return asdict(self)


def trial_from(line: str | bytes) -> Trial:
    """Returns the trial of a line of the log. Raises `InputError`, located at the wrong key, if it is none."""
    trial = from_json(Trial, line)
    required = {
        "cost": (trial.arch, Cost._fields, trial.cost),
        "arch": (trial.recipe, ("resolution",), trial.arch),
    }
    for place, (applies, keys, values) in required.items():
        if applies and (missing := next((key for key in keys if key not in values), None)):
            raise InputError("is missing", f"{place}.{missing}")
    return trial


def comparable_trials(trials: Iterable[Trial], score: Score) -> list[Trial]:
    """Returns the scored trials of one fidelity, since scores of different fidelities are never compared.

    Of the levels trained longest it is the one with the most trials.
    """
    by_level: dict[tuple[float, ...], list[Trial]] = defaultdict(list)
    for trial in trials:
        if trial.done and score.of(trial.scores) is not None:
            by_level[trial.level].append(trial)
    return max(by_level.items(), key=lambda item: (item[0][0], len(item[1]), item[0]))[1] if by_level else []
