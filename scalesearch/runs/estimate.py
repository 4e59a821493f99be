"""What a study will take, estimated before it starts by the profile of a device."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from scalesearch.arch import expand
from scalesearch.counting import cost
from scalesearch.machine import cores
from scalesearch.study import Study

DRAWN = 8  # networks of the space, by which seconds for a MAC are estimated
# A training step is a forward pass and about two more for the way back; what norms, optimiser and the changes of images
# take beside, and how far a batch is from the profile's, differs from network to network.
TIMES = (2.0, 4.5)


@dataclass(frozen=True)
class CostEstimate:
    """Hours from start to end on this machine (with a GPU, on one), and GPU hours: the least and the most."""

    device: str
    hours: tuple[float, float]
    gpu_hours: tuple[float, float]

    def __str__(self) -> str:
        low, high = self.hours
        gpu = f", {self.gpu_hours[0]:.2g} to {self.gpu_hours[1]:.2g} GPU hours" if self.gpu_hours[1] else ""
        return f"about {low:.2g} to {high:.2g} hours on one machine{gpu}, by the profile of {self.device}"


def estimate(study: Study, base_macs: float) -> CostEstimate | None:
    """Returns what all steps take at most; None for a study without a profile.

    Args:
        study: What is to be run.
        base_macs: What the base network may count.
    """
    from numpy import interp

    profile = study.budget.profile
    if profile is None or study.training is None:
        return None
    rng = Random(0)
    archs = [study.adapted_space.at(study.problem.draw(rng)) for _ in range(DRAWN)]
    rivals = study.document.get("compare", ())
    archs += [study.networks[name] for name in (rivals.get("networks", ()) if isinstance(rivals, dict) else rivals)]
    samples = sorted((cost(arch).macs, profile.predict(expand(arch)) / profile.batch) for arch in archs)
    images = study.training.data.sizes["train"] * study.training.recipe.data_share
    seconds = 0.0
    for step in study.steps:
        if step.trains:
            each = interp(step.macs(study, base_macs), [macs for macs, _ in samples], [took for _, took in samples])
            seconds += study.recipe_of(step.name).epochs * images * float(each.sum())
    one = seconds / 3600
    resources = study.ray
    abreast = (
        1 / resources.gpus_per_trial if resources.gpus_per_trial else max(1.0, cores() // resources.cpus_per_trial)
    )
    whole: Any = tuple(one * times for times in TIMES)
    return CostEstimate(
        profile.device,
        (whole[0] / abreast, whole[1] / abreast),
        (whole[0] * resources.gpus_per_trial, whole[1] * resources.gpus_per_trial),
    )
