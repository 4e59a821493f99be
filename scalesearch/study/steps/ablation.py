"""The family again with a part of the study switched off: what each part adds to the whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Literal

from scalesearch.arch import Arch, expand
from scalesearch.counting import cost
from scalesearch.errors import InputError, check_distinct
from scalesearch.plain_data import PlainDict
from scalesearch.progress import with_progress
from scalesearch.scaling import PRESETS, Shares, scale_to
from scalesearch.statistics import difference_interval, interval, standard_error
from scalesearch.study.driver import Driver
from scalesearch.study.page import fragment
from scalesearch.study.step import Step
from scalesearch.study.steps import base, family, finalists, random_control, scale
from scalesearch.study.steps.network_jobs import jobs_for_every_seed
from scalesearch.study.study import Study
from scalesearch.trials import Jobs, Recipe, Trial

NAME = "ablation"
Part = Literal["search", "finalists", "scale"]
MEANING = {
    "search": "the base is the best of the random networks",
    "finalists": "the base is the best of the search by its one short training",
    "scale": "the base is scaled by EfficientNet's coefficients",
}


@dataclass(frozen=True)
class Options:
    """Options of the ablations.

    Attributes:
        parts: The parts that are switched off, one at a time.
    """

    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Ablated:
    """Holds a member of the family found without a part of the study, compared with the study's own member.

    Attributes:
        part: The part that was switched off.
        phi: The member's φ.
        macs: The MACs of the network.
        test: The mean test score over the seeds.
        interval: Half its 95 % interval over the seeds; None with one seed.
        gain: What the part adds: the study's own test score minus this one, with its sign changed where smaller is
            better; 0 for the same network.
        gain_interval: Half the 95 % interval of that difference, by seeds and images; None if unknown.
        same: Whether the network is the study's own, so that nothing was trained again.
    """

    part: str
    phi: float
    macs: int
    test: float
    interval: float | None
    gain: float
    gain_interval: float | None
    same: bool


def _base(run: Driver, part: Part) -> tuple[Arch, Shares]:
    """Returns the base without a part, and the shares by which it is scaled."""
    shares = PRESETS["efficientnet"] if part == "scale" else scale.best_shares(run)
    if part == "search":
        return run.log.arch(random_control.best_random(run)), shares
    return run.log.arch(run.best(base.NAME) if part == "finalists" else finalists.base_of(run)), shares


def _networks(run: Driver, part: Part) -> Mapping[float, Arch]:
    """Returns by φ the members that the study makes without a part."""
    options = run.study.options(scale.Options)
    network, shares = _base(run, part)

    def members() -> dict[float, Arch]:
        phis, macs = run.study.options(family.Options).phi, cost(network).macs
        found = {}
        for phi in with_progress(phis, f"scaling without {part}", len(phis)):
            arch = (
                scale_to(network, round(macs * options.factor**phi), shares, options.tolerance).arch if phi else network
            )
            found[phi] = arch.with_(name=_name(run.study, part, phi))
        return found

    return run.compute_once((NAME, part, expand(network).digest, shares), members)


def _name(study: Study, part: str, phi: float) -> str:
    return f"{study.name}-phi{phi:g}-without-{part}"


def _is_own(run: Driver, phi: float, arch: Arch) -> bool:
    """Returns whether a network is the study's own member at φ."""
    return expand(arch).digest == expand(family.members(run)[phi].arch).digest


def ablations(run: Driver) -> list[Ablated]:
    """Returns every member without every part that has been trained with every seed, part by part."""
    own: dict[float, list[Trial]] = defaultdict(list)
    without: dict[tuple[str, float], list[Trial]] = defaultdict(list)
    for trial in run.log.of(family.NAME):
        own[trial.decisions["phi"]].append(trial)
    for trial in run.log.of(NAME):
        without[trial.decisions["without"], trial.decisions["phi"]].append(trial)
    found = []
    for part in run.study.options(Options).parts if all(own.values()) and own else ():
        for phi, arch in _networks(run, part).items():
            same = _is_own(run, phi, arch)
            trials = [t for t in (own[phi] if same else without[part, phi]) if t.done]
            if trials and any(t.done for t in own[phi]):
                found.append(_ablated(run, part, phi, trials, [t for t in own[phi] if t.done], same))
    return found


def _ablated(run: Driver, part: str, phi: float, trials: list[Trial], own: list[Trial], same: bool) -> Ablated:
    training, key = run.study.trained, run.study.trained.task.tested.key
    scores, own_scores = ([t.scores[key] for t in group] for group in (trials, own))
    images = training.task.images(training.data, "test")
    errors = [standard_error(group, images) for group in (scores, own_scores)]
    gain = mean(map(run.test_score, own)) - mean(map(run.test_score, trials))
    half = None if same else difference_interval(*errors)
    macs = int(trials[0].cost["macs"])
    return Ablated(part, phi, macs, mean(scores), interval(scores), 0.0 if same else gain, half, same)


class Ablation(Step):
    """Trains the family again with parts of the study switched off, one at a time."""

    name = NAME
    title = "training the family without a part of the study"
    key = "ablate"
    options = Options
    list_field = "parts"
    needs = (scale.NAME, "transfer", random_control.TRAINED_AGAIN)
    may_end_early = True
    decision_names = ("phi",)
    tested = True
    fragments = (fragment(65, __file__),)

    def check(self, study: Study) -> None:
        """Raises `InputError` for a part named twice, or one that the study does not have."""
        parts = study.options(Options).parts
        check_distinct(parts, "ablate")
        if "search" in parts and not random_control.count(study):
            raise InputError("needs random networks in place of the search: control: {}", "ablate")
        if "finalists" in parts and not study.options(finalists.Options).top:
            raise InputError("has no finalists to leave out: finalists.top is 0", "ablate")

    def jobs(self, run: Driver) -> Jobs:
        """Yields the members of each ablation, except those that are the study's own networks."""
        recipe = run.study.recipe_of(NAME)
        rows: list[tuple[str, Arch, PlainDict, Recipe]] = []
        for part in run.study.options(Options).parts:
            for phi, arch in _networks(run, part).items():
                if not _is_own(run, phi, arch):
                    rows.append((arch.name, arch, {"without": part, "phi": phi}, recipe.at_phi(phi)))
        yield from jobs_for_every_seed(run, NAME, rows)

    def conclusions(self, run: Driver) -> PlainDict:
        return {"ablations": ablations(run)} if run.study.options(Options).parts else {}

    def notes(self, run: Driver) -> list[str]:
        """Returns a sentence on each part: what it adds at every φ."""
        found, task = ablations(run), run.study.trained.task
        sentences = []
        for part in dict.fromkeys(a.part for a in found):
            gains = [
                f"{a.phi:g}: the same network"
                if a.same
                else f"{a.phi:g}: {task.format_difference(a.gain, a.gain_interval)}"
                for a in found
                if a.part == part
            ]
            sentences.append(f"What the {part} adds to the test {task.score} at φ = {'; '.join(gains)}.")
        return sentences

    def macs(self, study: Study, base_macs: float) -> list[float]:
        factor, parts = study.options(scale.Options).factor, study.options(Options).parts
        return [base_macs * factor**phi for _ in parts for phi in study.options(family.Options).phi] * len(study.seeds)

    def description(self, study: Study) -> str:
        return f"without {', without '.join(study.options(Options).parts)}"
