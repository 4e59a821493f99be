"""Which cheaper training ranks networks like the full one: a handful trained long and short."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Annotated, Literal

from scalesearch.arch import Arch, Resolution, format_resolution, scaled_resolution
from scalesearch.counting import cost_or_none
from scalesearch.errors import InputError, numbered
from scalesearch.plain_data import PlainDict
from scalesearch.searchers import Past, ask
from scalesearch.signature import Rule
from scalesearch.statistics import Correlation, correlation
from scalesearch.study.driver import Driver
from scalesearch.study.page import fragment
from scalesearch.study.step import Step
from scalesearch.study.steps.fixed import job_of
from scalesearch.study.study import AUTO, Study
from scalesearch.trials import Jobs, Recipe

NAME = "fidelity"
FULL = "full"
ENOUGH = 0.9  # Spearman's ρ from which `epochs: auto` trusts a shorter training
Shares = tuple[Annotated[float, Rule(low=0.01, high=0.99)], ...]


@dataclass(frozen=True)
class Options:
    """So many `networks` of the space inside the budget, trained whole and at these shares of the epochs, the training
    images and the resolution. `rates` and `phi` are what the recipe is swept over; with `measure` only that is done."""

    networks: Annotated[int, Rule(low=4, high=1000)] = 8
    epochs: Shares = (0.25, 0.5)
    data: Shares = (0.25, 0.5)
    resolution: Shares = (0.5, 0.75)
    rates: tuple[Annotated[float, Rule(low=0.001, high=1000)], ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    phi: tuple[Annotated[float, Rule(low=0, high=10)], ...] = (0.0, 1.0, 2.0, 3.0)
    measure: Literal["", "trainings", "rates"] = ""


@dataclass(frozen=True)
class Setting:
    """A training, and how it compares with the full one: rank correlation of the scores, and its price as a share."""

    name: str
    epochs: int
    data_share: float
    resolution: Resolution
    networks: int
    ranks: Correlation
    price: float | None


def _settings(study: Study) -> Iterator[tuple[str, Recipe, Resolution]]:
    """The full training and every cheaper one: its name, recipe and resolution."""
    options, recipe, whole = study.options(Options), study.recipe_of(NAME), study.trained.resolution
    yield FULL, recipe, whole
    seen = {recipe.epochs}
    for share in options.epochs:
        epochs = max(1, round(share * recipe.epochs))
        if epochs not in seen:
            yield f"{epochs} epochs", replace(recipe, epochs=epochs), whole
        seen.add(epochs)
    if only_epochs(study):
        return
    for share in options.data:
        yield f"{share:.0%} of the images", replace(recipe, data_share=share * recipe.data_share), whole
    for share in options.resolution:
        smaller = scaled_resolution(whole, share)
        yield f"{format_resolution(smaller)} pixels", recipe, smaller


def only_epochs(study: Study) -> bool:
    """Whether shorter trainings are all that is asked for: by `epochs: auto`, not by the command."""
    return not study.options(Options).measure


def wanted(study: Study) -> bool:
    asks = any(step.epochs(study) == AUTO for step in study.steps)
    return asks or study.options(Options).measure == "trainings"


def drawn(study: Study) -> list[tuple[PlainDict, Arch]]:
    """Distinct networks of the space inside the budget, as likely as every other."""
    found: list[tuple[PlainDict, Arch]] = []
    seen: set[str] = set()
    for number in range(study.options(Options).networks):
        asked = ask(study.problem, "random", Past(), Random(f"{study.seeds[0]}-{NAME}-{number}"), seen)
        if asked is None:
            break
        seen.add(asked.identity)
        arch = study.problem.arch(asked.decisions)
        assert arch is not None
        found.append((asked.decisions, arch))
    return found


def settings(run: Driver) -> list[Setting]:
    """The full training first, then by price."""
    trials = [t for t in run.log.of(NAME) if t.done]
    if not trials:
        return []
    whole = {t.candidate: t for t in trials if t.decisions.get("training") == FULL}
    found = []
    for name, recipe, resolution in _settings(run.study):
        alike = (t for t in trials if t.decisions.get("training") == name)
        pairs = [(whole[t.candidate], t) for t in alike if t.candidate in whole]
        ranks = correlation([run.score(a) for a, _ in pairs], [run.score(b) for _, b in pairs])
        paid = sum(a.seconds for a, _ in pairs)
        price = round(sum(b.seconds for _, b in pairs) / paid, 4) if paid else None
        found.append(Setting(name, recipe.epochs, recipe.data_share, resolution, len(pairs), ranks, price))
    return [found[0], *sorted(found[1:], key=lambda s: s.price or 0.0)]


def chosen_epochs(run: Driver) -> int:
    """The fewest epochs that rank networks like the whole training (ρ ≥ 0.9); all of them where none do."""
    full = run.study.recipe_of(NAME).epochs
    good = [
        s.epochs
        for s in settings(run)
        if s.data_share == run.study.trained.recipe.data_share
        and s.resolution == run.study.trained.resolution
        and (s.ranks.value or 0.0) >= ENOUGH
    ]
    return min([*good, full])


class FidelityMeasurement(Step):
    """Trains a handful of networks long and short, to learn which cheaper training ranks them alike."""

    name = NAME
    title = "measuring fidelity"
    key = NAME
    options = Options
    may_end_early = True
    fragments = (fragment(30, __file__),)

    def jobs(self, run: Driver) -> Jobs:
        if not wanted(run.study):
            return
        number = 0
        for candidate, (decisions, arch) in enumerate(run.remembered(NAME, lambda: drawn(run.study))):
            for name, recipe, resolution in _settings(run.study):
                other = arch.with_(resolution=resolution)
                if cost_or_none(other) is not None:
                    told = {**decisions, "training": name}
                    yield from run.once(
                        job_of(
                            run.study,
                            NAME,
                            number,
                            f"{NAME}-{candidate:03d} {name}",
                            other,
                            told,
                            recipe=recipe,
                            candidate=candidate,
                        )
                    )
                number += 1

    def check(self, study: Study) -> None:
        """Raises `InputError` where there is nothing shorter to try."""
        if wanted(study) and len(list(_settings(study))) < 2:
            raise InputError("finds no shorter training to try: one epoch is the least", NAME)

    def log_lines(self, run: Driver) -> list[str]:
        found = settings(run)
        said = [
            f"{s.name} ({s.price or 0:.0%} of the price) ranks as the full training with ρ = {s.ranks}"
            for s in found
            if s.name != FULL
        ]
        if found and only_epochs(run.study):
            said.append(f"the searches train for {numbered(chosen_epochs(run), 'epoch')}")
        return said

    def macs(self, study: Study, base_macs: float) -> list[float]:
        options = study.options(Options)
        return [base_macs] * (options.networks * len(list(_settings(study)))) if wanted(study) else []

    def conclusions(self, run: Driver) -> PlainDict:
        found = settings(run)
        return {"fidelity": found, "epochs": chosen_epochs(run) if found and only_epochs(run.study) else None}

    def what(self, study: Study) -> str:
        return f"{study.options(Options).networks} networks, long and short"

    def networks(self, study: Study) -> int:
        return study.options(Options).networks

    def enough_epochs(self, run: Driver) -> int | None:
        return chosen_epochs(run)
