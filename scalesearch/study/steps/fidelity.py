"""The fidelity of cheaper trainings: some networks trained long and short, and how alike the two rank them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Annotated, Literal

from scalesearch.arch import Arch, Resolution, format_resolution, scaled_resolution
from scalesearch.counting import cost_or_none
from scalesearch.errors import InputError, format_count
from scalesearch.plain_data import PlainDict
from scalesearch.searchers import Past, ask
from scalesearch.signature import Rule
from scalesearch.statistics import Correlation, correlation
from scalesearch.study.driver import Driver
from scalesearch.study.page import fragment
from scalesearch.study.step import Step
from scalesearch.study.steps.network_jobs import job_of
from scalesearch.study.study import AUTO, Study
from scalesearch.trials import Jobs, Recipe

NAME = "fidelity"
FULL = "full"
ENOUGH = 0.9  # Spearman's ρ from which `epochs: auto` trusts a shorter training
Shares = tuple[Annotated[float, Rule(low=0.01, high=0.99)], ...]


@dataclass(frozen=True)
class Options:
    """Options of the fidelity measurement and of the learning-rate sweep.

    Attributes:
        networks: How many networks are drawn from the space inside the budget.
        epochs: The shares of the epochs that each is trained at, beside the full training.
        data: The shares of the training images.
        resolution: The shares of the resolution.
        rates: The factors of the learning rate that the sweep tries.
        phi: The φ at which it tries them.
        measure: If given, the only thing that the study does: `trainings` or `rates`.
    """

    networks: Annotated[int, Rule(low=4, high=1000)] = 8
    epochs: Shares = (0.25, 0.5)
    data: Shares = (0.25, 0.5)
    resolution: Shares = (0.5, 0.75)
    rates: tuple[Annotated[float, Rule(low=0.001, high=1000)], ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    phi: tuple[Annotated[float, Rule(low=0, high=10)], ...] = (0.0, 1.0, 2.0, 3.0)
    measure: Literal["", "trainings", "rates"] = ""


@dataclass(frozen=True)
class Setting:
    """Holds a training setting and how it compares with the full training.

    Attributes:
        name: The name of the setting.
        epochs: Its epochs.
        data_share: Its share of the training images, in [0, 1].
        resolution: Its resolution in pixels.
        networks: The number of networks that both were done with.
        ranks: The rank correlation of the scores of both.
        price: Its seconds as a share of the full training's.
    """

    name: str
    epochs: int
    data_share: float
    resolution: Resolution
    networks: int
    ranks: Correlation
    price: float | None


def _settings(study: Study) -> Iterator[tuple[str, Recipe, Resolution]]:
    """Yields the full training, then every cheaper one: its name, recipe and resolution."""
    options, recipe, full_resolution = study.options(Options), study.recipe_of(NAME), study.trained.resolution
    yield FULL, recipe, full_resolution
    seen = {recipe.epochs}
    for share in options.epochs:
        epochs = max(1, round(share * recipe.epochs))
        if epochs not in seen:
            yield f"{epochs} epochs", replace(recipe, epochs=epochs), full_resolution
        seen.add(epochs)
    if only_epochs(study):
        return
    for share in options.data:
        yield f"{share:.0%} of the images", replace(recipe, data_share=share * recipe.data_share), full_resolution
    for share in options.resolution:
        smaller = scaled_resolution(full_resolution, share)
        yield f"{format_resolution(smaller)} pixels", recipe, smaller


def only_epochs(study: Study) -> bool:
    """Returns whether shorter trainings are all that is measured, as for `epochs: auto`."""
    return not study.options(Options).measure


def is_requested(study: Study) -> bool:
    """Returns whether fidelity is to be measured: a step has `epochs: auto`, or `fidelity.measure` asks for it."""
    has_auto = any(step.epochs(study) == AUTO for step in study.steps)
    return has_auto or study.options(Options).measure == "trainings"


def sample_networks(study: Study) -> list[tuple[PlainDict, Arch]]:
    """Returns distinct networks of the space inside the budget, drawn uniformly, with their decisions."""
    networks: list[tuple[PlainDict, Arch]] = []
    seen: set[str] = set()
    for number in range(study.options(Options).networks):
        proposal = ask(study.problem, "random", Past(), Random(f"{study.seeds[0]}-{NAME}-{number}"), seen)
        if proposal is None:
            break
        seen.add(proposal.identity)
        arch = study.problem.arch(proposal.decisions)
        assert arch is not None
        networks.append((proposal.decisions, arch))
    return networks


def settings(run: Driver) -> list[Setting]:
    """Returns how each setting compares with the full training: the full training first, the others by price."""
    trials = [t for t in run.log.of(NAME) if t.done]
    if not trials:
        return []
    full_trials = {t.candidate: t for t in trials if t.decisions.get("training") == FULL}
    rows = []
    for name, recipe, resolution in _settings(run.study):
        in_setting = (t for t in trials if t.decisions.get("training") == name)
        pairs = [(full_trials[t.candidate], t) for t in in_setting if t.candidate in full_trials]
        ranks = correlation([run.score(a) for a, _ in pairs], [run.score(b) for _, b in pairs])
        full_seconds = sum(a.seconds for a, _ in pairs)
        price = round(sum(b.seconds for _, b in pairs) / full_seconds, 4) if full_seconds else None
        rows.append(Setting(name, recipe.epochs, recipe.data_share, resolution, len(pairs), ranks, price))
    return [rows[0], *sorted(rows[1:], key=lambda s: s.price or 0.0)]


def chosen_epochs(run: Driver) -> int:
    """Returns the fewest epochs whose ρ with the full training is at least `ENOUGH`; the full number if none are."""
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
    """Trains some networks long and short, to learn which cheaper training ranks them alike."""

    name = NAME
    title = "measuring fidelity"
    key = NAME
    options = Options
    may_end_early = True
    fragments = (fragment(30, __file__),)

    def jobs(self, run: Driver) -> Jobs:
        if not is_requested(run.study):
            return
        number = 0
        for candidate, (decisions, arch) in enumerate(run.compute_once(NAME, lambda: sample_networks(run.study))):
            for name, recipe, resolution in _settings(run.study):
                setting_arch = arch.with_(resolution=resolution)
                if cost_or_none(setting_arch) is not None:
                    job_name, job_decisions = f"{NAME}-{candidate:03d} {name}", {**decisions, "training": name}
                    yield job_of(
                        run.study,
                        NAME,
                        number,
                        job_name,
                        setting_arch,
                        job_decisions,
                        recipe=recipe,
                        candidate=candidate,
                    )
                number += 1

    def check(self, study: Study) -> None:
        """Raises `InputError` if there is no shorter training to try."""
        if is_requested(study) and len(list(_settings(study))) < 2:
            raise InputError("finds no shorter training to try: one epoch is the least", NAME)

    def log_lines(self, run: Driver) -> list[str]:
        measured = settings(run)
        lines = [
            f"{s.name} ({s.price or 0:.0%} of the price) ranks as the full training with ρ = {s.ranks}"
            for s in measured
            if s.name != FULL
        ]
        if measured and only_epochs(run.study):
            lines.append(f"the searches train for {format_count(chosen_epochs(run), 'epoch')}")
        return lines

    def macs(self, study: Study, base_macs: float) -> list[float]:
        options = study.options(Options)
        return [base_macs] * (options.networks * len(list(_settings(study)))) if is_requested(study) else []

    def conclusions(self, run: Driver) -> PlainDict:
        measured = settings(run)
        return {"fidelity": measured, "epochs": chosen_epochs(run) if measured and only_epochs(run.study) else None}

    def description(self, study: Study) -> str:
        return f"{study.options(Options).networks} networks, long and short"

    def networks(self, study: Study) -> int:
        return study.options(Options).networks

    def enough_epochs(self, run: Driver) -> int | None:
        return chosen_epochs(run)
