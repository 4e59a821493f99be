"""The family's smaller members, trained again with the largest as their teacher, and what that gains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import mean

from scalesearch.plain_data import PlainDict
from scalesearch.statistics import interval
from scalesearch.study.driver import Driver
from scalesearch.study.page import fragment
from scalesearch.study.step import Step
from scalesearch.study.steps import family, scale
from scalesearch.study.steps.network_jobs import jobs_for_every_seed
from scalesearch.study.study import Study
from scalesearch.trials import Job, Jobs

NAME = "distill"


@dataclass(frozen=True)
class DistillationGain:
    """Holds what a teacher gains for a member of the family, over its seeds.

    Attributes:
        name: The member.
        phi: Its φ.
        seeds: The number of seeds.
        test: The mean test score with a teacher.
        gain: The mean, seed by seed, of that score minus the one without a teacher; positive is better.
        interval: Half the 95 % interval of the gain.
    """

    name: str
    phi: float
    seeds: int
    test: float
    gain: float
    interval: float | None


def _student_phis(study: Study) -> list[float]:
    """Returns the φ of the members that have a teacher."""
    options = study.options(family.Options)
    return sorted(options.phi)[:-1] if options.distill else []


def distillation_gains(run: Driver) -> list[DistillationGain]:
    """Returns what a teacher gains for each smaller member, by φ."""
    without_teacher = {(t.name, t.fidelity["seed"]): run.test_score(t) for t in run.log.of(family.NAME) if t.done}
    rows = []
    for phi in _student_phis(run.study):
        trials = [t for t in run.log.of(NAME) if t.done and t.decisions["phi"] == phi]
        keys = [(t.name, t.fidelity["seed"]) for t in trials]
        pairs = [(run.test_score(t), without_teacher[k]) for t, k in zip(trials, keys) if k in without_teacher]
        if pairs:
            gains = [a - b for a, b in pairs]
            test = run.study.trained.task.tested.orient(mean(a for a, _ in pairs))
            rows.append(DistillationGain(trials[0].name, phi, len(pairs), test, mean(gains), interval(gains)))
    return rows


class Distillation(Step):
    """Trains the smaller members again with the largest as their teacher."""

    name = NAME
    title = "learning from the largest"
    needs = (family.NAME,)
    may_end_early = True
    decision_names = ("phi",)
    tested = True
    fragments = (fragment(70, __file__),)

    def jobs(self, run: Driver) -> Jobs:
        student_phis = _student_phis(run.study)
        if not student_phis:
            return
        members, recipe = family.members(run), run.study.recipe_of(NAME)
        teacher = members[max(members)].arch
        if not any(t.done and t.name == teacher.name for t in run.log.of(family.NAME, run.study.seeds[0])):
            return  # the teacher's weights are those of the first seed
        students = [(phi, members[phi].arch) for phi in student_phis]
        rows = [(arch.name, arch, {"phi": phi}, recipe.at_phi(phi)) for phi, arch in students]
        for job in jobs_for_every_seed(run, NAME, rows, "family/{name}/distilled.safetensors"):
            assert isinstance(job, Job)
            yield replace(job, teacher=teacher, teacher_weights=f"family/{teacher.name}/weights.safetensors")

    def macs(self, study: Study, base_macs: float) -> list[float]:
        factor = study.options(scale.Options).factor
        return [base_macs * factor**phi for phi in _student_phis(study)] * len(study.seeds)

    def description(self, study: Study) -> str:
        return "smaller members, the largest being their teacher"

    def conclusions(self, run: Driver) -> PlainDict:
        return {"distilled": distillation_gains(run)}
