"""The family beside hand-built networks that were scaled to its members' MACs, member by member."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scalesearch.statistics import difference_interval
from scalesearch.study.steps.compared_row import ComparedRow
from scalesearch.trials import Task


@dataclass(frozen=True)
class ScaledRival:
    """Holds a hand-built network at a member's MACs, compared with the member.

    Attributes:
        row: The network's row in the comparison.
        ahead: The member's test score minus the network's, with its sign changed where smaller is better.
        interval: Half the 95 % interval of that difference, by seeds and images; None if unknown.
        chosen: Whether validation prefers it to the other hand-built networks of these MACs.
    """

    row: ComparedRow
    ahead: float
    interval: float | None
    chosen: bool

    @property
    def told_apart(self) -> bool:
        """Whether the 95 % interval of the difference leaves out 0."""
        return self.interval is not None and abs(self.ahead) > self.interval


@dataclass(frozen=True)
class EqualMacs:
    """Holds a member of the family and the hand-built networks that were scaled to its MACs, best validation first."""

    phi: float
    member: ComparedRow
    rivals: tuple[ScaledRival, ...]


def equal_macs(rows: Sequence[ComparedRow], task: Task) -> list[EqualMacs]:
    """Returns every member with the hand-built networks scaled to its MACs; members without any are left out.

    Args:
        rows: The rows of the comparison.
        task: What the networks are for.
    """
    found = []
    for member in rows:
        rivals = [r for r in rows if r.kind == "scaled" and r.phi == member.phi and r.ranked]
        if member.kind != "family" or not member.ranked or not rivals:
            continue
        rivals.sort(key=lambda r: -task.searched.orient(r.val or 0.0))
        compared = tuple(_compared(member, rival, task, rival is rivals[0]) for rival in rivals)
        found.append(EqualMacs(member.phi or 0.0, member, compared))
    return found


def _compared(member: ComparedRow, rival: ComparedRow, task: Task, chosen: bool) -> ScaledRival:
    ahead = task.tested.orient(member.test or 0.0) - task.tested.orient(rival.test or 0.0)
    return ScaledRival(rival, ahead, difference_interval(member.test_error, rival.test_error), chosen)


def equal_macs_sentence(found: Sequence[EqualMacs], task: Task) -> str:
    """Returns a sentence that sets the family against the best scaled hand-built networks; empty without any."""
    parts = []
    for each in found:
        best = each.rivals[0]
        verdict = "not told apart" if not best.told_apart else "the family ahead" if best.ahead > 0 else "behind it"
        rival = f"{best.row.network} by {best.row.axis} {task.format(best.row.test or 0.0)}"
        parts.append(f"φ = {each.phi:g}: {task.format(each.member.test or 0.0)} against {rival} ({verdict})")
    if not parts:
        return ""
    return f"At the members' MACs, the family against the best scaled hand-built network: {'; '.join(parts)}."
