"""What a study trains, in which order: jobs out, results in. It knows no Ray, so it runs and is tested without.

The order is a function of the study and of the results with lower numbers alone: a proposal may be asked for when all
results `parallel` places before it are known, and is shown exactly those. So the outcome doesn't depend on how many
trials run at a time or which ends first, and going on after a kill is running again with the logged results at hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

from scalesearch.arch import Arch
from scalesearch.counting import cost, possible_cost
from scalesearch.decisions import Decision
from scalesearch.domains import FloatRange
from scalesearch.expansion import expand
from scalesearch.scaling import PRESETS, Scaled, ScalingSpace, Shares, scale_to
from scalesearch.schema import arch_from_dict
from scalesearch.search import Past, searcher
from scalesearch.space import Space
from scalesearch.study import STEPS, Budget, Study, TrialLog
from scalesearch.trial import Trial

SHARE_STEPS = 16  # shares of the budget are told apart to 1/16; finer ones mostly round to the same networks


class StudyFailed(RuntimeError):
    """The study cannot go on; the message says why."""


@dataclass(frozen=True)
class Job:
    """A network to train once. `keep` says whether its weights go into the family's folder."""

    step: str
    number: int
    name: str
    arch: Arch
    seed: int
    decisions: dict[str, Any]
    rejected: int = 0
    keep: bool = False


class BaseProblem:
    """The base search as a searcher sees it; `patience` proposals in a row may be over budget or known already."""

    patience = 200_000

    def __init__(self, space: Space, budget: Budget):
        self.space, self.budget, self.decisions = space, budget, space.decisions

    def network(self, decisions: dict[str, Any]) -> Arch | None:
        """The architecture, or None where it is over the budget."""
        arch = self.space._at(decisions)
        counted = possible_cost(arch)
        return None if counted is None or self.budget.broken_by(counted) else arch

    def snapped(self, decisions: dict[str, Any]) -> dict[str, Any]:
        """Decimals on a range's steps exactly, where a searcher's arithmetic left them beside."""
        domains = {key: self.decisions[key].domain for key in decisions}
        return {key: min(domains[key].values, key=lambda v: abs(v - value))
                if isinstance(domains[key], FloatRange) and domains[key].values else value
                for key, value in decisions.items()}

    def draw(self, rng: Random) -> dict[str, Any]:
        return self.space.sample(rng)[0]

    def mutated(self, decisions: dict[str, Any], rng: Random) -> dict[str, Any]:
        return self.space.mutated(decisions, rng)


class ScaleProblem:
    """The search over the triangle of shares as a searcher sees it: two decimals, the rest is resolution's."""

    patience = 4_000

    def __init__(self, space: ScalingSpace, always: list[dict[str, Any]]):
        self.space, self.always = space, always
        self.decisions = {name: Decision(name, FloatRange(0.0, 1.0), ((name, ()),)) for name in ("depth", "width")}

    def network(self, decisions: dict[str, Any]) -> Arch | None:
        """The scaled network, or None where none is inside the tolerance; what is always tried may be the nearest."""
        if sum(decisions.values()) > 1 + 1e-9:
            return None
        scaled = self.space.at(decisions)
        inside = abs(scaled.deviation) <= self.space.tolerance
        return scaled.arch if inside or decisions in self.always else None

    def snapped(self, decisions: dict[str, Any]) -> dict[str, Any]:
        return {name: round(share * SHARE_STEPS) / SHARE_STEPS for name, share in decisions.items()}

    def draw(self, rng: Random) -> dict[str, Any]:
        low, high = sorted((rng.random(), rng.random()))
        return {"depth": low, "width": high - low}

    def mutated(self, decisions: dict[str, Any], rng: Random) -> dict[str, Any]:
        a, b = (max(0.0, share + rng.gauss(0, 0.15)) for share in decisions.values())
        total = max(1.0, a + b)
        return {"depth": a / total, "width": b / total}


class Driver:
    """Hands out the jobs of a study and takes their results into the log.

    `next()` gives a job, `WAIT` while results are missing that the next one needs, or None at the end.
    """

    WAIT = object()

    def __init__(self, study: Study, log: TrialLog):
        self.study, self.log = study, log
        self.jobs: dict[tuple[str, int], Job] = {}
        self._jobs = self._all_steps()

    def next(self) -> Any:
        return next(self._jobs, None)

    def finish(self, job: Job, outcome: dict[str, Any]) -> Trial:
        """Log what came of `job`: `{"scores": …, "history": …, "seconds": …}` or `{"reason": …}`."""
        recipe, counted = self.study.recipe_of(job.step), cost(job.arch)
        trial = Trial(
            step=job.step, number=job.number, name=job.name, arch=job.arch.to_dict(), decisions=job.decisions,
            network=expand(job.arch).digest, recipe=recipe.digest, cost=counted._asdict(), rejected=job.rejected,
            fidelity={"epochs": recipe.epochs, "data_share": recipe.data_share, "seed": job.seed},
            state="failed" if outcome.get("reason") else "done", **outcome)
        self.log.append(trial)
        return trial

    # The steps.

    def _all_steps(self) -> Iterator[Any]:
        for step in STEPS:
            yield from getattr(self, f"_{step}")()
        while not self.jobs.keys() <= self.log.trials.keys():
            yield self.WAIT

    def _base(self) -> Iterator[Any]:
        yield from self._search("base", self.study.search, BaseProblem(self.study.adapted_space, self.study.budget), [])

    def _scale(self) -> Iterator[Any]:
        always = [{"depth": p.depth, "width": p.width} for name, p in PRESETS.items() if name != "uniform"]
        yield from self._search("scale", self.study.scale, ScaleProblem(self.scaling_space, always), always)

    def _family(self) -> Iterator[Any]:
        members = self.family
        rows = [(f"{self.study.name}-phi{phi:g}", m.arch, {"phi": phi}) for phi, m in members.items()]
        yield from self._fixed("family", rows)

    def _compare(self) -> Iterator[Any]:
        # the longest first, so that none is left running alone at the end
        largest_first = sorted(self.study.hand_built.items(), key=lambda item: -cost(item[1]).macs)
        yield from self._fixed("compare", [(name, arch, {}) for name, arch in largest_first])

    def _search(self, step: str, options: Any, problem: Any, first: list[dict[str, Any]]) -> Iterator[Any]:
        """The jobs of a search: what is `first`, then what the searcher proposes, distinct networks only."""
        seen: set[str] = set()
        waiting, decided, lag = list(first), [], self.study.parallel
        for number in range(options.trials):
            known = max(0, number - lag + 1)
            while not all((step, i) in self.log.trials for i in range(known)):
                yield self.WAIT
            logged = self.log.trials.get((step, number))
            if logged:
                decisions, arch = logged.decisions, arch_from_dict(logged.arch)
                waiting = waiting[waiting.index(decisions) + 1 :] if decisions in waiting else []
            else:
                past = Past([(decided[i], self._score(step, i)) for i in range(known)], decided[known:])
                rng = Random(f"{self.study.seeds[0]}-{step}-{number}")
                proposals = searcher(options.with_)(problem, past, rng)
                chosen = self._choose(waiting, proposals, problem, rng, seen)
                if chosen is None:
                    break  # no distinct network is left
                decisions, arch, rejected = chosen
            seen.add(expand(arch).digest)
            decided.append(decisions)
            if not logged:
                yield self._job(Job(step, number, f"{step}-{number:03d}", arch, self.study.seeds[0], decisions, rejected))
        while not all((step, i) in self.log.trials for i in range(len(decided))):
            yield self.WAIT

    def _score(self, step: str, number: int) -> float | None:
        return self.log.trials[step, number].scores.get("val_accuracy")

    @staticmethod
    def _choose(waiting: list, proposals: Iterator[dict], problem: Any, rng: Random, seen: set[str]) -> Any:
        """The first proposal that is inside the budget and a network not seen before, and how many were not.

        A searcher that finds none for half its patience is helped by plain draws.
        """
        for rejected in range(problem.patience):
            if waiting:
                decisions = waiting.pop(0)
            else:
                decisions = problem.snapped(next(proposals) if rejected < problem.patience / 2 else problem.draw(rng))
            arch = problem.network(decisions)
            if arch is not None and expand(arch).digest not in seen:
                return decisions, arch, rejected
        return None

    def _fixed(self, step: str, rows: list[tuple[str, Arch, dict]]) -> Iterator[Any]:
        jobs = [Job(step, n, name, arch, seed, decisions, keep=step == "family" and seed == self.study.seeds[0])
                for n, (seed, (name, arch, decisions)) in enumerate((s, row) for s in self.study.seeds for row in rows)]
        for job in jobs:
            if (step, job.number) not in self.log.trials:
                yield self._job(job)

    def _job(self, job: Job) -> Job:
        self.jobs[job.step, job.number] = job
        return job

    # What the steps so far have found.

    def best(self, step: str) -> Trial:
        """The step's best trial. Raises `StudyFailed` where none succeeded."""
        trials = self.log.of(step)
        done = [t for t in trials if t.state == "done"]
        if not done:
            reason = trials[0].reason if trials else "no network was found"
            raise StudyFailed(f"all {len(trials)} trials of the {step} search failed: {reason}")
        return max(done, key=lambda t: t.rank)

    @cached_property
    def scaling_space(self) -> ScalingSpace:
        """The ways to scale the best base; asked for when the base search is over."""
        base = arch_from_dict(self.best("base").arch)
        return ScalingSpace(base, self.study.scale.factor, self.study.scale.tolerance)

    @property
    def shares(self) -> Shares:
        """The shares of the best scaling found."""
        best = self.best("scale").decisions
        return Shares(best["depth"], best["width"], max(0.0, 1 - best["depth"] - best["width"]))

    @property
    def family(self) -> dict[float, Scaled]:
        """The members by φ, each scaled from the base to factor^φ of its counted MACs."""
        space, factor = self.scaling_space, self.study.scale.factor
        macs, members = cost(space.base).macs, {}
        for phi in self.study.family.phi:
            target = round(macs * factor**phi)
            name = f"{self.study.name}-phi{phi:g}"
            scaled = Scaled(space.base, macs, macs, self.shares) if phi == 0 else scale_to(
                space.base, target, self.shares, space.tolerance)
            members[phi] = Scaled(scaled.arch.with_(name=name), scaled.macs, target, self.shares)
        return members

    @property
    def preset_networks(self) -> dict[str, Scaled]:
        """What each named way to scale makes of the base at φ = 1."""
        return {name: self.scaling_space.at({"depth": p.depth, "width": p.width}) for name, p in PRESETS.items()}
