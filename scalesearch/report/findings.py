"""What the trials of a study say beyond who won: how sure that is, and whether the means of the search did any good."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np

from scalesearch.statistics import volumes as hypervolumes
from scalesearch.statistics import Correlation, correlation, interval, standard_error
from scalesearch.study import Driver
from scalesearch.scaling import ScalingSpace
from scalesearch.study import Trial, compared

LIKELY_DRAWS = 4_000


@dataclass(frozen=True)
class Finalist:
    """A finalist over its seeds: mean validation accuracy and half its 95 % interval."""

    candidate: int
    seeds: int
    accuracy: float
    interval: float | None
    searched: float  # what the search had scored it at, shorter and once
    chosen: bool


@dataclass(frozen=True)
class Inheritance:
    """What starting from inherited weights did to scores: mean difference to the same networks trained from nothing, with half its
    95 % interval, and how the two rank them."""

    pairs: int
    bias: float
    interval: float | None
    ranks: Correlation


@dataclass(frozen=True)
class Transfer:
    """How the ways to scale rank at φ = 1 and at a larger φ, and the pairs of accuracies behind it."""

    phi: float
    ranks: Correlation
    pairs: tuple[tuple[str, float, float], ...]


def proxies(driver: Driver) -> list[dict[str, Any]]:
    """The rank correlation of every proxy, and of params and MACs, with the accuracy of the networks trained to the end."""
    trials = compared(driver.log.of("base"))
    first = {t.candidate: t for t in driver.log.of("base") if t.state == "done" and any(k.startswith("proxy.") for k in t.scores)}
    names = [f"proxy.{name}" for name in driver.study.search.proxies]
    columns = {name: [(first[t.candidate].scores[name], t.scores["val_accuracy"]) for t in trials
                      if t.candidate in first and name in first[t.candidate].scores] for name in names}
    columns |= {key: [(t.cost[key], t.scores["val_accuracy"]) for t in trials] for key in ("params", "macs")}
    return [{"name": name.removeprefix("proxy."), "ranks": correlation([x for x, _ in pairs], [y for _, y in pairs])}
            for name, pairs in columns.items()]


def finalists(driver: Driver) -> list[Finalist]:
    """Best mean first."""
    by_candidate: dict[int, list[float]] = defaultdict(list)
    for trial in driver.log.of("finalists"):
        if trial.state == "done":
            by_candidate[trial.candidate].append(trial.scores["val_accuracy"])
    if not by_candidate:
        return []
    searched = {t.candidate: t.scores["val_accuracy"] for t in compared(driver.log.of("base"))}
    winner = driver.base.candidate
    found = [Finalist(c, len(scores), mean(scores), interval(scores), searched[c], c == winner)
             for c, scores in by_candidate.items()]
    return sorted(found, key=lambda f: f.accuracy, reverse=True)


def inheritance(driver: Driver) -> Inheritance | None:
    inherited = {t.candidate: t.scores["val_accuracy"] for t in driver.log.of("base")
                 if t.state == "done" and t.fidelity.get("parent") and not t.early}
    pairs = [(inherited[t.candidate], t.scores["val_accuracy"]) for t in driver.log.of("control")
             if t.state == "done" and t.candidate in inherited]
    if not pairs:
        return None
    differences = [a - b for a, b in pairs]
    return Inheritance(len(pairs), mean(differences), interval(differences), correlation([a for a, _ in pairs], [b for _, b in pairs]))


def transfers(driver: Driver) -> list[Transfer]:
    """Per larger φ that was tried."""
    small = {t.candidate: t.scores["val_accuracy"] for t in driver.log.of("scale") if t.state == "done"}
    by_phi: dict[float, list[tuple[str, float, float]]] = defaultdict(list)
    for trial in driver.log.of("transfer"):
        if trial.state == "done" and trial.candidate in small:
            by_phi[trial.decisions["phi"]].append((trial.name, small[trial.candidate], trial.scores["val_accuracy"]))
    return [Transfer(phi, correlation([a for _, a, _ in pairs], [b for _, _, b in pairs]), tuple(pairs))
            for phi, pairs in by_phi.items()]


def faults(driver: Driver) -> list[str]:
    """Trials that are one in fact: those of a search with the same network, and those that differ on paper and have the same history
    to the last digit."""
    said = []
    seen: dict[tuple, Trial] = {}
    for trial in driver.log:
        if trial.state != "done" or not trial.history:
            continue
        like = (trial.level, trial.fidelity.get("seed"))
        same = seen.setdefault((*like, trial.step, trial.rung, trial.network), trial)
        if same is not trial:
            said.append(f"{same.name} and {trial.name} are the same network ({trial.network}), trained twice.")
            continue
        same = seen.setdefault((*like, tuple(tuple(sorted(h.items())) for h in trial.history)), trial)
        if same is not trial and (same.network, same.recipe) != (trial.network, trial.recipe):
            said.append(f"{same.name} and {trial.name} differ on paper (networks {same.network} and {trial.network}, recipes {same.recipe} "
                        f"and {trial.recipe}) and trained alike to the last digit: what differs between them took no effect.")
    return said


def volumes(driver: Driver) -> list[tuple[int, float]]:
    """For a search with counted objectives: after how many trials which hypervolume, as a share of the last, over the worst met."""
    costs = driver.study.search.costs
    trials = sorted(compared(driver.log.of("base")), key=lambda t: t.number)
    if not costs or not trials:
        return []
    problem = driver.base_problem
    points = [(t.scores["val_accuracy"], *(-c for c in problem.costs(t.decisions))) for t in trials]
    reference = tuple(min(p[i] for p in points) - 1e-9 for i in range(len(points[0])))
    so_far = hypervolumes(points, reference)
    return [(t.number, volume / so_far[-1]) for t, volume in zip(trials, so_far)] if so_far[-1] > 0 else []


def coefficient_errors(driver: Driver, examples: int) -> tuple[float, float, float]:
    """How far α, β and γ spread over the ways to scale that may be the best, each weighed by the probability that it is,
    its score being known no better than `examples` validation images allow."""
    trials = [t for t in driver.log.of("scale") if t.state == "done"]
    rng = np.random.default_rng(0)
    scores = np.array([t.scores["val_accuracy"] for t in trials])
    errors = np.array([standard_error([score], examples) for score in scores])
    wins = np.bincount(rng.normal(scores, errors, (LIKELY_DRAWS, len(trials))).argmax(1), minlength=len(trials)) / LIKELY_DRAWS
    points = np.array([ScalingSpace.shares(t.decisions).multipliers(driver.scaling_space.factor) for t in trials])
    middle = wins @ points
    return tuple(float(v) for v in np.sqrt(wins @ (points - middle) ** 2))
