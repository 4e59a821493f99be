"""Jobs for networks that no search proposes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scalesearch.arch import Arch, expand
from scalesearch.counting import cost
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.study.driver import Driver
from scalesearch.study.study import Study
from scalesearch.trials import Job, Jobs, Recipe


def job_of(
    study: Study,
    step: str,
    number: int,
    name: str,
    arch: Arch,
    decisions: PlainMapping,
    seed: int | None = None,
    **more: Any,
) -> Job:
    """A network to train whole under the step's recipe, with the study's first seed if none is given."""
    seed = study.seeds[0] if seed is None else seed
    given = {"recipe": study.recipe_of(step), **more}
    given = {"until": given["recipe"].epochs, "of": given["recipe"].epochs} | given
    return Job(step, number, name, expand(arch).digest, dict(decisions), seed, arch, cost(arch)._asdict(), **given)


def with_every_seed(
    run: Driver,
    step: str,
    rows: Sequence[tuple[str, Arch, PlainDict]],
    weights: str = "",
    recipes: Mapping[str, Recipe] | None = None,
) -> Jobs:
    """Final trainings, scored on the test split too; `weights` is the file that the first seed's are kept in, `{name}`
    in it. `recipes` of some networks are their own."""
    study = run.study
    for n, (seed, (name, arch, decisions)) in enumerate((seed, row) for seed in study.seeds for row in rows):
        kept = weights.format(name=name) if seed == study.seeds[0] else ""
        own = {"recipe": recipes[name]} if recipes and name in recipes else {}
        yield from run.once(job_of(study, step, n, name, arch, decisions, seed, final=True, weights=kept, **own))


def evenly(items: Sequence[Any], count: int) -> list[Any]:
    """So many of them, evenly through their order, first and last among them."""
    if len(items) <= count:
        return list(items)
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]
