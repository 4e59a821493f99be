"""Whether the recipe scales: a sweep of the learning rate at every φ, and whether its optimum moves."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from scalesearch.counting import cost
from scalesearch.plain_data import PlainDict
from scalesearch.scaling import PRESETS, scale_to
from scalesearch.study.driver import Driver
from scalesearch.study.page import fragment
from scalesearch.study.step import Step
from scalesearch.study.steps import fidelity, scale
from scalesearch.study.steps.network_jobs import job_of
from scalesearch.study.study import Study
from scalesearch.trials import Jobs

NAME = "rates"
UNMOVED_DOUBLINGS = 1.0  # doublings of the rate within which the optimum counts as unmoved


@dataclass(frozen=True)
class RateCurve:
    """Holds the sweep of the learning rate at one φ.

    Attributes:
        phi: The φ.
        macs: The MACs of the network.
        scores: Pairs of a factor of the recipe's rate and the score; larger is better.
        best: The factor with the best score.
        top: The vertex of a parabola through the best and its neighbours, in doublings of the rate; None if the best
            lies at an end of the sweep.
    """

    phi: float
    macs: int
    scores: tuple[tuple[float, float], ...]
    best: float
    top: float | None


def rate_curves(run: Driver) -> list[RateCurve]:
    """Returns the sweep at each φ, in the order of the options."""
    curves = []
    for phi in run.study.options(fidelity.Options).phi:
        trials = [t for t in run.log.of(NAME) if t.decisions["phi"] == phi and t.done]
        scores = sorted((t.decisions["rate"], run.score(t)) for t in trials)
        if scores:
            best = max(range(len(scores)), key=lambda i: scores[i][1])
            curves.append(RateCurve(phi, trials[0].cost["macs"], tuple(scores), scores[best][0], _top(scores, best)))
    return curves


def _top(scores: list[tuple[float, float]], best: int) -> float | None:
    if not 0 < best < len(scores) - 1:
        return None
    (a, x), (b, y), (c, z) = ((math.log2(rate), score) for rate, score in scores[best - 1 : best + 2])
    left, right = (y - x) / (b - a), (z - y) / (c - b)
    bend = (right - left) / (c - a)
    return b if bend >= 0 else round((a + b) / 2 - left / (2 * bend), 3)


def optimum_shift(curves: list[RateCurve]) -> str:
    """Returns a sentence that says whether the best learning rate depends on φ; empty for fewer than two φ."""
    if len(curves) < 2:
        return ""
    if all(s.top is None for s in curves) and len({s.best for s in curves}) == 1:
        return (
            f"At every φ the best learning rate of those tried is the recipe's × {curves[0].best:g}, at an end of "
            "the sweep: whether the optimum moves needs a wider one."
        )
    tops = [math.log2(s.best) if s.top is None else s.top for s in curves]
    span = max(tops) - min(tops)
    where = ", ".join(
        f"φ = {s.phi:g}: ×{2**top:.2g}" + (" (an end of the sweep)" if s.top is None else "")
        for s, top in zip(curves, tops, strict=True)
    )
    verb = "stays where it is" if span <= UNMOVED_DOUBLINGS else f"moves by a factor of {2**span:.2g}"
    return f"The best learning rate {verb} from φ = {curves[0].phi:g} to {curves[-1].phi:g} (of the recipe's, {where})."


class RateSweep(Step):
    """Sweeps the learning rate at every φ, to see whether its optimum moves."""

    name = NAME
    title = "sweeping the learning rate"
    may_end_early = True
    decision_names = ("phi", "rate")
    fragments = (fragment(40, __file__),)

    def jobs(self, run: Driver) -> Jobs:
        study = run.study
        options, growth = study.options(fidelity.Options), study.options(scale.Options)
        _, base = max(fidelity.sample_networks(study), key=lambda network: cost(network[1]).macs)
        recipe, number = study.recipe_of(NAME), 0
        for phi in options.phi:
            target = round(cost(base).macs * growth.factor**phi)
            arch = base if phi == 0 else scale_to(base, target, PRESETS["efficientnet"], growth.tolerance).arch
            for factor in options.rates:
                name, decisions = f"phi{phi:g} rate ×{factor:g}", {"phi": phi, "rate": factor}
                rated_recipe = replace(recipe.at_phi(phi), learning_rate=recipe.learning_rate * factor)
                yield job_of(study, NAME, number, name, arch, decisions, recipe=rated_recipe)
                number += 1

    def conclusions(self, run: Driver) -> PlainDict:
        curves = rate_curves(run)
        return {"rates": curves, "rates_say": optimum_shift(curves)}

    def macs(self, study: Study, base_macs: float) -> list[float]:
        options, growth = study.options(fidelity.Options), study.options(scale.Options)
        return [base_macs * growth.factor**phi for phi in options.phi for _ in options.rates]

    def description(self, study: Study) -> str:
        return f"rates × {', '.join(f'{r:g}' for r in study.options(fidelity.Options).rates)} at every φ"

    def notes(self, run: Driver) -> list[str]:
        return [line for line in [optimum_shift(rate_curves(run))] if line]
