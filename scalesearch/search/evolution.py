"""Regularised evolution (Real et al. 2019): the best of a small tournament among the youngest, mutated in one decision."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

POPULATION = 8  # the youngest results that may become parents; the first ones are drawn at random
TOURNAMENT = 3


def evolution(problem: Any, past: Any, rng: Random) -> Iterator[dict[str, Any]]:
    """Random draws until there are parents enough, then mutants of tournament winners."""
    asked = len(past.results) + len(past.pending)
    parents = [(decisions, score) for decisions, score in past.results if score is not None][-POPULATION:]
    while True:
        if asked < POPULATION or not parents:
            yield problem.draw(rng)
        else:
            entrants = rng.sample(parents, min(TOURNAMENT, len(parents)))
            yield problem.mutated(max(entrants, key=lambda entrant: entrant[1])[0], rng)
