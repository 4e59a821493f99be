"""Tells whether a training taught its network anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from scalesearch.trials import Task

MIN_EPOCHS = 3  # fewer epochs show no trend of the loss
MIN_FALL = 0.02  # of the training loss, as a share; less is no fall


def untrained_reason(
    task: Task, scores: Mapping[str, float], history: Sequence[Mapping[str, float]], chance: float
) -> str:
    """Returns in words why a network counts as untrained; empty if it has learned.

    It has not where its score is one that guessing reaches, where its training loss never fell, or where the score
    was one of guessing and the loss did not fall for the first half of the epochs.

    Args:
        task: What the network is for.
        scores: Its scores on the validation split.
        history: Its losses and scores epoch by epoch, from the first epoch on.
        chance: The largest score that guessing reaches on the validation split by luck.
    """
    searched = task.searched
    losses = [epoch["train_loss"] for epoch in history if "train_loss" in epoch]

    def is_guessing(values: Mapping[str, float]) -> bool:
        score = searched.of(values)
        return score is not None and score <= searched.orient(chance)

    def falls(part: Sequence[float]) -> bool:
        return min(part[1:], default=-inf) < (1 - MIN_FALL) * part[0]

    if is_guessing(scores):
        score = task.format(scores[searched.key])
        return (
            f"{score} validation {task.score} is no better than guessing, which reaches {task.format(chance)} by luck"
        )
    if len(losses) >= MIN_EPOCHS and not falls(losses):
        return f"the training loss never fell ({losses[0]:.4g} to {losses[-1]:.4g})"
    half = (len(history) + 1) // 2
    validated = [epoch for epoch in history[:half] if searched.key in epoch]
    if half >= MIN_EPOCHS and validated and all(map(is_guessing, validated)) and not falls(losses[:half]):
        return f"nothing was learned in the first {half} of {len(history)} epochs"
    return ""
