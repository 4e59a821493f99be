"""α, β, γ: a search over the distinct ways to scale the base by a factor of its counted MACs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np

from scalesearch.arch import expand
from scalesearch.budget import budget_of, relative_to
from scalesearch.errors import InputError, WorkFailed, distinct, inside, numbered
from scalesearch.scaling import PRESETS, Scaled, ScalingSpace, Shares, scale_to
from scalesearch.searchers import DEFAULT, TRIED_ALWAYS, Job, Jobs, ScaleProblem, Search, Trial, check_searcher
from scalesearch.signature import Count, Rule
from scalesearch.statistics import standard_error
from scalesearch.study.driver import Driver
from scalesearch.study.step import Step, fewer_may_do
from scalesearch.study.steps.base import short
from scalesearch.study.steps.finalists import base_of
from scalesearch.study.study import Study
from scalesearch.watched import watched

NAME = "scale"
LIKELY_DRAWS = 4_000


@dataclass(frozen=True)
class Options:
    """The search for α, β, γ: the growth per unit of φ, and within which share of it a network counts as on budget.

    `phi` beyond 1 trains `transfer` of the ways that were tried at φ = 1 at those sizes too, to see whether the choice
    carries over. `budget` are further bounds on the networks at φ = 1, relative ones as `1.5x base`. With `rivals` the
    named ways to scale are trained whole at φ = 1 too, with every seed, and held against the one found.
    """

    factor: Annotated[float, Rule(low=1.1, high=16)] = 2.0
    with_: str = DEFAULT
    trials: Count = 18
    tolerance: Annotated[float, Rule(low=0, high=0.5)] = 0.02
    epochs: Count | Literal["auto"] | None = None
    phi: tuple[Annotated[float, Rule(low=1, high=10)], ...] = (1.0,)
    transfer: Annotated[int, Rule(low=3, high=1000)] = 5
    budget: dict | None = None
    rivals: bool = False


@dataclass(frozen=True)
class Point:
    """A trial of the search in the triangle of shares."""

    name: str
    depth: float
    width: float
    resolution: float
    macs: int
    deviation: float
    score: float | None
    presets: tuple[str, ...]


@dataclass(frozen=True)
class Scaling:
    """What the search found."""

    alpha: float
    beta: float
    gamma: float
    errors: tuple[float, ...]  # of α, β, γ: their spread over the ways that may be the best
    trials: int
    best: str
    score: float
    target: int
    tolerance: float
    points: tuple[Point, ...]

    @property
    def misses(self) -> list[Point]:
        """Points whose axes are too coarse for the tolerance: the nearest reachable network stands in."""
        return [p for p in self.points if abs(p.deviation) > self.tolerance]


def check(study: Study) -> None:
    """Raises `InputError` for a searcher that there is not, too few trials for the presets, and unreadable bounds."""
    options = study.options(Options)
    with inside(NAME):
        with inside("with"):
            check_searcher(options.with_)
        if options.trials < len(TRIED_ALWAYS):
            raise InputError(
                f"must be at least {len(TRIED_ALWAYS)}, got {options.trials}: EfficientNet's "
                f"coefficients, depth, "
                "width and resolution alone are always among them",
                "trials",
            )
        if 1 not in options.phi:
            raise InputError("must hold 1, where the coefficients are searched", "phi")
        distinct(options.phi, "phi")
        with inside("budget"):  # what the base counts is known when it is found
            zoo = relative_to(study.networks)
            budget_of(options.budget or {}, lambda name, key: 1.0 if name == "base" else zoo(name, key))


def space_of(run: Driver) -> ScalingSpace:
    """The ways to scale the base; asked for when it is chosen."""
    base, options = base_of(run), run.study.options(Options)
    return run.remembered(
        (NAME, base.network), lambda: ScalingSpace(run.log.arch(base), options.factor, options.tolerance)
    )


def problem_of(run: Driver) -> ScaleProblem:
    space, study = space_of(run), run.study
    budget = budget_of(study.options(Options).budget or {}, relative_to(study.networks, space.base))
    return ScaleProblem(space, TRIED_ALWAYS, budget)


def jobs(run: Driver) -> Jobs:
    study, options, problem = run.study, run.study.options(Options), problem_of(run)
    if not problem.networks:
        there = len(problem.space.networks)
        raise WorkFailed(f"scale.budget: none of the {there:,} networks near φ = 1 has {problem.budget}")
    recipe = run.recipe_of(NAME)
    search = Search(
        problem,
        study.evaluator.score,
        options.trials,
        options.with_,
        NAME,
        study.seeds[0],
        f"{study.seeds[0]}-{NAME}",
        study.parallel,
        (recipe.epochs,),
        first=list(problem.always.values()),
    )
    for job in search.jobs(run.log):
        yield replace(job, recipe=recipe.grown(1.0)) if isinstance(job, Job) else job


def shares_of(run: Driver) -> Shares:
    """The shares of the best way to scale. Raises `WorkFailed` where none was trained."""
    return ScalingSpace.shares(run.best(NAME).decisions)


def preset_networks(run: Driver) -> dict[str, Scaled]:
    """What each named way to scale makes of the base at φ = 1."""
    space = space_of(run)

    def scaled(shares):
        return scale_to(space.base, space.target, shares, space.tolerance)

    return run.remembered(
        (NAME, "presets"),
        lambda: {name: scaled(shares) for name, shares in watched(PRESETS.items(), "scaling the base", len(PRESETS))},
    )


def scaling(run: Driver) -> Scaling | None:
    if not run.has_best(NAME):
        return None
    best, space, score = run.best(NAME), space_of(run), run.study.evaluator.score
    presets: dict[str, list[str]] = {}
    for name, scaled in preset_networks(run).items():
        presets.setdefault(expand(scaled.arch).digest, []).append(name)
    points = []
    for trial in run.log.of(NAME):
        a, b, c, _ = ScalingSpace.shares(trial.decisions)
        off = round(trial.cost["macs"] / space.target - 1, 5)
        points.append(
            Point(
                trial.name,
                a,
                b,
                c,
                trial.cost["macs"],
                off,
                trial.scores.get(score.key),
                tuple(presets.get(trial.network, ())),
            )
        )
    alpha, beta, gamma = (round(m, 4) for m in shares_of(run).multipliers(space.factor))
    errors = tuple(round(e, 4) for e in _errors(run, [t for t in run.log.of(NAME) if t.done]))
    return Scaling(
        alpha,
        beta,
        gamma,
        errors,
        len(points),
        best.name,
        best.scores[score.key],
        space.target,
        space.tolerance,
        tuple(points),
    )


def _errors(run: Driver, trials: list[Trial]) -> list[float]:
    """How far α, β and γ spread over the ways to scale that may be the best, each weighed by the probability that it
    is, its score being known no better than that many validation images allow."""
    rng, training = np.random.default_rng(0), run.study.trained
    images = training.task.images(training.data, "val")
    scores = np.array([run.score(t) for t in trials])
    errors = np.array([standard_error([abs(score)], images) for score in scores])
    wins = (
        np.bincount(rng.normal(scores, errors, (LIKELY_DRAWS, len(trials))).argmax(1), minlength=len(trials))
        / LIKELY_DRAWS
    )
    points = np.array([ScalingSpace.shares(t.decisions).multipliers(space_of(run).factor) for t in trials])
    return np.sqrt(wins @ (points - wins @ points) ** 2).tolist()


def sentence(run: Driver) -> str:
    """What was found, in words; nothing where nothing was yet."""
    found, task = scaling(run), run.study.trained.task
    if found is None:
        return ""
    ea, eb, ec = found.errors
    said = (
        f"α = {found.alpha:.3f} ± {ea:.3f} (depth), β = {found.beta:.3f} ± {eb:.3f} (width), γ = "
        f"{found.gamma:.3f} ± {ec:.3f} "
        f"(resolution), found in {numbered(found.trials, 'trial')} of "
        f"{numbered(run.recipe_of(NAME).epochs, 'epoch')}: {task.shown(found.score)} "
        f"validation {task.score}"
    )
    reference = next((p.score for p in found.points if "efficientnet" in p.presets and p.score is not None), None)
    if reference is None:
        return said + "."
    return f"{said}, against {task.shown(reference)} for EfficientNet's coefficients at the same MACs."


def says(run: Driver) -> list[str]:
    """The searches that ended early, and every way to scale whose axes are too coarse for its budget."""
    found = scaling(run)
    misses = (
        [
            f"{' and '.join(p.presets) or p.name} alone cannot reach {found.target:,} MACs within "
            f"{found.tolerance:.0%}: "
            f"the nearest network has {p.macs:,} ({p.deviation:+.2%})."
            for p in found.misses
        ]
        if found
        else []
    )
    return [*short(run, NAME, run.study.options(Options).trials), *misses]


def macs(study: Study, base_macs: float) -> list[float]:
    options = study.options(Options)
    return [base_macs * options.factor] * options.trials


STEP = Step(
    NAME,
    ended=fewer_may_do,
    title="searching α, β, γ",
    key="scale",
    options=Options,
    check=check,
    needs=("base", "finalists"),
    jobs=jobs,
    macs=macs,
    what=lambda study: f"{study.options(Options).with_} over α, β, γ",
    epochs=lambda study: study.options(Options).epochs,
    concludes=lambda run: {"scaling": scaling(run)},
    says=says,
    lead=sentence,
    settled=lambda run: run.best(NAME),
    stored=problem_of,
)
