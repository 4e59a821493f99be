"""Networks drawn at random inside the search's bounds, trained as it trains: what the search adds to luck."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from statistics import mean
from typing import Any

from scalesearch.errors import InputError, format_count
from scalesearch.plain_data import PlainDict
from scalesearch.signature import Natural
from scalesearch.statistics import difference_interval, interval, standard_error
from scalesearch.study.driver import Driver
from scalesearch.study.page import fragment
from scalesearch.study.step import Step
from scalesearch.study.steps import base, finalists
from scalesearch.study.steps.network_jobs import job_of, random_networks
from scalesearch.study.study import Study
from scalesearch.trials import Jobs, Trial

DRAWN, TRAINED_AGAIN = "random", "random finalists"


@dataclass(frozen=True)
class Options:
    """Options of the control by random networks.

    Attributes:
        random: How many networks are drawn; as many as the search tries where nothing is said, 0 for no control.
    """

    random: Natural | None = None


@dataclass(frozen=True)
class Contestant:
    """Holds one network that was trained again as finalists are.

    Attributes:
        name: Of its trial in the search or among the random networks.
        score: The mean validation score over the seeds.
        interval: Half the 95 % interval over the seeds; None with one seed.
        seeds: The number of seeds.
        macs: Of the network.
    """

    name: str
    score: float
    interval: float | None
    seeds: int
    macs: int


@dataclass(frozen=True)
class RandomControl:
    """Compares what the search has found with networks drawn at random.

    Attributes:
        drawn: The number of random networks that were trained.
        tried: The number of networks that the search tried.
        searched: The search's best.
        best: The best of the random networks.
        median: The random network of the median score: what the space gives without any search.
        difference: The score of the search's best minus that of the random best, larger being better.
        interval: Half the 95 % interval of that difference, by seeds and images; None if nothing is known of it.
        improvement: The search's best over the median network, relative to it (Yang et al. 2020).
        random_improvement: The random best over the median network, relative to it.
    """

    drawn: int
    tried: int
    searched: Contestant
    best: Contestant
    median: Contestant
    difference: float
    interval: float | None
    improvement: float
    random_improvement: float


def count(study: Study) -> int:
    """Returns how many networks are drawn."""
    drawn = study.options(Options).random
    return study.options(base.Options).trials if drawn is None else drawn


def _ranked(run: Driver) -> list[Trial]:
    return sorted((t for t in run.log.of(DRAWN) if t.done), key=run.rank, reverse=True)


def _chosen(run: Driver) -> list[Trial]:
    """Returns the random networks that are trained again: as many of the best as finalists, and the median one."""
    ranked = _ranked(run)
    best = ranked[: run.study.options(finalists.Options).top]
    return best + [trial for trial in ranked[len(ranked) // 2 :][:1] if trial not in best]


def _contestants(run: Driver, step: str, first: str) -> dict[int, tuple[Contestant, list[float]]]:
    """Returns the networks of a step that trains again, by candidate, each with its scores."""
    trials = defaultdict(list)
    for trial in run.log.of(step):
        if trial.done:
            trials[trial.candidate].append(trial)
    raw = run.study.evaluator.score.orient
    found = {}
    for candidate, again in trials.items():
        scores = [run.score(trial) for trial in again]
        name, macs = f"{first}-{candidate:03d}", int(again[0].cost["macs"])
        found[candidate] = Contestant(name, raw(mean(scores)), interval(scores), len(scores), macs), scores
    return found


def best_random(run: Driver) -> Trial:
    """Returns the trial of the random network with the best mean once it was trained again.

    Raises:
        WorkFailed: If none was trained to the end.
    """
    contestants = _contestants(run, TRAINED_AGAIN, DRAWN)
    if not contestants:
        return run.best(DRAWN)
    winner = max(contestants, key=lambda candidate: mean(contestants[candidate][1]))
    return next(trial for trial in _ranked(run) if trial.candidate == winner)


def random_control(run: Driver) -> RandomControl | None:
    """Returns how the search compares with random networks; None before both were trained again."""
    searched = _contestants(run, finalists.NAME, base.NAME)
    drawn = _contestants(run, TRAINED_AGAIN, DRAWN)
    ranked = _ranked(run)
    if not searched or not drawn or (median := ranked[len(ranked) // 2]).candidate not in drawn:
        return None
    best, best_scores = max(searched.values(), key=lambda item: mean(item[1]))
    lucky, lucky_scores = max(drawn.values(), key=lambda item: mean(item[1]))
    middle, middle_scores = drawn[median.candidate]
    training = run.study.trained
    images = training.task.images(training.data, "val")
    errors = [standard_error([abs(s) for s in scores], images) for scores in (best_scores, lucky_scores)]
    reference = max(1e-12, abs(mean(middle_scores)))
    return RandomControl(
        sum(t.done for t in run.log.of(DRAWN)),
        len({t.candidate for t in run.log.of(base.NAME)}),
        best,
        lucky,
        middle,
        mean(best_scores) - mean(lucky_scores),
        difference_interval(*errors),
        (mean(best_scores) - mean(middle_scores)) / reference,
        (mean(lucky_scores) - mean(middle_scores)) / reference,
    )


class RandomNetworks(Step):
    """Trains networks drawn at random inside the search's bounds, each as the search trains its own to the end."""

    name = DRAWN
    title = "training random networks"
    key = "control"
    options = Options
    needs = ("screen", "fidelity", "pace")
    may_end_early = True

    def read(self, value: Any) -> Options:
        """Returns the options; a study without the section has no control."""
        options = super().read(value)
        assert isinstance(options, Options)
        return Options(0) if value is None else options

    def check(self, study: Study) -> None:
        if count(study) and not study.options(finalists.Options).top:
            raise InputError("needs finalists, as which the search's best is trained again: finalists.top", "control")

    def jobs(self, run: Driver) -> Jobs:
        recipe = run.recipe_of(base.NAME)
        for number, proposal, arch in random_networks(run, DRAWN, count(run.study)):
            name = f"{DRAWN}-{number:03d}"
            yield job_of(run.study, DRAWN, number, name, arch, proposal.decisions, candidate=number, recipe=recipe)

    def description(self, study: Study) -> str:
        assert study.space is not None
        return f"drawn at random from {study.space.name}"

    def macs(self, study: Study, base_macs: float) -> list[float]:
        return [base_macs] * count(study)

    def epochs(self, study: Study) -> int | str | None:
        return study.options(base.Options).epochs


class RandomFinalists(Step):
    """Trains the best random networks and the median one again, as the search's best are."""

    name = TRAINED_AGAIN
    title = "training the best random networks"
    needs = (DRAWN,)
    may_end_early = True
    fragments = (fragment(125, __file__),)

    def jobs(self, run: Driver) -> Jobs:
        for number, (trial, seed) in enumerate(
            itertools.product(_chosen(run), run.study.options(finalists.Options).seeds)
        ):
            name, arch = f"random-finalist-{trial.candidate:03d}-s{seed}", run.log.arch(trial)
            yield job_of(
                run.study,
                TRAINED_AGAIN,
                number,
                name,
                arch,
                trial.decisions,
                seed,
                final=True,
                candidate=trial.candidate,
            )

    def description(self, study: Study) -> str:
        seeds = study.options(finalists.Options).seeds
        return f"the best of them and the median one, seeds {', '.join(map(str, seeds))}"

    def macs(self, study: Study, base_macs: float) -> list[float]:
        options = study.options(finalists.Options)
        return [base_macs] * (min(count(study), options.top + 1) * len(options.seeds))

    def conclusions(self, run: Driver) -> PlainDict:
        found = random_control(run)
        return {} if found is None else {"random": found}

    def notes(self, run: Driver) -> list[str]:
        """Returns a sentence that sets the search against random networks."""
        found, task = random_control(run), run.study.trained.task
        if found is None:
            return []
        better = "above" if found.difference >= 0 else "below"
        text = (
            f"The search's best of {format_count(found.tried, 'network')} has {task.format(found.searched.score)} "
            f"validation {task.score}, the best of {format_count(found.drawn, 'random network')} of the same bounds "
            f"{task.format(found.best.score)}"
        )
        if found.interval is None:
            return [f"{text}."]
        if abs(found.difference) <= found.interval:
            return [f"{text}: not told apart."]
        return [f"{text}: the search is {better} random drawing by more than the 95 % interval."]

    def log_lines(self, run: Driver) -> list[str]:
        return self.notes(run)
