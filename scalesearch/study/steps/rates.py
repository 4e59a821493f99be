"""Whether the recipe scales: the learning rate swept at every φ, and whether its optimum moves."""

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
from scalesearch.study.steps.fixed import job_of
from scalesearch.study.study import Study
from scalesearch.trials import Jobs

NAME = "rates"
STILL = 1.0  # doublings within which an optimum counts as unmoved


@dataclass(frozen=True)
class Swept:
    """At one φ: the scores by factor of the recipe's rate, and where a parabola through the best and its neighbours has
    its top, in doublings of the rate; None where the best lies at an end of the sweep."""

    phi: float
    macs: int
    scores: tuple[tuple[float, float], ...]
    best: float
    top: float | None


def swept(run: Driver) -> list[Swept]:
    """By φ."""
    found = []
    for phi in run.study.options(fidelity.Options).phi:
        trials = [t for t in run.log.of(NAME) if t.decisions["phi"] == phi and t.done]
        scores = sorted((t.decisions["rate"], run.score(t)) for t in trials)
        if scores:
            best = max(range(len(scores)), key=lambda i: scores[i][1])
            found.append(Swept(phi, trials[0].cost["macs"], tuple(scores), scores[best][0], _top(scores, best)))
    return found


def _top(scores: list[tuple[float, float]], best: int) -> float | None:
    if not 0 < best < len(scores) - 1:
        return None
    (a, x), (b, y), (c, z) = ((math.log2(rate), score) for rate, score in scores[best - 1 : best + 2])
    left, right = (y - x) / (b - a), (z - y) / (c - b)
    bend = (right - left) / (c - a)
    return b if bend >= 0 else round((a + b) / 2 - left / (2 * bend), 3)


def moves(found: list[Swept]) -> str:
    """Whether the optimum moves, in words."""
    if len(found) < 2:
        return ""
    if all(s.top is None for s in found) and len({s.best for s in found}) == 1:
        return (
            f"At every φ the best learning rate of those tried is the recipe's × {found[0].best:g}, at an end of "
            "the sweep: whether the optimum moves needs a wider one."
        )
    tops = [math.log2(s.best) if s.top is None else s.top for s in found]
    span = max(tops) - min(tops)
    at = ", ".join(
        f"φ = {s.phi:g}: ×{2**top:.2g}" + (" (an end of the sweep)" if s.top is None else "")
        for s, top in zip(found, tops, strict=True)
    )
    said = "stays where it is" if span <= STILL else f"moves by a factor of {2**span:.2g}"
    return f"The best learning rate {said} from φ = {found[0].phi:g} to {found[-1].phi:g} (of the recipe's, {at})."


class RateSweep(Step):
    """Sweeps the learning rate at every φ, to see whether its optimum moves."""

    name = NAME
    title = "sweeping the learning rate"
    may_end_early = True
    decided = ("phi", "rate")
    fragments = (fragment(40, __file__),)

    def jobs(self, run: Driver) -> Jobs:
        study = run.study
        options, growth = study.options(fidelity.Options), study.options(scale.Options)
        _, base = max(fidelity.drawn(study), key=lambda found: cost(found[1]).macs)
        recipe, number = study.recipe_of(NAME), 0
        for phi in options.phi:
            target = round(cost(base).macs * growth.factor**phi)
            arch = base if phi == 0 else scale_to(base, target, PRESETS["efficientnet"], growth.tolerance).arch
            for factor in options.rates:
                job = job_of(
                    study,
                    NAME,
                    number,
                    f"phi{phi:g} rate ×{factor:g}",
                    arch,
                    {"phi": phi, "rate": factor},
                    recipe=replace(recipe.at_phi(phi), learning_rate=recipe.learning_rate * factor),
                )
                yield from run.once(job)
                number += 1

    def conclusions(self, run: Driver) -> PlainDict:
        found = swept(run)
        return {"rates": found, "rates_say": moves(found)}

    def macs(self, study: Study, base_macs: float) -> list[float]:
        options, growth = study.options(fidelity.Options), study.options(scale.Options)
        return [base_macs * growth.factor**phi for phi in options.phi for _ in options.rates]

    def what(self, study: Study) -> str:
        return f"rates × {', '.join(f'{r:g}' for r in study.options(fidelity.Options).rates)} at every φ"

    def notes(self, run: Driver) -> list[str]:
        return [line for line in [moves(swept(run))] if line]
