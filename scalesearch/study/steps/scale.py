"""α, β, γ: a search over the distinct ways to scale the base by a factor of its counted MACs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Annotated, Literal, cast

import numpy as np

from scalesearch.arch import expand
from scalesearch.budget import budget_from_dict, reference_quantities
from scalesearch.errors import InputError, WorkFailed, check_distinct, errors_at, format_count
from scalesearch.plain_data import PlainDict
from scalesearch.progress import with_progress
from scalesearch.scaling import PRESETS, ScaledArch, ScalingSpace, Shares, scale_to
from scalesearch.searchers import DEFAULT, DEFAULT_PRESETS, Problem, ScaleProblem, Search, check_searcher
from scalesearch.signature import Count, Rule
from scalesearch.statistics import NORMAL_95, standard_error
from scalesearch.study.driver import Driver
from scalesearch.study.page import Figure, Info, figure, fragment
from scalesearch.study.step import Step
from scalesearch.study.steps.base import early_end
from scalesearch.study.steps.finalists import base_of
from scalesearch.study.study import Study
from scalesearch.trials import Job, Jobs, Trial

NAME = "scale"
SCORE_DRAWS = 4_000
REFERENCE = "efficientnet"  # the preset that the scaling found is compared with
CORNERS = ("depth", "width", "resolution")  # presets at the corners, which the axes name


@dataclass(frozen=True)
class Options:
    """Options of the search for α, β, γ.

    Attributes:
        factor: The growth of MACs per unit of φ.
        with_: The searcher.
        trials: How many scalings are tried.
        tolerance: The relative deviation of MACs within which a network counts as on target.
        epochs: Epochs of each training; `auto` for as few as rank networks like the full training.
        phi: The φ at which scalings are tried: 1, and larger ones to see whether the choice carries over.
        transfer: How many of the scalings tried at φ = 1 are trained at each larger φ.
        budget: Further bounds on the networks at φ = 1; relative ones are written `1.5x base`.
        rivals: Whether the named scalings are also fully trained at φ = 1 with every seed and compared with the one
            found.
    """

    factor: Annotated[float, Rule(low=1.1, high=16)] = 2.0
    with_: str = DEFAULT
    trials: Count = 18
    tolerance: Annotated[float, Rule(low=0, high=0.5)] = 0.02
    epochs: Count | Literal["auto"] | None = None
    phi: tuple[Annotated[float, Rule(low=1, high=10)], ...] = (1.0,)
    transfer: Annotated[int, Rule(low=3, high=1000)] = 5
    budget: PlainDict | None = None
    rivals: bool = False


@dataclass(frozen=True)
class Point:
    """Holds a trial of the search by its shares of depth, width and resolution."""

    name: str
    depth: float
    width: float
    resolution: float
    macs: int
    deviation: float
    score: float | None
    presets: tuple[str, ...]
    error: float | None = None  # standard error of the score; None if unknown


@dataclass(frozen=True)
class Scaling:
    """Holds the result of the search: the best α, β, γ, their uncertainty, and every trial."""

    alpha: float
    beta: float
    gamma: float
    errors: tuple[float, ...]  # standard deviations of α, β, γ over the scalings that may be the best; () if unknown
    trials: int
    best: str
    score: float
    target: int
    tolerance: float
    points: tuple[Point, ...]

    @property
    def misses(self) -> list[Point]:
        """Points whose MACs miss the target by more than the tolerance, because the axes are too coarse."""
        return [p for p in self.points if abs(p.deviation) > self.tolerance]


def space_of(run: Driver) -> ScalingSpace:
    """Returns the space of ways to scale the base. Raises `WorkFailed` while there is no base."""
    base, options = base_of(run), run.study.options(Options)
    return run.compute_once(
        (NAME, base.network), lambda: ScalingSpace(run.log.arch(base), options.factor, options.tolerance)
    )


def problem_of(run: Driver) -> ScaleProblem:
    """Returns the search problem: the ways to scale the base inside `scale.budget`."""
    space, study = space_of(run), run.study
    budget = budget_from_dict(study.options(Options).budget or {}, reference_quantities(study.networks, space.base))
    return ScaleProblem(space, DEFAULT_PRESETS, budget)


def best_shares(run: Driver) -> Shares:
    """Returns the shares of the best scaling. Raises `WorkFailed` if none was trained to the end."""
    return ScalingSpace.shares(run.best(NAME).decisions)


def preset_networks(run: Driver) -> dict[str, ScaledArch]:
    """Returns the network that each named scaling makes of the base at φ = 1."""
    space = space_of(run)

    def scaled() -> dict[str, ScaledArch]:
        presets = with_progress(PRESETS.items(), "scaling the base", len(PRESETS))
        return {name: scale_to(space.base, space.target, shares, space.tolerance) for name, shares in presets}

    return run.compute_once((NAME, "presets"), scaled)


def scaling(run: Driver) -> Scaling | None:
    """Returns what the search has found; None before any scaling was trained to the end."""
    return run.log.cached("scaling", lambda: _scaling(run))


def _scaling(run: Driver) -> Scaling | None:
    if not run.has_best(NAME):
        return None
    best, space, key = run.best(NAME), space_of(run), run.study.evaluator.score.key
    target = space.target
    presets: dict[str, list[str]] = {}
    for name, scaled in preset_networks(run).items():
        presets.setdefault(expand(scaled.arch).digest, []).append(name)
    points = []
    for trial in run.log.of(NAME):
        a, b, c, _ = ScalingSpace.shares(trial.decisions)
        macs, aliases = trial.cost["macs"], tuple(presets.get(trial.network, ()))
        score, deviation = trial.scores.get(key), round(macs / target - 1, 5)
        error = None if score is None else _score_error(run, score)
        points.append(Point(trial.name, a, b, c, macs, deviation, score, aliases, error))
    alpha, beta, gamma = (round(m, 4) for m in best_shares(run).multipliers(space.factor))
    errors = tuple(round(e, 4) for e in _multiplier_errors(run, [t for t in run.log.of(NAME) if t.done]))
    return Scaling(
        alpha, beta, gamma, errors, len(points), best.name, best.scores[key], target, space.tolerance, tuple(points)
    )


def _multiplier_errors(run: Driver, trials: list[Trial]) -> list[float]:
    """Returns the standard deviations of α, β and γ over the scalings that may be the best.

    Each is weighted by the probability that it is the best, given the standard error of its score on the validation
    images. Nothing is returned where that is unknown.
    """
    rng, known = np.random.default_rng(0), [_score_error(run, abs(run.score(t))) for t in trials]
    if None in known:
        return []
    scores, errors = np.array([run.score(t) for t in trials]), np.array(known, dtype=float)
    winners = rng.normal(scores, errors, (SCORE_DRAWS, len(trials))).argmax(1)
    wins = np.bincount(winners, minlength=len(trials)) / SCORE_DRAWS
    points = np.array([ScalingSpace.shares(t.decisions).multipliers(space_of(run).factor) for t in trials])
    return cast(list[float], np.sqrt(wins @ (points - wins @ points) ** 2).tolist())


def _score_error(run: Driver, score: float) -> float | None:
    """Returns the standard error of one validation score by the number of images; None if it is unknown."""
    training = run.study.trained
    return standard_error([score], training.task.images(training.data, "val"))


def _are_told_apart(a: Point, b: Point) -> bool | None:
    """Returns whether the 95 % intervals of two scores are apart; None if they are unknown."""
    if a.score is None or b.score is None or a.error is None or b.error is None:
        return None
    return abs(a.score - b.score) > NORMAL_95 * (a.error + b.error)


def triangle(info: Info) -> Figure:
    """Returns a ternary plot of the validation score over the shares of depth, width and resolution."""
    result, axis = info.conclusions["scaling"], info.axis
    # the best on top
    points = sorted((p for p in result.points if p.score is not None), key=lambda p: axis.to_maximise(p.score))
    scores = [p.score for p in points]
    colorbar: PlainDict = {"thickness": 10, "len": 0.8, "orientation": "h", "y": -0.16, "yanchor": "top"}
    colorbar |= {"title": {"text": axis.name, "side": "top"}, "tickformat": f".1{axis.format}"}
    trace = {
        "type": "scatterternary",
        "a": [p.depth for p in points],
        "b": [p.width for p in points],
        "c": [p.resolution for p in points],
        "mode": "markers+text",
        "text": _triangle_labels(points, result.best),
        "textposition": "top center",
        "textfont": {"size": 11},
        "cliponaxis": False,
        "marker": {
            "size": [17 if p.name == result.best else 11 for p in points],
            "color": scores,
            "symbol": ["star" if p.name == result.best else "circle" for p in points],
            "colorscale": "Viridis",
            "line": {"color": "#111827", "width": 0.8},
            "showscale": True,
            "cmin": _typical_low(scores),
            "cmax": max(scores),
            "colorbar": colorbar,
        },
        "customdata": [[p.name, ", ".join(p.presets) or "searched", p.score, p.macs, p.deviation] for p in points],
        "hovertemplate": "<b>%{customdata[0]}</b> (%{customdata[1]})<br>depth %{a:.2f}, width %{b:.2f}, resolution "
        f"%{{c:.2f}}<br>%{{customdata[2]:.2{axis.format}}}, "
        "%{customdata[3]:,} MACs (%{customdata[4]:+.2%})<extra></extra>",
    }
    titles = {"aaxis": "depth (α)", "baxis": "width<br>(β)", "caxis": "resolution<br>(γ)"}
    axes = {name: {"title": title, "ticks": ""} for name, title in titles.items()}
    ternary = {"sum": 1, "bgcolor": "#f8fafc", **axes}
    return figure([trace], 500, margin={"l": 64, "r": 64, "t": 40, "b": 110}, ternary=ternary)


def _triangle_labels(points: list[Point], best: str) -> list[str]:
    """Returns the label of every point; points with the same shares share one, at the topmost of them."""

    def place(point: Point) -> tuple[float, float]:
        return round(point.depth, 2), round(point.width, 2)

    names: dict[tuple[float, float], list[str]] = defaultdict(list)
    for p in points:
        names[place(p)] += [*(n for n in p.presets if n not in CORNERS), *(["<b>best</b>"] if p.name == best else [])]
    top = {place(p): p for p in points}
    return [", ".join(names[place(p)]) if top[place(p)] is p else "" for p in points]


def _typical_low(scores: list[float]) -> float:
    """Returns the score of the lowest colour: the lower quartile minus its distance to the best, so that one failed
    training does not use up the colour range.
    """
    ordered = sorted(scores)
    return max(ordered[0], ordered[len(ordered) // 4] - (ordered[-1] - ordered[len(ordered) // 4]))


class ScalingSearch(Step):
    """Searches α, β, γ over the distinct ways to scale the base."""

    name = NAME
    title = "searching α, β, γ"
    key = "scale"
    options = Options
    needs = ("base", "finalists")
    may_end_early = True
    search_title = "scaling search"
    epochs_key = "scaling epochs"
    planned_from = ("pace", "base", "finalists")
    open_searches = (NAME,)
    fragments = (fragment(50, __file__),)

    def check(self, study: Study) -> None:
        """Raises `InputError` for an unknown searcher, too few trials for the presets, or unreadable bounds."""
        options = study.options(Options)
        with errors_at(NAME):
            with errors_at("with"):
                check_searcher(options.with_)
            if options.trials < len(DEFAULT_PRESETS):
                raise InputError(
                    f"must be at least {len(DEFAULT_PRESETS)}, got {options.trials}: EfficientNet's coefficients, "
                    "depth, width and resolution alone are always among them",
                    "trials",
                )
            if 1 not in options.phi:
                raise InputError("must hold 1, where the coefficients are searched", "phi")
            check_distinct(options.phi, "phi")
            with errors_at("budget"):  # the base's own counts are not known yet; 1 stands in for them
                zoo = reference_quantities(study.networks)
                budget_from_dict(options.budget or {}, lambda name, key: 1.0 if name == "base" else zoo(name, key))

    def jobs(self, run: Driver) -> Jobs:
        study, options, problem = run.study, run.study.options(Options), problem_of(run)
        if not problem.networks:
            reachable = len(problem.space.networks)
            raise WorkFailed(f"scale.budget: none of the {reachable:,} networks near φ = 1 has {problem.budget}")
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
            first=list(problem.preset_networks.values()),
        )
        for job in search.jobs(run.log):
            yield replace(job, recipe=recipe.at_phi(1.0)) if isinstance(job, Job) else job

    def result_sentence(self, run: Driver) -> str:
        """Returns the best α, β, γ in words, and whether they are told apart from EfficientNet's; empty without any."""
        result, task = scaling(run), run.study.trained.task
        if result is None:
            return ""
        done = [trial for trial in run.log.of(NAME) if trial.done]
        if all(trial.untrained for trial in done):
            count = format_count(len(done), "training")
            return f"None of the {count} of the scaling search taught a network anything, so α, β and γ say nothing."
        best = next(p for p in result.points if p.name == result.best)
        numbers = zip(
            ("α", "β", "γ"),
            (result.alpha, result.beta, result.gamma),
            result.errors or [None] * 3,
            ("depth", "width", "resolution"),
        )
        shown = ", ".join(
            f"{letter} = {value:.3f}{'' if error is None else f' ± {error:.3f}'} ({axis})"
            for letter, value, error, axis in numbers
        )
        trials, epochs = format_count(result.trials, "trial"), format_count(run.recipe_of(NAME).epochs, "epoch")
        score = f"{task.format(result.score)} validation {task.score}"
        meaning = " ± is the standard deviation over the scalings that may be the best." if result.errors else ""
        if REFERENCE in best.presets:
            return f"The best of {trials} of {epochs} is EfficientNet's own scaling: {shown}, {score}.{meaning}"
        reference = next((p for p in result.points if REFERENCE in p.presets and p.score is not None), None)
        sentence = f"{shown}, found in {trials} of {epochs}: {score}"
        if reference is None:
            return f"{sentence}.{meaning}"
        against = f"{task.format(reference.score or 0.0)} for EfficientNet's coefficients at the same MACs"
        match _are_told_apart(best, reference):
            case True:
                return f"{sentence}, against {against}.{meaning}"
            case False:
                return f"{sentence}, not told apart from {against}: their 95 % intervals overlap.{meaning}"
        return f"{sentence}, against {against}; one training each does not say whether they differ.{meaning}"

    def notes(self, run: Driver) -> list[str]:
        """Returns sentences on a search that ended early, and on every scaling that cannot reach its MACs."""
        result = scaling(run)
        sentences = early_end(run, NAME, run.study.options(Options).trials)
        if result:
            sentences += [
                f"{' and '.join(p.presets) or p.name} alone cannot reach {result.target:,} MACs within "
                f"{result.tolerance:.0%}: the nearest network has {p.macs:,} ({p.deviation:+.2%})."
                for p in result.misses
            ]
        return sentences

    def macs(self, study: Study, base_macs: float) -> list[float]:
        options = study.options(Options)
        return [base_macs * options.factor] * options.trials

    def description(self, study: Study) -> str:
        return f"{study.options(Options).with_} over α, β, γ"

    def epochs(self, study: Study) -> int | str | None:
        return study.options(Options).epochs

    def require_result(self, run: Driver) -> None:
        run.best(NAME)

    def problem(self, run: Driver) -> Problem | None:
        return problem_of(run)

    def searcher(self, study: Study) -> str:
        return study.options(Options).with_

    def conclusions(self, run: Driver) -> PlainDict:
        return {"scaling": scaling(run), "scaling_sentence": self.result_sentence(run)}

    def figures(self, info: Info) -> dict[str, Figure]:
        return {"triangle": triangle(info)} if info.conclusions.get("scaling") else {}
