"""Searchers that draw at random or step from good networks to similar ones: random, evolution and local search."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from scalesearch.searchers.problem import Decisions, Past, Problem, best_first

POPULATION = 8  # the last scored results, which may become parents; as many are drawn at random first
TOURNAMENT = 3


def random(problem: Problem, past: Past, rng: Random) -> Iterator[Decisions]:
    """Proposes every network inside the budget with equal probability."""
    while True:
        yield problem.draw(rng)


def evolution(problem: Problem, past: Past, rng: Random) -> Iterator[Decisions]:
    """Proposes by regularised evolution (Real et al. 2019).

    Of some of the last `POPULATION` scored networks the best is mutated in one decision. The first proposals are
    random.
    """
    parents = past.last_scored(POPULATION)
    while True:
        if past.trial_count < POPULATION or not parents:
            yield problem.draw(rng)
        else:
            entrants = rng.sample(parents, min(TOURNAMENT, len(parents)))
            yield problem.mutate(best_first(problem, entrants)[0], rng)


def local(problem: Problem, past: Past, rng: Random) -> Iterator[Decisions]:
    """Proposes by local search (White et al. 2021).

    The neighbours of the best network so far come first, then those of the next best. The first proposals are
    random.
    """
    if past.trial_count >= POPULATION:
        for decisions in best_first(problem, past.scored):
            neighbours = list(problem.neighbours(decisions))
            rng.shuffle(neighbours)
            yield from neighbours
    yield from random(problem, past, rng)
