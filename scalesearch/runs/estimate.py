"""Estimates of the time that a study will take: from a device's profile, or from training steps timed here."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from scalesearch.arch import expand
from scalesearch.counting import cost
from scalesearch.machine import cores
from scalesearch.runs.progress import GROWTH
from scalesearch.study import Study, hand_built, makespan

VALIDATION_SHARE = 0.3  # most images that are scored after an epoch, as a share of the training images
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


RAY_START = 10.0  # seconds until the first training begins
SIDE_BY_SIDE = 1.2  # by which trainings slow each other down that share a machine's memory
SCORING = 1 / 3  # seconds of scoring an image, as a share of those of training on it
TIMED_BASELINES = 8  # hand-built networks that are timed; the rest by their MACs


def timed_seconds(study: Study, base_macs: float) -> float | None:
    """Returns the seconds that a study of classifiers takes on this machine's cores, from a few timed steps.

    A network inside the budget and the hand-built ones are timed; the time of others goes by their MACs.

    Args:
        study: The study to be run.
        base_macs: The most MACs that the base network may have.

    Returns:
        None for a study that trains detectors, uses GPUs, or has a table in place of training.
    """
    training = study.training
    if training is None or training.task.labels != "classes" or study.ray.gpus_per_trial:
        return None
    from scalesearch.training import seconds_per_image

    threads = max(1, int(study.ray.cpus_per_trial))
    sampled = study.adapted_space.at(study.problem.draw(Random(0)))
    pace = seconds_per_image(sampled, training, threads) / cost(sampled).macs ** GROWTH
    baselines = list(hand_built(study).values())[:TIMED_BASELINES]
    own = {float(cost(arch).macs): seconds_per_image(arch, training, threads) for arch in baselines}
    sizes = training.data.sizes
    slots, seconds = max(1, int(cores() / study.ray.cpus_per_trial)), RAY_START
    for step in study.steps:
        if not step.trains:
            continue
        epochs = study.recipe_of(step.name).epochs
        images = epochs * (sizes["train"] * training.recipe.data_share + SCORING * VALIDATION_SHARE * sizes["train"])
        images += SCORING * (sizes["val"] + (sizes["test"] if step.tested else 0))
        macs = step.macs(study, base_macs)
        paces = [own[m] if step.by_class == "baselines" and m in own else pace * m**GROWTH for m in macs]
        seconds += makespan([images * p for p in paces], slots) * (SIDE_BY_SIDE if slots > 1 else 1.0)
    return seconds
