"""The steps of a study, one file each. A new step is a file and a row here."""

from __future__ import annotations

from scalesearch.study.step import Step
from scalesearch.study.steps.ablation import Ablation
from scalesearch.study.steps.base import BaseSearch
from scalesearch.study.steps.compare import Comparison
from scalesearch.study.steps.control import Controls
from scalesearch.study.steps.distill import Distillation
from scalesearch.study.steps.family import FamilyTraining
from scalesearch.study.steps.fidelity import FidelityMeasurement
from scalesearch.study.steps.finalists import Finalists
from scalesearch.study.steps.pace import PaceMeasurement
from scalesearch.study.steps.random_control import RandomFinalists, RandomNetworks
from scalesearch.study.steps.rates import RateSweep
from scalesearch.study.steps.repeated import RepeatedFinalists, RepeatedSearch
from scalesearch.study.steps.rivals import NamedScalings
from scalesearch.study.steps.rows import TableSearch
from scalesearch.study.steps.scale import ScalingSearch
from scalesearch.study.steps.scaled import AxisChoice, ScaledBaselines
from scalesearch.study.steps.screen import Screening
from scalesearch.study.steps.table_control import RandomRows
from scalesearch.study.steps.transfer import Transfer

# by the kind of study, in order
STEPS: dict[str, tuple[Step, ...]] = {
    "training": (
        Screening(),
        FidelityMeasurement(),
        PaceMeasurement(),
        BaseSearch(),
        Controls(),
        Finalists(),
        RandomNetworks(),
        RandomFinalists(),
        RepeatedSearch(),
        RepeatedFinalists(),
        ScalingSearch(),
        Transfer(),
        FamilyTraining(),
        Distillation(),
        NamedScalings(),
        Ablation(),
        AxisChoice(),
        ScaledBaselines(),
        Comparison(),
    ),
    "table": (TableSearch(), RandomRows()),
}
MEASURES: dict[str, Step] = {"trainings": FidelityMeasurement(), "rates": RateSweep()}  # by `fidelity.measure`
