"""The steps of a study, a file each. A new step is one file and one row."""

from __future__ import annotations

from scalesearch.study.step import Step
from scalesearch.study.steps import (
    base,
    compare,
    control,
    distill,
    family,
    fidelity,
    finalists,
    pace,
    rates,
    rivals,
    rows,
    scale,
    screen,
    transfer,
)

# by what evaluates, in their order
STEPS: dict[str, tuple[Step, ...]] = {
    "training": (
        screen.STEP,
        fidelity.STEP,
        pace.STEP,
        base.STEP,
        control.STEP,
        finalists.STEP,
        scale.STEP,
        transfer.STEP,
        family.STEP,
        distill.STEP,
        rivals.STEP,
        compare.STEP,
    ),
    "table": (rows.STEP,),
}
MEASURES = {"trainings": fidelity.STEP, "rates": rates.STEP}  # what is done alone, to learn of trainings
