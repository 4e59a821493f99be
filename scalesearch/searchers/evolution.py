"""Searchers that step from what is good to what is beside it."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from scalesearch.searchers.problem import Decisions, Past, Problem, best_first

POPULATION = 8  # the youngest results that may become parents; the first ones are drawn at random
TOURNAMENT = 3


def random(problem: Problem, past: Past, rng: Random) -> Iterator[Decisions]:
    """Every network inside the budget as likely as every other."""
    while True:
        yield problem.draw(rng)


def evolution(problem: Problem, past: Past, rng: Random) -> Iterator[Decisions]:
    """Regularised evolution (Real et al. 2019): the best of some of the youngest, mutated in one decision."""
    parents = past.youngest(POPULATION)
    while True:
        if past.asked < POPULATION or not parents:
            yield problem.draw(rng)
        else:
            entrants = rng.sample(parents, min(TOURNAMENT, len(parents)))
            yield problem.mutated(best_first(problem, entrants)[0], rng)


def local(problem: Problem, past: Past, rng: Random) -> Iterator[Decisions]:
    """Local search (White et al. 2021): neighbours of the best so far, then of the next best; random at first."""
    if past.asked >= POPULATION:
        for decisions in best_first(problem, past.scored):
            around = list(problem.neighbours(decisions))
            rng.shuffle(around)
            yield from around
    yield from random(problem, past, rng)
