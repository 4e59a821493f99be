"""The hand-built networks under the same recipe, and the comparison with the family."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf, log, log2
from statistics import mean, stdev

from scalesearch.arch import Arch, format_resolution
from scalesearch.counting import cost
from scalesearch.errors import InputError, check_distinct, errors_at, unknown_message
from scalesearch.plain_data import PlainDict
from scalesearch.scaling import realised_multipliers
from scalesearch.statistics import NORMAL_95, front, front_probability, hypervolume, interval, standard_error
from scalesearch.study.class_results import read_class_results
from scalesearch.study.driver import Driver
from scalesearch.study.page import (
    FAMILY,
    HAND_BUILT,
    TRIALS,
    Figure,
    Info,
    ScoreAxis,
    figure,
    fragment,
    log_axis,
    scatter,
)
from scalesearch.study.step import Step
from scalesearch.study.steps import family, scale, scaled
from scalesearch.study.steps.compared_row import ComparedRow
from scalesearch.study.steps.decision import decide
from scalesearch.study.steps.equal_macs import equal_macs, equal_macs_sentence
from scalesearch.study.steps.hand_built import NAME, Options, fitted_networks, further_recipes, hand_built
from scalesearch.study.steps.network_jobs import jobs_for_every_seed
from scalesearch.study.study import Study
from scalesearch.trials import Jobs, Recipe, Trial

RECIPE_INFIX = " under "  # joins a network's name and the further recipe's
FITTING_RULE = "Strides are fitted to small images: the earliest are lowered until the last map has 2×2 pixels."
# columns that a terminal shows
PRINTED_COLUMNS = ("name", "kind", "resolution", "params", "macs", "deviation", "val", "test", "on_front_macs")


def _best_recipes(run: Driver, step: str) -> dict[str, tuple[str, list[Trial]]]:
    """Returns for every network of a step the recipe with the best mean validation score, and its trials.

    The recipe's name is empty where only one was tried.
    """
    by_recipe: dict[str, dict[str, list[Trial]]] = {}
    for trial in run.log.of(step):
        recipe = trial.decisions.get("recipe", "")
        name = trial.name.removesuffix(f"{RECIPE_INFIX}{recipe}") if recipe else trial.name
        by_recipe.setdefault(name, {}).setdefault(recipe, []).append(trial)

    def score(trials: list[Trial]) -> tuple[int, float]:
        return (sum(t.done for t in trials), mean([run.score(t) for t in trials if t.done] or [-inf]))

    best = {name: max(recipes.items(), key=lambda item: score(item[1])) for name, recipes in by_recipe.items()}
    own_recipe = run.study.document.get("recipe", "quick")
    own_name = own_recipe if isinstance(own_recipe, str) else own_recipe.get("base", "quick")
    return {
        name: ((recipe or own_name) if len(by_recipe[name]) > 1 else "", trials)
        for name, (recipe, trials) in best.items()
    }


def rows(run: Driver) -> list[ComparedRow]:
    """Returns a row for each network of the family and each hand-built one, averaged over seeds, by MACs.

    Networks on the Pareto fronts of the test score over MACs and over parameters are marked. Those that did not
    train are on none.
    """
    return run.log.cached("compared rows", lambda: _rows(run))


def _rows(run: Driver) -> list[ComparedRow]:
    by_name: dict[str, list[Trial]] = defaultdict(list)
    for trial in run.log.of(family.NAME):
        by_name[trial.name].append(trial)
    unmarked = [_row(run, name, trials) for name, trials in by_name.items()]
    for step in (NAME, scaled.NAME):
        unmarked += [_row(run, name, trials, recipe) for name, (recipe, trials) in _best_recipes(run, step).items()]
    scored = list({r.name: r for r in unmarked if r.ranked}.values())
    values = {r.name: _oriented_test(run, r) for r in scored}

    def best(key: str) -> set[str]:
        return {r.name for r in front(scored, lambda r: getattr(r, key), lambda r: values[r.name])}

    macs_front, params_front = best("macs"), best("params")
    errors = {r.name: r.test_error for r in scored}
    probabilities = front_probability({r.name: r.macs for r in scored}, values, errors)
    marked = [
        replace(
            r,
            on_front_macs=r.name in macs_front,
            on_front_params=r.name in params_front,
            front_probability=probabilities.get(r.name),
        )
        for r in unmarked
    ]
    return sorted(marked, key=lambda r: (r.macs, r.name))


def _oriented_test(run: Driver, row: ComparedRow) -> float:
    return run.study.trained.task.tested.orient(row.test or 0.0)


def _row(run: Driver, name: str, trials: list[Trial], recipe: str = "") -> ComparedRow:
    task, done = run.study.trained.task, [t for t in trials if t.done]
    arch = run.log.arch(trials[0])
    counts = cost(arch)

    def of_split(split: str) -> list[float]:
        return [t.scores[task.key(split)] for t in done]

    def average(scores: list[float]) -> float | None:
        return round(mean(scores), 6) if scores else None

    test_scores, images = of_split("test"), task.images(run.study.trained.data, "test")
    half = interval(test_scores)
    of_images = None if images is not None else _bootstrap_error(run, trials[0])  # shares have a binomial error
    error = standard_error(test_scores, images, of_images) if done else None
    untrained = next((t.untrained for t in done if t.untrained), "")
    row = ComparedRow(
        name=name,
        kind="hand-built",
        resolution=arch.resolution,
        params=counts.params,
        macs=counts.macs,
        acts=counts.acts,
        state="did not train" if untrained else "done" if done else "failed",
        seeds=len(done),
        val=average(of_split("val")),
        test=average(test_scores),
        test_interval=half and round(half, 6),
        test_error=None if error is None else round(error, 6),
        seconds=round(sum(t.seconds for t in trials), 2),
        recipe=recipe,
        untrained=untrained,
    )
    if trials[0].step == NAME:
        return row
    phi = trials[0].decisions["phi"]
    if trials[0].step == scaled.NAME:
        return _scaled_row(run, row, trials[0], arch)
    member, (depth, width, _) = family.members(run)[phi], realised_multipliers(arch, scale.space_of(run).base)
    return replace(
        row,
        kind="family",
        phi=phi,
        target=member.target,
        deviation=round(member.deviation, 5),
        depth=round(depth, 3),
        width=round(width, 3),
        miss=member.miss(run.study.options(scale.Options).tolerance),
    )


def _scaled_row(run: Driver, row: ComparedRow, trial: Trial, arch: Arch) -> ComparedRow:
    phi, network = trial.decisions["phi"], trial.decisions["network"]
    target = family.members(run)[phi].macs
    depth, width, _ = realised_multipliers(arch, hand_built(run.study)[network])
    return replace(
        row,
        kind="scaled",
        phi=phi,
        target=target,
        deviation=round(row.macs / target - 1, 5),
        depth=round(depth, 3),
        width=round(width, 3),
        network=network,
        axis=trial.decisions["axis"],
    )


def _bootstrap_error(run: Driver, trial: Trial) -> float | None:
    """Returns the standard error of a detector's average precision by its test images; None for other networks.

    It is the standard deviation over the bootstrap samples that were scored when its training ended.
    """
    folder = run.log.path.parent if run.log.path else None
    results = read_class_results(folder, trial.step, [trial.name]) if folder else []
    resampled = results[0].detector.resampled if results and results[0].detector else ()
    return stdev(resampled[1:]) if len(resampled) > 2 else None


@dataclass(frozen=True)
class Volumes:
    """Holds the hypervolume of the family's front and of the hand-built networks', the scaled ones among them.

    It is the area under the front of the test score over log2 MACs, from the lowest score and the most MACs met,
    in units of the score times a doubling of MACs.
    """

    family: float
    hand_built: float


def volumes(run: Driver) -> Volumes | None:
    """Returns the hypervolumes of both fronts; None if one of the two groups has no scored network."""
    scored = [row for row in rows(run) if row.ranked]
    if len({row.kind == "family" for row in scored}) < 2:
        return None
    points: dict[str, list[tuple[float, float]]] = {"family": [], "hand-built": []}
    for row in scored:
        points["family" if row.kind == "family" else "hand-built"].append((_oriented_test(run, row), -log2(row.macs)))
    reference = tuple(min(values) - 1e-9 for values in zip(*itertools.chain(*points.values()), strict=True))
    return Volumes(*(round(hypervolume(kind_points, reference), 6) for kind_points in points.values()))


def _inherited_shares(run: Driver) -> list[str]:
    """Returns a sentence on the share of each network's parameters that came from the weights of `init`."""
    if not run.study.trained.init:
        return []
    trials = {t.name: t for step in (family.NAME, NAME) for t in run.log.of(step) if t.done}
    shares = ", ".join(f"{name} {trial.used.get('inherited', 0):.0%}" for name, trial in trials.items())
    return [
        f"Trainings started from the weights in {run.study.document['init']} wherever name and shape are a "
        f"network's own; of its parameters these are: {shares}."
    ]


def _hover(row: ComparedRow, axis: ScoreAxis) -> str:
    return (
        f"<b>{row.name}</b><br>test {axis.text(row.test)}, validation {axis.text(row.val)}<br>"
        f"{row.macs:,} MACs<br>{row.params:,} params<br>{format_resolution(row.resolution)} px"
    )


def _label(row: ComparedRow) -> str:
    if row.kind == "scaled":
        return ""  # told on hover: there are as many as members times hand-built networks
    # which strides were fitted is told on hover
    return f"φ={row.phi:g}" if row.phi is not None else row.name.partition(" (")[0]


def _label_places(rows: list[ComparedRow], key: str) -> dict[str, str]:
    """Returns for every label the first place around its point where it covers neither a point nor a placed label.

    Distances are shares of the drawing: a letter is about 1.3 % of its width, a line 4 % of its height.
    """
    if not rows:
        return {}
    xs, ys = {r.name: log(getattr(r, key)) for r in rows}, {r.name: r.test or 0.0 for r in rows}

    def spread(values: Iterable[float]) -> float:
        return max(values) - min(values) or 1.0

    wide, high = spread(xs.values()), 2.15 * max(spread(ys.values()), 0.02)
    at = {r.name: ((xs[r.name] - min(xs.values())) / wide, (ys[r.name] - min(ys.values())) / high) for r in rows}
    occupied = [(x - 0.012, x + 0.012, y - 0.015, y + 0.015) for x, y in at.values()]
    places = {}
    for row in sorted(rows, key=lambda r: at[r.name]):
        (x, y), half = at[row.name], 0.0065 * len(_label(row))
        boxes = {
            "bottom center": (x - half, x + half, y - 0.065, y - 0.02),
            "top center": (x - half, x + half, y + 0.02, y + 0.065),
            "middle right": (x + 0.02, x + 0.02 + 2 * half, y - 0.02, y + 0.02),
            "middle left": (x - 0.02 - 2 * half, x - 0.02, y - 0.02, y + 0.02),
        }
        # the front runs below the family
        order = sorted(boxes, key=lambda p: p != "top center") if row.kind == "family" else boxes
        free = (
            p
            for p in order
            for x, r, b, t in [boxes[p]]
            if r < 1.06 and x > -0.06 and not any(x < R and r > L and b < T and t > B for L, R, B, T in occupied)
        )
        places[row.name] = next(free, "top center")
        occupied.append(boxes[places[row.name]])
    return places


def pareto(info: Info, key: str) -> Figure:
    """Returns the figure of the score over `macs` or `params`: front, family, hand-built networks and all trials.

    The front is of networks trained alike. The trials of the searches were shorter and scored on the validation split;
    they are drawn behind it and have no part in it.

    Args:
        info: The report's data.
        key: `macs` or `params`.
    """
    axis, traces = info.axis, []
    search_trials = [t for t in info.trials if t["step"] in info.searches and t["state"] == "done" and not t["early"]]
    if search_trials:
        traces.append(_trials_trace(search_trials, key, axis))
    scored = [row for row in info.conclusions["rows"] if row.test is not None]
    scored.sort(key=lambda row: getattr(row, key))
    on_front = [row for row in scored if getattr(row, f"on_front_{key}")]
    if on_front:
        costs, scores = [getattr(r, key) for r in on_front], [r.test for r in on_front]
        line = {"color": "#111827", "width": 1.2, "shape": "hv", "dash": "dot"}
        traces.append(scatter(costs, scores, "lines", name="Pareto front (test)", line=line, hoverinfo="skip"))
    places = _label_places(scored, key)
    for kind in ("family", "scaled", "hand-built"):
        rows = [row for row in scored if row.kind == kind]
        if rows:
            traces.append(_networks_trace(rows, key, places, axis))
    title = {"macs": "MACs (multiply-adds, one image)", "params": "parameters"}[key]
    yaxis: PlainDict = {"title": axis.name, "tickformat": f".0{axis.format}"}
    lowest = -0.03 if axis.percent else -inf  # so that markers at 0 % are not cut
    ends = [end for r in scored for end in _error_ends(r)]
    limits, annotations = _score_range(ends, [t[axis.val] for t in search_trials], lowest)
    drawn = [getattr(r, key) for r in scored] + [t[key] for t in search_trials]
    xaxis = log_axis(drawn, title)
    return figure(traces, 440, xaxis=xaxis, yaxis=yaxis | limits, annotations=annotations)


def _trials_trace(trials: list[PlainDict], key: str, axis: ScoreAxis) -> PlainDict:
    return scatter(
        [t[key] for t in trials],
        [t[axis.val] for t in trials],
        "markers",
        name="trials (validation)",
        marker={"color": TRIALS, "size": 6, "opacity": 0.55},
        text=[t["name"] for t in trials],
        hovertemplate=f"%{{text}}: %{{y:.2{axis.format}}}<br>%{{x:,}} {key}<extra>trained for fewer epochs</extra>",
    )


def _networks_trace(rows: list[ComparedRow], key: str, places: dict[str, str], axis: ScoreAxis) -> PlainDict:
    of_family, kind = rows[0].kind == "family", rows[0].kind
    colour = FAMILY if of_family else HAND_BUILT
    name = "hand-built, scaled" if kind == "scaled" else kind
    symbol = {"family": "diamond", "scaled": "circle-open"}.get(kind, "circle")
    return scatter(
        [getattr(r, key) for r in rows],
        [r.test for r in rows],
        "lines+markers+text" if of_family else "markers+text",
        name=f"{name} (test)",
        text=[_label(r) for r in rows],
        textposition=[places[r.name] for r in rows],
        textfont={"size": 11, "color": colour},
        cliponaxis=False,
        line={"color": colour, "width": 2},
        marker={"color": colour, "size": 10, "symbol": symbol},
        error_y={"array": [NORMAL_95 * (r.test_error or 0) for r in rows], "thickness": 1, "width": 3},
        customdata=[_hover(r, axis) for r in rows],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _error_ends(row: ComparedRow) -> tuple[float, float]:
    """Returns the ends of the bar that shows the error of a network's test score."""
    half = NORMAL_95 * (row.test_error or 0.0)
    return (row.test or 0.0) - half, (row.test or 0.0) + half


def _score_range(
    final_scores: list[float], trial_scores: list[float], lowest: float
) -> tuple[PlainDict, list[PlainDict]]:
    """Returns a range of the score axis in which the final networks can be told apart, and annotations.

    Args:
        final_scores: What has to be seen of the final networks: the ends of their error bars.
        trial_scores: Scores of the trials; an annotation says how many lie below the range.
        lowest: The lowest start of the range.
    """
    if not final_scores:
        return {}, []
    low, high = min(final_scores), max(final_scores)
    room = max(high - low, 0.02)
    bottom, top = max(low - room, lowest), high + 0.15 * room
    below = sum(score < bottom for score in trial_scores)
    corner: PlainDict = {"xref": "paper", "yref": "paper", "x": 1, "y": 0.01, "xanchor": "right", "yanchor": "bottom"}
    text = f"{below} of {len(trial_scores)} trials lie below"
    annotation = corner | {"text": text, "showarrow": False, "font": {"size": 11, "color": "#64748b"}}
    return {"range": [bottom, top]}, [annotation] if below else []


class Comparison(Step):
    """Trains the hand-built networks and compares them with the family."""

    name = NAME
    title = "training hand-built networks"
    key = "compare"
    options = Options
    list_field = "networks"
    tested = True
    printed_columns = PRINTED_COLUMNS
    by_class = "baselines"
    fragments = (fragment(10, __file__, "pareto"), fragment(20, __file__), fragment(30, __file__, "equal_macs"))

    def check(self, study: Study) -> None:
        """Raises `InputError` for a network that is unknown, is for another task, or is too large for the images."""
        options = study.options(Options)
        for i, name in enumerate(options.networks):
            if name not in study.networks:
                raise InputError(unknown_message("model", name, study.networks), f"{NAME}[{i}]")
        check_distinct(options.networks, NAME)
        check_distinct(options.strides, f"{NAME}.strides")
        for i, recipe in enumerate(options.recipes):
            if recipe not in study.recipes:
                raise InputError(unknown_message("recipe", recipe, study.recipes), f"{NAME}.recipes[{i}]")
        check_distinct(options.recipes, f"{NAME}.recipes")
        for name, arch in hand_built(study).items():
            study.trained.task.check(arch, f"{NAME}: {name}")
            cost(arch)
            with errors_at(f"{NAME}: {name}: recipe"):
                study.recipe_of(NAME).frozen_levels(len(arch.stages))

    def jobs(self, run: Driver) -> Jobs:
        # the longest first, so that none is left running alone at the end
        largest_first = sorted(hand_built(run.study).items(), key=lambda item: -cost(item[1]).macs)
        own_recipe, others = run.study.recipe_of(NAME), further_recipes(run.study)
        rows: list[tuple[str, Arch, PlainDict, Recipe]] = []
        for name, arch in largest_first:
            rows.append((name, arch, {}, own_recipe))
            for other, recipe in others.items():
                rows.append((f"{name}{RECIPE_INFIX}{other}", arch, {"recipe": other}, recipe))
        yield from jobs_for_every_seed(run, NAME, rows)

    def conclusions(self, run: Driver) -> PlainDict:
        by_member, decision = equal_macs(rows(run), run.study.trained.task), decide(rows(run), run.study.trained.task)
        return {
            "decision": decision,
            "rows": rows(run),
            "front_volumes": volumes(run),
            **({"equal_macs": by_member} if by_member else {}),
        }

    def headline(self, run: Driver) -> str:
        """Returns which network to take, and why; empty before a member was scored."""
        decision = decide(rows(run), run.study.trained.task)
        return decision.sentence if decision else ""

    def notes(self, run: Driver) -> list[str]:
        misses = [f"{r.name}: {r.miss}." for r in rows(run) if r.miss] + _inherited_shares(run)
        misses += [f"{r.name} did not train, and is on no front: {r.untrained}." for r in rows(run) if r.untrained]
        if by_macs := equal_macs_sentence(equal_macs(rows(run), run.study.trained.task), run.study.trained.task):
            misses.insert(0, by_macs)
        if fitted := fitted_networks(run.study):
            misses.append(
                f"{FITTING_RULE} {'; '.join(fitted)}. `strides: native` keeps the published strides, and "
                "`compare: {strides: [fitted, native]}` trains both."
            )
        fronts = volumes(run)
        if fronts is None or not run.finished:
            return misses
        # of equal ones the hand-built networks' is named first
        groups = [(fronts.hand_built, "hand-built networks"), (fronts.family, "family")]
        (more, better), (less, worse) = sorted(groups, key=lambda group: -group[0])
        return [
            *misses,
            f"Over all budgets met, the front of the {better} dominates more than that of the {worse}: "
            f"hypervolume {more:.4g} against {less:.4g}.",
        ]

    def macs(self, study: Study, base_macs: float) -> list[float]:
        return [macs for macs, _ in self.costs(study)]

    def costs(self, study: Study) -> list[tuple[float, float]]:
        largest_first = sorted(map(cost, hand_built(study).values()), key=lambda c: -c.macs)
        each = [(float(c.macs), float(c.acts)) for c in largest_first for _ in range(1 + len(further_recipes(study)))]
        return each * len(study.seeds)

    def description(self, study: Study) -> str:
        return f"{len(hand_built(study))} hand-built networks"

    def class_results(self, run: Driver) -> list[str]:
        return [row.name for row in rows(run) if row.kind == "hand-built"]

    def figures(self, info: Info) -> dict[str, Figure]:
        return {key: pareto(info, key) for key in ("macs", "params")} if info.trials else {}
