"""The family: the base and its scalings to factor^φ of its counted MACs, fully trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from scalesearch.counting import cost
from scalesearch.errors import InputError, check_distinct
from scalesearch.scaling import MOST_FACTOR, ScaledArch, scale_to
from scalesearch.signature import Rule
from scalesearch.study.driver import Driver
from scalesearch.study.step import Step
from scalesearch.study.steps import scale
from scalesearch.study.steps.network_jobs import jobs_for_every_seed
from scalesearch.study.study import Study
from scalesearch.trials import Jobs

NAME = "family"


@dataclass(frozen=True)
class Options:
    """Options of the family.

    Attributes:
        phi: The φ of the members.
        distill: Whether all but the largest are trained again with the largest as teacher beside the labels; the gain
            is reported, and the weights are kept beside the others.
    """

    phi: tuple[Annotated[float, Rule(low=0, high=10)], ...] = (0.0, 1.0, 2.0, 3.0)
    distill: bool = False


def members(run: Driver) -> dict[float, ScaledArch]:
    """Returns the members by φ, each scaled from the base to factor^φ of its counted MACs.

    Raises:
        WorkFailed: If no scaling was trained to the end.
    """
    study, options, best, space = run.study, run.study.options(scale.Options), run.best(scale.NAME), scale.space_of(run)
    base, shares = space.base, scale.best_shares(run)
    macs = cost(base).macs
    existing = {
        0.0: ScaledArch(base, macs, macs, shares),
        1.0: ScaledArch(run.log.arch(best), best.cost["macs"], space.target, shares),
    }

    def member(phi: float) -> ScaledArch:
        scaled = existing.get(phi) or scale_to(base, round(macs * options.factor**phi), shares, options.tolerance)
        return replace(scaled, arch=scaled.arch.with_(name=f"{study.name}-phi{phi:g}"))

    return run.compute_once((NAME, best.network), lambda: {phi: member(phi) for phi in study.options(Options).phi})


class FamilyTraining(Step):
    """Trains the family: the base and its scalings to factor^φ of its counted MACs."""

    name = NAME
    title = "training the family"
    key = "family"
    options = Options
    needs = (scale.NAME, "transfer")
    decision_names = ("phi",)
    tested = True
    by_class = "members"
    planned_from = ("pace", "base", "finalists", "scale", "transfer")

    def check(self, study: Study) -> None:
        phi, task = study.options(Options).phi, study.trained.task
        check_distinct(phi, f"{NAME}.phi")
        if study.options(Options).distill and not task.teaches:
            raise InputError(f"networks for {task.name} learn from labels alone here; leave it out", f"{NAME}.distill")
        largest = study.options(scale.Options).factor ** max(phi, default=0)
        if largest > MOST_FACTOR:
            raise InputError(
                f"the largest member would have {largest:,.0f} times the base's MACs; at most {MOST_FACTOR:,} times",
                f"{NAME}.phi",
            )

    def jobs(self, run: Driver) -> Jobs:
        recipe = run.study.recipe_of(NAME)
        rows = [(m.arch.name, m.arch, {"phi": phi}, recipe.at_phi(phi)) for phi, m in members(run).items()]
        yield from jobs_for_every_seed(run, NAME, rows, "family/{name}/weights.safetensors")

    def macs(self, study: Study, base_macs: float) -> list[float]:
        factor = study.options(scale.Options).factor
        return [base_macs * factor**phi for phi in study.options(Options).phi] * len(study.seeds)

    def description(self, study: Study) -> str:
        return f"φ = {', '.join(f'{phi:g}' for phi in study.options(Options).phi)}"

    def class_results(self, run: Driver) -> list[str]:
        by_cost = sorted(run.log.of(NAME), key=lambda t: (t.cost["macs"], t.name))
        return list(dict.fromkeys(trial.name for trial in by_cost))
