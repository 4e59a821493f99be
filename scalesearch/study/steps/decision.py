"""Which network to take: the first sentence of a report, which a person can act on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scalesearch.errors import format_short
from scalesearch.statistics import NORMAL_95, difference_interval
from scalesearch.study.steps.compared_row import ComparedRow
from scalesearch.trials import Task

SAME_SIZE = 1.1  # times a member's MACs, up to which a hand-built network is of its size


@dataclass(frozen=True)
class Decision:
    """Holds which network a report recommends, and why.

    Attributes:
        sentence: In words.
        network: The name of the recommended member of the family; empty if none is.
    """

    sentence: str
    network: str = ""


def decide(rows: Sequence[ComparedRow], task: Task) -> Decision | None:
    """Returns the recommendation; None before a member of the family has been scored.

    It is the smallest member that no larger one beats by more than the 95 % interval of the difference, by seeds and
    test images. Beside it stands the hand-built network that validation prefers among those scaled to its MACs, or
    else among those of its size.

    Args:
        rows: The rows of the comparison.
        task: What the networks are for.
    """
    family = sorted((row for row in rows if row.kind == "family" and row.test is not None), key=lambda row: row.macs)
    members = [row for row in family if row.ranked]
    if not family:
        return None
    if not members:
        return Decision(
            "Nothing here is better than guessing: train for longer (recipe.epochs), or allow larger networks (budget)."
        )
    taken = members[0]
    for larger in members[1:]:
        gain, half = _difference(larger, taken, task)
        if gain > (half or 0.0):
            taken = larger
    rival_text = _beside_rival(taken, rows, task)
    take = f"Of the family take {taken.name}" if rival_text.startswith("but ") else f"Take {taken.name}"
    parts = [f"{take}: {_score(taken, task)} test {task.score} at {format_short(taken.macs)} MACs"]
    parts += [text for text in (rival_text, _beyond(taken, members, task)) if text]
    return Decision("; ".join(parts) + ".", taken.name)


def _score(row: ComparedRow, task: Task) -> str:
    half = "" if row.test_error is None else f" ± {task.format(NORMAL_95 * row.test_error)}"
    return task.format(row.test or 0.0) + half


def _difference(a: ComparedRow, b: ComparedRow, task: Task) -> tuple[float, float | None]:
    """Returns by how much `a` is better than `b` on the test split, and half the 95 % interval of that."""
    ahead = task.tested.orient(a.test or 0.0) - task.tested.orient(b.test or 0.0)
    return ahead, difference_interval(a.test_error, b.test_error)


def _beside_rival(taken: ComparedRow, rows: Sequence[ComparedRow], task: Task) -> str:
    scaled = [row for row in rows if row.kind == "scaled" and row.phi == taken.phi and row.ranked]
    of_its_size = [
        row for row in rows if row.kind == "hand-built" and row.ranked and row.macs <= SAME_SIZE * taken.macs
    ]
    rivals = scaled or of_its_size
    if not rivals:
        return "no hand-built network of its size was trained"
    rival = max(rivals, key=lambda row: task.searched.orient(row.val or 0.0))
    what = f"{rival.network} scaled to it" if scaled else rival.name
    best = f"the best {'scaled ' if scaled else ''}network you would have picked at that size, {what}"
    ahead, half = _difference(taken, rival, task)
    if half is not None and abs(ahead) <= half:
        return f"not told apart from {best} ({task.format_difference(ahead, half)})"
    if ahead < 0:
        gap = task.format_difference(-ahead, half).lstrip("+")
        return f"but {best}, is {gap} better: at this size, take that one"
    return f"{task.format_difference(ahead, half).lstrip('+')} above {best}"


def _beyond(taken: ComparedRow, members: Sequence[ComparedRow], task: Task) -> str:
    larger = next((row for row in members if row.macs > taken.macs), None)
    if larger is None:
        return "no larger member was trained" if len(members) > 1 else ""
    gain, half = _difference(larger, taken, task)
    return f"{larger.macs / taken.macs:.1f} times its MACs bring {task.format_difference(gain, half)} more"
