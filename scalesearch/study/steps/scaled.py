"""The hand-built networks scaled to every member's counted MACs: is it worth a search, or would scaling one do?

Each is scaled to the MACs of every member of the family by the closed loop that scaled the family itself: by depth,
by width, by resolution alone and by EfficientNet's coefficients. What suits it is chosen by validation, at the
fidelity of the search for α, β, γ; the chosen one is trained as the member is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from scalesearch.arch import Arch, expand
from scalesearch.errors import InputError
from scalesearch.plain_data import PlainDict
from scalesearch.progress import with_progress
from scalesearch.scaling import ScaledArch, scale_to
from scalesearch.searchers import DEFAULT_PRESETS
from scalesearch.study.driver import Driver
from scalesearch.study.step import Step
from scalesearch.study.steps import family, scale
from scalesearch.study.steps.hand_built import Options, further_recipes, hand_built
from scalesearch.study.steps.network_jobs import job_of, jobs_for_every_seed
from scalesearch.study.study import Study
from scalesearch.trials import Jobs, Recipe, Trial

CHOICE, NAME = "scaled choice", "scaled"


class Place(NamedTuple):
    """Names a hand-built network and the member whose MACs it is scaled to."""

    network: str
    phi: float

    def name(self, way: str = "") -> str:
        """Returns the name of the scaled network: `resnet18-at-phi1 (stem stride 1)`.

        Args:
            way: What is added to it, such as the axis.
        """
        network, changed, strides = self.network.partition(" (")
        return f"{network}-at-phi{self.phi:g}{way}{changed}{strides}"


@dataclass(frozen=True)
class Unreachable:
    """Says that a hand-built network cannot be scaled to a member's MACs, and why."""

    network: str
    phi: float
    reason: str


@dataclass(frozen=True)
class Scalings:
    """Holds the ways in which every hand-built network can be scaled to the members' MACs, and what cannot be.

    Attributes:
        by_place: By network and member, the distinct networks by the names of the axes that give them.
        unreachable: The pairs for which no axis comes near enough.
    """

    by_place: dict[Place, dict[str, ScaledArch]]
    unreachable: list[Unreachable]


def scalings(run: Driver) -> Scalings:
    """Returns how the hand-built networks can be scaled; computed once for a family."""
    digests = tuple((phi, expand(member.arch).digest) for phi, member in family.members(run).items())
    return run.compute_once((NAME, digests), lambda: _scalings(run))


def _scalings(run: Driver) -> Scalings:
    tolerance = run.study.options(scale.Options).tolerance
    places = [(name, arch, phi) for name, arch in hand_built(run.study).items() for phi in family.members(run)]
    by_place: dict[Place, dict[str, ScaledArch]] = {}
    unreachable = []
    for name, arch, phi in with_progress(places, "scaling hand-built networks", len(places)):
        target, names, nearest = family.members(run)[phi].macs, defaultdict(list), []
        archs: dict[str, ScaledArch] = {}
        for axis in DEFAULT_PRESETS:
            try:
                scaled = scale_to(arch, target, axis, tolerance)
            except InputError as error:
                nearest.append((float("inf"), str(error)))
                continue
            if miss := scaled.miss(tolerance):
                nearest.append((abs(scaled.deviation), miss))
                continue
            digest = expand(scaled.arch).digest
            names[digest].append(axis)
            archs[digest] = scaled
        place = Place(name, phi)
        if archs:
            by_place[place] = {" and ".join(names[digest]): scaled for digest, scaled in archs.items()}
        else:
            unreachable.append(Unreachable(name, phi, min(nearest)[1]))
    return Scalings(by_place, unreachable)


def chosen(run: Driver) -> dict[Place, tuple[str, ScaledArch]]:
    """Returns for every pair the axis that validation chose, and its network; the only one where there is no choice."""
    scores: dict[tuple[str, float], dict[str, Trial]] = defaultdict(dict)
    for trial in run.log.of(CHOICE):
        if trial.done:
            scores[trial.decisions["network"], trial.decisions["phi"]][trial.decisions["axis"]] = trial
    found = {}
    for place, archs in scalings(run).by_place.items():
        tried = {axis: trial for axis, trial in scores[place].items() if axis in archs}
        if len(archs) == 1 or tried:
            axis = max(tried, key=lambda axis: run.rank(tried[axis])) if tried else next(iter(archs))
            found[place] = axis, archs[axis]
    return found


class AxisChoice(Step):
    """Trains every way to scale a hand-built network to a member's MACs once, briefly, to choose one."""

    name = CHOICE
    title = "choosing how hand-built networks are scaled"
    needs = (scale.NAME, "transfer")
    may_end_early = True
    decision_names = ("phi",)

    def jobs(self, run: Driver) -> Jobs:
        if not run.study.options(Options).scaled:
            return
        recipe, number = run.recipe_of(scale.NAME), 0
        for place, archs in scalings(run).by_place.items():
            for axis, scaled in archs.items() if len(archs) > 1 else ():
                decisions: PlainDict = {"network": place.network, "phi": place.phi, "axis": axis}
                name = place.name(f"-by-{axis.replace(' and ', '-')}")
                arch = scaled.arch.with_(name=name)
                yield job_of(run.study, CHOICE, number, name, arch, decisions, recipe=recipe.at_phi(place.phi))
                number += 1

    def macs(self, study: Study, base_macs: float) -> list[float]:
        return [macs for macs in _targets(study, base_macs) for _ in DEFAULT_PRESETS]

    def description(self, study: Study) -> str:
        return "each to every member's MACs by depth, width, resolution, and EfficientNet's coefficients"

    def epochs(self, study: Study) -> int | str | None:
        return study.options(scale.Options).epochs


class ScaledBaselines(Step):
    """Trains the hand-built networks that were scaled to the members' MACs, as the members are."""

    name = NAME
    title = "training scaled hand-built networks"
    needs = (CHOICE,)
    may_end_early = True
    decision_names = ("phi",)
    tested = True

    def check(self, study: Study) -> None:
        options = study.options(Options)
        if options.scaled and not options.networks:
            raise InputError("needs hand-built networks to scale: compare.networks", "compare.scaled")

    def jobs(self, run: Driver) -> Jobs:
        if run.study.options(Options).scaled:
            yield from jobs_for_every_seed(run, NAME, list(_trainings(run)))

    def notes(self, run: Driver) -> list[str]:
        """Returns a sentence on every network that cannot be scaled to a member's MACs."""
        if not run.study.options(Options).scaled or not run.has_best(scale.NAME):
            return []
        return [
            f"{left_out.network} is left out at φ = {left_out.phi:g}: {left_out.reason}."
            for left_out in scalings(run).unreachable
        ]

    def macs(self, study: Study, base_macs: float) -> list[float]:
        trainings = 1 + len(further_recipes(study))
        return [macs for macs in _targets(study, base_macs) for _ in range(trainings)] * len(study.seeds)

    def description(self, study: Study) -> str:
        return "each by the way that validation chose, to every member's MACs"


def _trainings(run: Driver) -> Iterator[tuple[str, Arch, PlainDict, Recipe]]:
    """Yields name, network, decisions and recipe of every scaled network, under each recipe of the comparison."""
    recipes = {"": run.study.recipe_of(NAME), **further_recipes(run.study)}
    for place, (axis, scaled) in chosen(run).items():
        for recipe_name, recipe in recipes.items():
            decisions: PlainDict = {"network": place.network, "phi": place.phi, "axis": axis}
            name = f"{place.name()} under {recipe_name}" if recipe_name else place.name()
            decisions |= {"recipe": recipe_name} if recipe_name else {}
            yield name, scaled.arch.with_(name=place.name()), decisions, recipe.at_phi(place.phi)


def _targets(study: Study, base_macs: float) -> list[float]:
    """Returns the MACs of every pair of a hand-built network and a member."""
    if not study.options(Options).scaled:
        return []
    factor = study.options(scale.Options).factor
    return [base_macs * factor**phi for _ in hand_built(study) for phi in study.options(family.Options).phi]
