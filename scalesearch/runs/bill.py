"""What a study will take, told before it starts by the profile of a device."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from scalesearch.arch import expand
from scalesearch.counting import cost
from scalesearch.machine import cores
from scalesearch.study import Study

DRAWN = 8  # networks of the space, by which seconds for a MAC are told
# A training step is a forward pass and about two more for the way back; what norms, optimiser and the changes of images
# take beside, and how far a batch is from the profile's, differs from network to network.
TIMES = (2.0, 4.5)


@dataclass(frozen=True)
class Bill:
    """Hours from start to end on this machine (with a GPU, on one), and GPU hours: the least and the most."""

    device: str
    hours: tuple[float, float]
    gpu_hours: tuple[float, float]

    def __str__(self) -> str:
        low, high = self.hours
        gpu = f", {self.gpu_hours[0]:.2g} to {self.gpu_hours[1]:.2g} GPU hours" if self.gpu_hours[1] else ""
        return f"about {low:.2g} to {high:.2g} hours on one machine{gpu}, by the profile of {self.device}"


def bill(study: Study, base_macs: float) -> Bill | None:
    """What all steps take at most; nothing where no profile is named. `base_macs` are what the base may count."""
    from numpy import interp

    profile = study.budget.profile
    if profile is None or study.training is None:
        return None
    rng = Random(0)
    archs = [study.adapted_space.at(study.problem.draw(rng)) for _ in range(DRAWN)]
    rivals = study.document.get("compare", ())
    archs += [study.networks[name] for name in (rivals.get("networks", ()) if isinstance(rivals, dict) else rivals)]
    told = sorted((cost(arch).macs, profile.predict(expand(arch)) / profile.batch) for arch in archs)
    images = study.training.data.sizes["train"] * study.training.recipe.data_share
    seconds = 0.0
    for step in study.steps:
        if step.trains:
            each = interp(step.macs(study, base_macs), [macs for macs, _ in told], [took for _, took in told])
            seconds += study.recipe_of(step.name).epochs * images * float(each.sum())
    one = seconds / 3600
    wanted = study.ray
    abreast = 1 / wanted.gpus_per_trial if wanted.gpus_per_trial else max(1.0, cores() // wanted.cpus_per_trial)
    whole: Any = tuple(one * times for times in TIMES)
    return Bill(
        profile.device,
        (whole[0] / abreast, whole[1] / abreast),
        (whole[0] * wanted.gpus_per_trial, whole[1] * wanted.gpus_per_trial),
    )
