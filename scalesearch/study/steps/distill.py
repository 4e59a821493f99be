"""The family's smaller members trained again with the largest as their teacher, and what that gains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import mean

from scalesearch.plain_data import PlainDict
from scalesearch.statistics import interval
from scalesearch.study.driver import Driver
from scalesearch.study.page import fragment
from scalesearch.study.step import Step
from scalesearch.study.steps import family, scale
from scalesearch.study.steps.fixed import with_every_seed
from scalesearch.study.study import Study
from scalesearch.trials import Job, Jobs, Trial

NAME = "distill"


@dataclass(frozen=True)
class Distilled:
    """A member over its seeds: mean test score with a teacher, and what that adds, seed by seed, with half its 95 %
    interval."""

    name: str
    phi: float
    seeds: int
    test: float
    gain: float
    interval: float | None


def _smaller(study: Study) -> list[float]:
    """The φ of those that have a teacher."""
    options = study.options(family.Options)
    return sorted(options.phi)[:-1] if options.distill else []


def distilled(run: Driver) -> list[Distilled]:
    """By φ."""
    task = run.study.trained.task

    def score(trial: Trial) -> float:
        return task.tested.orient(trial.scores[task.tested.key])

    alone = {(t.name, t.fidelity["seed"]): score(t) for t in run.log.of(family.NAME) if t.done}
    found = []
    for phi in _smaller(run.study):
        trials = [t for t in run.log.of(NAME) if t.done and t.decisions["phi"] == phi]
        pairs = [(score(t), alone[t.name, t.fidelity["seed"]]) for t in trials if (t.name, t.fidelity["seed"]) in alone]
        if pairs:
            gains = [a - b for a, b in pairs]
            found.append(
                Distilled(
                    trials[0].name,
                    phi,
                    len(pairs),
                    task.tested.orient(mean(a for a, _ in pairs)),
                    mean(gains),
                    interval(gains),
                )
            )
    return found


class Distillation(Step):
    """Trains the smaller members again with the largest as their teacher."""

    name = NAME
    title = "learning from the largest"
    needs = (family.NAME,)
    may_end_early = True
    decided = ("phi",)
    tested = True
    fragments = (fragment(70, __file__),)

    def jobs(self, run: Driver) -> Jobs:
        smaller = _smaller(run.study)
        if not smaller:
            return
        members, recipe = family.members(run), run.study.recipe_of(NAME)
        teacher = members[max(members)].arch
        if not any(
            t.done and t.name == teacher.name and t.fidelity["seed"] == run.study.seeds[0]
            for t in run.log.of(family.NAME)
        ):
            return  # whose weights are kept
        rows = [(members[phi].arch.name, members[phi].arch, {"phi": phi}) for phi in smaller]
        recipes = {row[0]: recipe.at_phi(row[2]["phi"]) for row in rows}
        for job in with_every_seed(run, NAME, rows, "family/{name}/distilled.safetensors", recipes):
            assert isinstance(job, Job)
            yield replace(job, teacher=teacher, teacher_weights=f"family/{teacher.name}/weights.safetensors")

    def macs(self, study: Study, base_macs: float) -> list[float]:
        factor = study.options(scale.Options).factor
        return [base_macs * factor**phi for phi in _smaller(study)] * len(study.seeds)

    def what(self, study: Study) -> str:
        return "smaller members, the largest being their teacher"

    def conclusions(self, run: Driver) -> PlainDict:
        return {"distilled": distilled(run)}
