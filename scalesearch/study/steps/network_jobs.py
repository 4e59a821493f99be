"""Jobs for networks that no search proposes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from random import Random
from typing import Any

from scalesearch.arch import Arch, expand
from scalesearch.counting import cost
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.searchers import Past, Proposal, ask
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
    """Returns the job of training one network to the end under the step's recipe.

    Args:
        study: The study.
        step: The name of the step.
        number: The number of the trial in its step.
        name: The name of the trial.
        arch: The network.
        decisions: What was decided about it, for the log.
        seed: The seed; the study's first by default.
        more: Further fields of `Job`, which replace the defaults.
    """
    seed = study.seeds[0] if seed is None else seed
    fields = {"recipe": study.recipe_of(step), **more}
    fields = {"until": fields["recipe"].epochs, "of": fields["recipe"].epochs} | fields
    return Job(step, number, name, expand(arch).digest, dict(decisions), seed, arch, cost(arch)._asdict(), **fields)


def random_networks(run: Driver, step: str, count: int) -> Iterator[tuple[int, Proposal, Arch]]:
    """Yields up to `count` distinct networks drawn at random inside the budget: the trial's number, the proposal and
    the network. Those in the log are not drawn again.

    Raises:
        InputError: Located in the log, for decisions that the study does not have.
    """
    problem, seed = run.study.problem, run.study.seeds[0]
    seen: set[str] = set()
    for number in range(count):
        if logged := run.log.trials.get((step, seed, number)):
            with run.log.locate_errors(logged, "decisions"):
                problem.check(logged.decisions)
            seen.add(problem.identity(logged.decisions) or "")
            continue
        proposal = ask(problem, "random", Past(), Random(f"{seed}-{step}-{number}"), seen)
        if proposal is None:
            break
        seen.add(proposal.identity)
        arch = problem.arch(proposal.decisions)
        assert arch is not None
        yield number, proposal, arch


def jobs_for_every_seed(
    run: Driver,
    step: str,
    rows: Sequence[tuple[str, Arch, PlainDict, Recipe]],
    weights: str = "",
) -> Jobs:
    """Yields final trainings of networks with every seed of the study, scored on the test split too.

    Args:
        run: The driver.
        step: The name of the step.
        rows: Name, architecture, decisions and recipe of each network.
        weights: The file for the first seed's weights, with `{name}` for the network's name; none if empty.
    """
    study = run.study
    for n, (seed, (name, arch, decisions, recipe)) in enumerate(product(study.seeds, rows)):
        weights_file = weights.format(name=name) if seed == study.seeds[0] else ""
        yield job_of(study, step, n, name, arch, decisions, seed, final=True, weights=weights_file, recipe=recipe)


def evenly_spaced(items: Sequence[object], count: int) -> list[Any]:
    """Returns `count` items spread evenly over their order, with the first and the last; all if there are no more.

    `count` must not be 1 where there are more items.
    """
    if len(items) <= count:
        return list(items)
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]
