"""The named scalings, fully trained at φ = 1 and compared with the one found.

They are EfficientNet's coefficients, and depth, width and resolution alone.
"""

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
from scalesearch.study.steps.network_jobs import jobs_for_every_seed
from scalesearch.study.study import Study
from scalesearch.trials import Jobs, Recipe, Trial

NAME = "rivals"


@dataclass(frozen=True)
class ScalingBaseline:
    """Holds a named scaling over its seeds, compared with the scaling found.

    Attributes:
        name: The name or names of the scaling.
        macs: The MACs of its network.
        seeds: The number of seeds.
        test: The mean test score.
        behind: The mean, seed by seed, by which the scaling found is better; negative if it is worse.
        interval: Half the 95 % interval of that mean.
    """

    name: str
    macs: int
    seeds: int
    test: float
    behind: float
    interval: float | None


def _is_requested(study: Study) -> bool:
    return study.options(scale.Options).rivals and 1.0 in study.options(family.Options).phi


def _found_digest(run: Driver) -> str:
    """Returns the digest of the network that the scaling found makes at φ = 1."""
    return expand(family.members(run)[1.0].arch).digest


def _named_networks(run: Driver) -> dict[str, Arch]:
    """Returns the networks of the named scalings at φ = 1, each under the names of all scalings that build it."""
    names: dict[str, list[str]] = {}
    archs: dict[str, Arch] = {}
    for name, scaled in scale.preset_networks(run).items():
        if name in DEFAULT_PRESETS:
            digest = expand(scaled.arch).digest
            names.setdefault(digest, []).append(name)
            archs[digest] = scaled.arch
    return {" and ".join(aliases): archs[digest] for digest, aliases in names.items()}


def scaling_baselines(run: Driver) -> list[ScalingBaseline]:
    """Returns the named scalings, best mean first.

    One that builds the same network as the scaling found is marked `(found)`.
    """
    if not _is_requested(run.study) or not run.log.of(family.NAME):
        return []
    found_trials = [t for t in run.log.of(family.NAME) if t.done and t.decisions["phi"] == 1.0]
    found_scores = {t.fidelity["seed"]: run.test_score(t) for t in found_trials}
    trials_by_name: dict[str, list[Trial]] = defaultdict(list)
    for trial in run.log.of(NAME):
        if trial.done and trial.fidelity["seed"] in found_scores:
            trials_by_name[trial.name].append(trial)
    for name, arch in _named_networks(run).items() if found_scores else ():
        if expand(arch).digest == _found_digest(run):
            trials_by_name[f"{name} (found)"] = found_trials
    baselines = []
    for name, trials in trials_by_name.items():
        ahead = [found_scores[t.fidelity["seed"]] - run.test_score(t) for t in trials]
        test, macs = run.study.trained.task.tested.orient(mean(map(run.test_score, trials))), trials[0].cost["macs"]
        baselines.append(ScalingBaseline(name, macs, len(trials), test, mean(ahead), interval(ahead)))
    return sorted(baselines, key=lambda r: r.behind)


class NamedScalings(Step):
    """Trains the networks of the named scalings at φ = 1 and compares them with that of the scaling found."""

    name = NAME
    title = "training the named ways to scale"
    needs = (family.NAME,)
    may_end_early = True
    fragments = (fragment(60, __file__),)

    def jobs(self, run: Driver) -> Jobs:
        """Yields one network for all scalings that build it, and none where the scaling found builds it too."""
        if not _is_requested(run.study):
            return
        recipe = run.study.recipe_of(NAME).at_phi(1.0)
        rows: list[tuple[str, Arch, PlainDict, Recipe]] = [
            (name, arch.with_(name=name), {}, recipe)
            for name, arch in _named_networks(run).items()
            if expand(arch).digest != _found_digest(run)
        ]
        yield from jobs_for_every_seed(run, NAME, rows)

    def conclusions(self, run: Driver) -> PlainDict:
        return {"rivals": scaling_baselines(run)}

    def macs(self, study: Study, base_macs: float) -> list[float]:
        options = study.options(scale.Options)
        return [base_macs * options.factor] * (4 * len(study.seeds)) if _is_requested(study) else []

    def description(self, study: Study) -> str:
        return "EfficientNet's coefficients; depth, width and resolution alone"
