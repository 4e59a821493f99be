"""An estimate, from the profile of a device, of the hours that a study will take."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from scalesearch.arch import expand
from scalesearch.counting import cost
from scalesearch.machine import cores
from scalesearch.study import Study

SAMPLED_NETWORKS = 8  # networks drawn from the space, from which seconds per MAC are estimated
# A training step costs a forward pass and about two more for the backward pass. What norms, the optimiser and
# augmentation add, and how a batch differs from the profile's, varies between networks: hence a least and a most.
FORWARD_PASSES = (2.0, 4.5)


@dataclass(frozen=True)
class CostEstimate:
    """Holds hours from start to end on one machine (with one GPU, if trials use any), and GPU hours: each
    the least and the most.
    """

    device: str
    hours: tuple[float, float]
    gpu_hours: tuple[float, float]

    def __str__(self) -> str:
        low, high = self.hours
        gpu = f", {self.gpu_hours[0]:.2g} to {self.gpu_hours[1]:.2g} GPU hours" if self.gpu_hours[1] else ""
        return f"about {low:.2g} to {high:.2g} hours on one machine{gpu}, by the profile of {self.device}"


def estimate(study: Study, base_macs: float) -> CostEstimate | None:
    """Returns the hours that all steps take, if every planned trial is trained to its end; None for a study
    without a profile.

    Args:
        study: The study to be run.
        base_macs: The most MACs that the base network may have.
    """
    from numpy import interp

    profile = study.budget.profile
    if profile is None or study.training is None:
        return None
    rng = Random(0)
    archs = [study.adapted_space.at(study.problem.draw(rng)) for _ in range(SAMPLED_NETWORKS)]
    baselines = study.document.get("compare", ())
    names = baselines.get("networks", ()) if isinstance(baselines, dict) else baselines
    archs += [study.networks[name] for name in names]
    samples = sorted((cost(arch).macs, profile.predict(expand(arch)) / profile.batch) for arch in archs)
    sampled_macs, sampled_seconds = zip(*samples)
    images = study.training.data.sizes["train"] * study.training.recipe.data_share
    seconds = 0.0
    for step in study.steps:
        if step.trains:
            forward_seconds = interp(step.macs(study, base_macs), sampled_macs, sampled_seconds)
            seconds += study.recipe_of(step.name).epochs * images * float(forward_seconds.sum())
    forward_hours = seconds / 3600
    gpus = study.ray.gpus_per_trial
    at_once = 1 / gpus if gpus else max(1.0, cores() // study.ray.cpus_per_trial)
    low, high = (forward_hours * passes for passes in FORWARD_PASSES)
    return CostEstimate(profile.device, (low / at_once, high / at_once), (low * gpus, high * gpus))
