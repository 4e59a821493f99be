"""The named ways to scale (EfficientNet's, depth, width, resolution alone), whole at φ = 1, against that found."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import mean

from scalesearch.arch import Arch, expand
from scalesearch.plain_data import PlainDict
from scalesearch.searchers import DEFAULT_PRESETS
from scalesearch.statistics import interval
from scalesearch.study.driver import Driver
from scalesearch.study.page import fragment
from scalesearch.study.step import Step
from scalesearch.study.steps import family, scale
from scalesearch.study.steps.fixed import with_every_seed
from scalesearch.study.study import Study
from scalesearch.trials import Jobs, Trial

NAME = "rivals"


@dataclass(frozen=True)
class Rival:
    """A named way to scale over its seeds: mean test score, and by how much the found way is better, seed by seed, with
    half its 95 % interval."""

    name: str
    macs: int
    seeds: int
    test: float
    behind: float
    interval: float | None


def _wanted(study: Study) -> bool:
    return study.options(scale.Options).rivals and 1.0 in study.options(family.Options).phi


def _own(run: Driver) -> str:
    """The network that the found way makes."""
    return expand(family.members(run)[1.0].arch).digest


def _named(run: Driver) -> dict[str, Arch]:
    """The networks of the named ways at φ = 1, each under the names of all that build it."""
    names: dict[str, list[str]] = {}
    archs: dict[str, Arch] = {}
    for name, scaled in scale.preset_networks(run).items():
        if name in DEFAULT_PRESETS:
            digest = expand(scaled.arch).digest
            names.setdefault(digest, []).append(name)
            archs[digest] = scaled.arch
    return {" and ".join(called): archs[digest] for digest, called in names.items()}


def rivals(run: Driver) -> list[Rival]:
    """Best mean first; a named way that is the found one too is level with it, and called so."""
    if not _wanted(run.study) or not run.log.of(family.NAME):
        return []
    task = run.study.trained.task

    def score(trial: Trial) -> float:
        return task.tested.orient(trial.scores[task.tested.key])

    found = {t.fidelity["seed"]: score(t) for t in run.log.of(family.NAME) if t.done and t.decisions["phi"] == 1.0}
    tried: dict[str, list[Trial]] = defaultdict(list)
    for trial in run.log.of(NAME):
        if trial.done and trial.fidelity["seed"] in found:
            tried[trial.name].append(trial)
    for name, arch in _named(run).items() if found else ():
        if expand(arch).digest == _own(run):
            tried[f"{name} (found)"] = [t for t in run.log.of(family.NAME) if t.done and t.decisions["phi"] == 1.0]
    made = []
    for name, trials in tried.items():
        ahead = [found[t.fidelity["seed"]] - score(t) for t in trials]
        made.append(
            Rival(
                name,
                trials[0].cost["macs"],
                len(trials),
                task.tested.orient(mean(map(score, trials))),
                mean(ahead),
                interval(ahead),
            )
        )
    return sorted(made, key=lambda r: r.behind)


class NamedScalings(Step):
    """Trains the named scalings whole at φ = 1 and compares them with the one found."""

    name = NAME
    title = "training the named ways to scale"
    needs = (family.NAME,)
    may_end_early = True
    fragments = (fragment(60, __file__),)

    def jobs(self, run: Driver) -> Jobs:
        """Those that build the same network are trained once; what is the found way itself, not at all."""
        if not _wanted(run.study):
            return
        rows: list[tuple[str, Arch, PlainDict]] = [
            (name, arch.with_(name=name), {}) for name, arch in _named(run).items() if expand(arch).digest != _own(run)
        ]
        recipe = run.study.recipe_of(NAME).at_phi(1.0)
        yield from with_every_seed(run, NAME, rows, recipes={name: recipe for name, _, _ in rows})

    def conclusions(self, run: Driver) -> PlainDict:
        return {"rivals": rivals(run)}

    def macs(self, study: Study, base_macs: float) -> list[float]:
        options = study.options(scale.Options)
        return [base_macs * options.factor] * (4 * len(study.seeds)) if _wanted(study) else []

    def what(self, study: Study) -> str:
        return "EfficientNet's coefficients; depth, width and resolution alone"
