"""The whole search again with other seeds: how much of what it finds is luck."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from math import log2
from statistics import mean

from scalesearch.errors import InputError, check_distinct
from scalesearch.plain_data import PlainDict
from scalesearch.signature import Natural
from scalesearch.statistics import interval, volumes
from scalesearch.study.driver import Driver
from scalesearch.study.page import COLOURS, TRIALS, Figure, Info, figure, fragment, scatter
from scalesearch.study.step import Step
from scalesearch.study.steps import base, finalists, random_control
from scalesearch.study.steps.network_jobs import job_of
from scalesearch.study.study import Study
from scalesearch.trials import Jobs, Trial, comparable_trials

NAME, TRAINED_AGAIN = "repeated", "repeated finalists"


@dataclass(frozen=True)
class Options:
    """Options of the repeated searches.

    Attributes:
        seeds: The seeds of the searches, the first of the study's `seeds` among them: that one decides the base.
    """

    seeds: tuple[Natural, ...] = ()


@dataclass(frozen=True)
class SeedResult:
    """Holds what the search with one seed found.

    Attributes:
        seed: The seed.
        trials: The number of networks that were tried.
        network: The name of the trial of its best network.
        macs: The MACs of that network.
        searched: The validation score of its short training in the search.
        score: The mean validation score once it was trained again as a finalist; None without finalists.
        interval: Half the 95 % interval of that mean; None with one seed.
        minutes: The CPU or GPU minutes of the search's trainings.
    """

    seed: int
    trials: int
    network: str
    macs: int
    searched: float
    score: float | None
    interval: float | None
    minutes: float


@dataclass(frozen=True)
class Repetition:
    """Holds what the searches with every seed found.

    Attributes:
        searches: The result of each.
        mean: The mean of their scores, of the finalists where there are any.
        interval: Half the 95 % interval of that mean over the searches; None with two, of which it would say nothing.
    """

    searches: tuple[SeedResult, ...]
    mean: float
    interval: float | None


@dataclass(frozen=True)
class Progress:
    """Holds how the front of one search grew: hypervolume of validation score over log2 MACs after every training."""

    name: str
    trials: tuple[int, ...]
    minutes: tuple[float, ...]
    volumes: tuple[float, ...]


def _other_seeds(study: Study) -> list[int]:
    """Returns the seeds of the searches beside that which decides the base."""
    return [seed for seed in study.options(Options).seeds if seed != study.seeds[0]]


def _label(seed: int) -> str:
    """Returns what the trials of the search with a seed are called."""
    return f"base-again-s{seed}"


def _trials(run: Driver, seed: int) -> list[Trial]:
    step = base.NAME if seed == run.study.seeds[0] else NAME
    return sorted(run.log.of(step, seed), key=lambda t: t.number)


def _best_first(run: Driver, seed: int) -> list[Trial]:
    """Returns the trials of one search that were trained to the end, best first."""
    final = comparable_trials((t for t in _trials(run, seed) if not t.early), run.study.evaluator.score)
    return sorted(final, key=run.rank, reverse=True)


def _finalists(run: Driver) -> Iterator[tuple[int, int, Trial, int]]:
    """Yields number, search seed, network and seed of every training of a finalist of the other searches."""
    options = run.study.options(finalists.Options)
    each = [(seed, trial) for seed in _other_seeds(run.study) for trial in _best_first(run, seed)[: options.top]]
    for number, ((search_seed, trial), seed) in enumerate(itertools.product(each, options.seeds)):
        yield number, search_seed, trial, seed


def repetition(run: Driver) -> Repetition | None:
    """Returns what the searches found; None before each of them has a network that was trained to the end."""
    seeds = [run.study.seeds[0], *_other_seeds(run.study)]
    if len(seeds) < 2 or not all(_best_first(run, seed) for seed in seeds):
        return None
    found = tuple(_found(run, seed) for seed in seeds)
    scores = [f.searched if f.score is None else f.score for f in found]
    return Repetition(found, mean(scores), interval(scores) if len(scores) > 2 else None)


def _found(run: Driver, seed: int) -> SeedResult:
    trials, best, raw = _trials(run, seed), _best_first(run, seed)[0], run.study.evaluator.score.orient
    scores: dict[int, list[float]] = {}
    if seed == run.study.seeds[0]:
        for trial in run.log.of(finalists.NAME):
            if trial.done:
                scores.setdefault(trial.candidate, []).append(run.score(trial))
    else:
        for number, search_seed, trial, training_seed in _finalists(run):
            again = run.log.trials.get((TRAINED_AGAIN, training_seed, number))
            if search_seed == seed and again is not None and again.done:
                scores.setdefault(trial.candidate, []).append(run.score(again))
    if scores:
        winner = max(scores, key=lambda candidate: mean(scores[candidate]))
        best = next(trial for trial in _best_first(run, seed) if trial.candidate == winner)
    again_scores = scores.get(best.candidate, [])
    return SeedResult(
        seed,
        len({t.candidate for t in trials}),
        best.name,
        int(best.cost["macs"]),
        raw(run.score(best)),
        raw(mean(again_scores)) if again_scores else None,
        interval(again_scores),
        round(sum(t.seconds for t in trials) / 60, 2),
    )


def progress(run: Driver) -> list[Progress]:
    """Returns how the front of every search grew, and that of the random networks where some were drawn."""
    seeds = [run.study.seeds[0], *_other_seeds(run.study)]
    groups = {f"search, seed {seed}": _trials(run, seed) for seed in seeds}
    groups["random networks"] = sorted(run.log.of(random_control.DRAWN), key=lambda t: t.number)

    def point(trial: Trial) -> tuple[float, float]:
        return run.score(trial), -log2(trial.cost["macs"])

    ended = {name: [t for t in trials if t.done and not t.early] for name, trials in groups.items()}
    points = [point(trial) for trials in ended.values() for trial in trials]
    if not points:
        return []
    reference = tuple(min(values) - 1e-9 for values in zip(*points, strict=True))
    found = []
    for name, trials in ended.items():
        spent = list(itertools.accumulate(t.seconds / 60 for t in groups[name]))
        minutes = {t.key: total for t, total in zip(groups[name], spent, strict=True)}
        so_far = volumes([point(t) for t in trials], reference) if trials else []
        numbers = tuple(range(1, len(trials) + 1))
        found.append(Progress(name, numbers, tuple(round(minutes[t.key], 3) for t in trials), tuple(so_far)))
    return [each for each in found if each.trials]


def progress_figure(info: Info, key: str) -> Figure:
    """Returns the hypervolume of every search over its `trials` or its `minutes`."""
    traces = []
    for i, each in enumerate(info.conclusions["searches_progress"]):
        is_random = each.name == "random networks"
        line = {"color": TRIALS if is_random else COLOURS[i % len(COLOURS)], "shape": "hv", "width": 2}
        traces.append(scatter(getattr(each, key), each.volumes, "lines", name=each.name, line=line))
    title = {"trials": "trainings", "minutes": "minutes of training"}[key]
    return figure(traces, 360, xaxis={"title": title}, yaxis={"title": "hypervolume"})


class RepeatedSearch(Step):
    """Runs the whole search of the space again with other seeds."""

    name = NAME
    title = "searching again with other seeds"
    key = "search_seeds"
    options = Options
    list_field = "seeds"
    needs = (base.NAME,)
    may_end_early = True

    def check(self, study: Study) -> None:
        """Raises `InputError` if the seed that decides the base is not among the seeds, or one is named twice."""
        seeds = study.options(Options).seeds
        check_distinct(seeds, "search_seeds")
        if seeds and study.seeds[0] not in seeds:
            first = study.seeds[0]
            raise InputError(f"must hold {first}, the first of seeds, whose search decides the base", "search_seeds")
        if len(seeds) == 1:
            raise InputError(
                f"needs another seed beside {seeds[0]}, with which the search is run already", "search_seeds"
            )

    def jobs(self, run: Driver) -> Jobs:
        for seed in _other_seeds(run.study):
            yield from base.search_jobs(run, NAME, seed, _label(seed))

    def macs(self, study: Study, base_macs: float) -> list[float]:
        return base.BaseSearch().macs(study, base_macs) * len(_other_seeds(study))

    def epochs(self, study: Study) -> int | str | None:
        return study.options(base.Options).epochs

    def description(self, study: Study) -> str:
        return f"seeds {', '.join(map(str, _other_seeds(study)))}"


class RepeatedFinalists(Step):
    """Trains the best of every repeated search again, as the finalists of the first are."""

    name = TRAINED_AGAIN
    title = "training the finalists of the repeated searches"
    needs = (NAME, finalists.NAME)
    may_end_early = True
    fragments = (fragment(124, __file__),)

    def jobs(self, run: Driver) -> Jobs:
        for number, search_seed, trial, seed in _finalists(run):
            name, arch = f"{_label(search_seed)}-finalist-{trial.candidate:03d}-s{seed}", run.log.arch(trial)
            candidate, decisions = trial.candidate, trial.decisions
            yield job_of(run.study, self.name, number, name, arch, decisions, seed, final=True, candidate=candidate)

    def macs(self, study: Study, base_macs: float) -> list[float]:
        return finalists.Finalists().macs(study, base_macs) * len(_other_seeds(study))

    def description(self, study: Study) -> str:
        return finalists.Finalists().description(study)

    def conclusions(self, run: Driver) -> PlainDict:
        found = repetition(run)
        return {} if found is None else {"searches_by_seed": found, "searches_progress": progress(run)}

    def figures(self, info: Info) -> dict[str, Figure]:
        if not info.conclusions.get("searches_progress"):
            return {}
        return {f"searches_{key}": progress_figure(info, key) for key in ("trials", "minutes")}

    def notes(self, run: Driver) -> list[str]:
        """Returns a sentence on what the searches found together."""
        found, task = repetition(run), run.study.trained.task
        if found is None:
            return []
        each = ", ".join(task.format(f.searched if f.score is None else f.score) for f in found.searches)
        spread = "" if found.interval is None else f" ± {task.format(found.interval)} (95 % interval over searches)"
        return [
            f"{len(found.searches)} searches that differ in their seeds found networks of {each} validation "
            f"{task.score}: on average {task.format(found.mean)}{spread}."
        ]

    def log_lines(self, run: Driver) -> list[str]:
        return self.notes(run)
