"""What a study trains, in which order: jobs out, results in. It knows no Ray, so it runs and is tested without.

The order is a function of the study and of the results with lower numbers alone: a proposal may be asked for when all
results `parallel` places before it are known, and is shown exactly those. So the outcome doesn't depend on how many
trials run at a time or which ends first, and going on after a kill is running again with the logged results at hand.
"""

from __future__ import annotations

import itertools
import math
from collections import ChainMap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random
from statistics import mean
from typing import Any

import numpy as np

from scalesearch.arch import Arch
from scalesearch.searchers import ask
from scalesearch.budget import Budget, budget_of, relative_to
from scalesearch.counting import block_cost, cost
from scalesearch.arch import expand
from scalesearch.searchers import Entry, Scheduler, modelled_rung, promotion
from scalesearch.searchers import ScaleProblem, SpaceProblem
from scalesearch.scaling import PRESETS, Scaled, Shares, scale_to
from scalesearch.scaling import ScalingSpace
from scalesearch.space import arch_from_dict
from scalesearch.searchers import Past
from scalesearch.study.study import Study
from scalesearch.study.trial import STEPS, Trial, compared
from scalesearch.study.log import TrialLog

TRIED_ALWAYS = ("efficientnet", "depth", "width", "resolution")  # of the ways to scale
ENOUGH = 10  # scores at a rung before searchers learn from it and not from the one below


class StudyFailed(RuntimeError):
    """The study cannot go on; the message says why."""


@dataclass(frozen=True)
class Job:
    """A network to train, from epoch `start` `until` another; none: its proxies alone.

    `keep` says whether its weights go into the family's folder, `parent` names the trial whose weights it starts from, and
    `candidate` and `rung` which network of a search it is and how far it goes.
    """

    step: str
    number: int
    name: str
    arch: Arch
    seed: int
    decisions: dict[str, Any]
    until: int
    start: int = 0
    candidate: int = 0
    rung: int = 0
    rejected: int = 0
    keep: bool = False
    parent: str = ""
    final: bool = False


@dataclass
class _Search:
    """A search of a step: what it asks, for how many networks, and what it has asked for so far."""

    step: str
    with_: str
    trials: int
    problem: Any
    first: list[dict[str, Any]]
    rungs: tuple[int, ...]
    scheduler: Scheduler = field(default_factory=Scheduler)
    objectives: int = 1
    inherit: bool = False
    entries: list[Entry] = field(default_factory=list)
    candidates: list[dict[str, Any]] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)  # by candidate: the trial whose weights it starts from
    seen: set[str] = field(default_factory=set)
    exhausted: bool = False


class Driver:
    """Hands out the jobs of a study and takes their results into the log.

    `next()` gives a job, `WAIT` while results are missing that the next one needs, or None at the end. `told` is called with
    every trial that is logged.
    """

    WAIT = object()

    def __init__(self, study: Study, log: TrialLog, told: Callable[[Trial], None] = lambda trial: None):
        self.study, self.log, self.told = study, log, told
        self.jobs: dict[tuple[str, int], Job] = {}
        self._jobs = self._all_steps()

    def next(self) -> Any:
        return next(self._jobs, None)

    def finish(self, job: Job, outcome: dict[str, Any]) -> Trial:
        """Log what came of `job`: `{"scores": …, "history": …, "seconds": …}` or `{"reason": …}`, and what was really used.

        A score that is missing or not finite, and a network or recipe that is not what was asked for, are failures.
        """
        recipe, asked = self.study.recipe_of(job.step), expand(job.arch).digest
        used = {"network": outcome.get("network", asked), "recipe": outcome.get("recipe", recipe.digest),
                "built": outcome.get("built", "")}
        reason = outcome.get("reason") or _fault(job, outcome, used, asked, recipe.digest)
        scores = {key: value for key, value in (outcome.get("scores") or {}).items() if _is_finite(value)}
        trial = Trial(
            step=job.step, number=job.number, name=job.name, arch=job.arch.to_dict(), decisions=job.decisions,
            cost=cost(job.arch)._asdict(), rejected=job.rejected, candidate=job.candidate, rung=job.rung, **used,
            fidelity={"epochs": job.until, "of": recipe.epochs if job.until else 0, "data_share": recipe.data_share,
                      "seed": job.seed, "resolution": job.arch.resolution, "parent": job.parent},
            state="failed" if reason else "done", reason=reason or "", scores={} if reason else scores,
            history=[h for h in outcome.get("history", []) if h.get("epoch", math.inf) > job.start],
            seconds=outcome.get("seconds", 0.0))
        self.log.append(trial)
        self.told(trial)
        return trial

    # The steps.

    def _all_steps(self) -> Iterator[Any]:
        for step in STEPS:
            yield from getattr(self, f"_{step}")()
        while not self.jobs.keys() <= self.log.trials.keys():
            yield self.WAIT

    @cached_property
    def base_problem(self) -> SpaceProblem:
        return SpaceProblem(self.study.adapted_space, self.study.budget, self.study.search.costs)

    def _screen(self) -> Iterator[Any]:
        """Networks drawn and judged by proxies alone: a first fidelity that costs no training."""
        seen: set[str] = set()
        for number in range(self.study.search.screen):
            logged = self.log.trials.get(("screen", number))
            if logged:
                seen.add(expand(arch_from_dict(logged.arch)).digest)
                continue
            asked = ask(self.base_problem, "random", Past(), Random(f"{self.study.seeds[0]}-screen-{number}"), seen)
            if asked is None:
                break
            seen.add(asked.identity)
            arch = self.base_problem.arch(asked.decisions)
            yield self._job(Job("screen", number, f"screen-{number:03d}", arch, self.study.seeds[0], asked.decisions, 0,
                                candidate=number, rejected=asked.rejected))
        yield from self._all_known("screen")

    def _base(self) -> Iterator[Any]:
        search, problem = self.study.search, self.base_problem
        yield from self._search(_Search("base", search.with_, search.trials, problem, self._screened(problem), self.study.rungs,
                                        search.halving, len(search.objective), search.inherit))

    def _screened(self, problem: SpaceProblem) -> list[dict[str, Any]]:
        """The screened networks with the best proxies, on average over their ranks; the searcher learns them all."""
        names = [f"proxy.{name}" for name in self.study.search.proxies]
        trials = [t for t in self.log.of("screen") if t.state == "done" and all(name in t.scores for name in names)]
        if len(trials) < 4:
            return []
        table = np.array([[t.scores[name] for name in names] for t in trials])
        problem.hint([t.decisions for t in trials], table)
        order = np.argsort(-table.argsort(0).argsort(0).mean(1), kind="stable")
        return [trials[i].decisions for i in order[: max(1, min(len(trials), self.study.search.trials) // 4)]]

    def _control(self) -> Iterator[Any]:
        """Some networks that started from inherited weights, trained from nothing: what the inheritance adds or takes."""
        inherited = [t for t in self.log.of("base") if t.fidelity.get("parent") and t.state == "done" and not t.early]
        for number, trial in enumerate(_evenly(inherited, self.study.controls)):
            yield from self._once(Job("control", number, f"control-{trial.candidate:03d}", arch_from_dict(trial.arch),
                                      trial.fidelity["seed"], trial.decisions, self.study.recipe_of("control").epochs,
                                      candidate=trial.candidate))
        yield from self._all_known("control")

    def _finalists(self) -> Iterator[Any]:
        finalists = self.study.finalists
        best = sorted(self._final("base"), key=lambda t: t.rank, reverse=True)[: finalists.top]
        until = self.study.recipe_of("finalists").epochs
        for number, (trial, seed) in enumerate(itertools.product(best, finalists.seeds)):
            job = Job("finalists", number, f"finalist-{trial.candidate:03d}-s{seed}", arch_from_dict(trial.arch), seed, trial.decisions,
                      until, candidate=trial.candidate)
            if self._is_trained(trial, job) and ("finalists", number) not in self.log.trials:
                self.finish(job, {"scores": trial.scores, "history": trial.history, "built": trial.built})
            yield from self._once(job)
        yield from self._all_known("finalists")

    def _is_trained(self, trial: Trial, job: Job) -> bool:
        """Whether the search has trained that network already as the job would."""
        there = trial.recipe, trial.fidelity["epochs"], trial.fidelity["seed"], trial.fidelity["parent"]
        return there == (self.study.recipe_of(job.step).digest, job.until, job.seed, "")

    def _scale(self) -> Iterator[Any]:
        options, problem = self.study.scale, ScaleProblem(self.scaling_space, TRIED_ALWAYS, self._scale_budget())
        if not problem.networks:
            raise StudyFailed(f"scale.budget: none of the {len(self.scaling_space.networks):,} networks near φ = 1 has {problem.budget}")
        yield from self._search(_Search("scale", options.with_, options.trials, problem, list(problem.always.values()),
                                        (self.study.recipe_of("scale").epochs,)))

    def _scale_budget(self) -> Budget:
        networks = ChainMap({"base": self.scaling_space.base}, self.study.networks)
        return budget_of(self.study.scale.budget or {}, relative_to(networks))

    def _transfer(self) -> Iterator[Any]:
        """Some of the ways to scale that were tried, at larger φ: whether the better one stays the better one."""
        options, space = self.study.scale, self.scaling_space
        ways: dict[Shares, Trial] = {}
        for trial in sorted(self.log.of("scale"), key=lambda t: t.rank, reverse=True):
            if trial.state == "done":
                ways.setdefault(ScalingSpace.shares(trial.decisions), trial)
        number = 0
        for phi in (p for p in options.phi if p != 1):
            target, seen = round(cost(space.base).macs * options.factor**phi), set()
            for shares, trial in _evenly(list(ways.items()), options.transfer):
                arch = scale_to(space.base, target, shares, options.tolerance).arch
                if expand(arch).digest in seen:
                    continue
                seen.add(expand(arch).digest)
                yield from self._once(Job("transfer", number, f"phi{phi:g}-{trial.name}", arch, self.study.seeds[0],
                                          {**trial.decisions, "phi": phi}, self.study.recipe_of("transfer").epochs,
                                          candidate=trial.candidate))
                number += 1
        yield from self._all_known("transfer")

    def _family(self) -> Iterator[Any]:
        members = self.family
        rows = [(f"{self.study.name}-phi{phi:g}", m.arch, {"phi": phi}) for phi, m in members.items()]
        yield from self._fixed("family", rows)

    def _compare(self) -> Iterator[Any]:
        # the longest first, so that none is left running alone at the end
        largest_first = sorted(self.study.hand_built.items(), key=lambda item: -cost(item[1]).macs)
        yield from self._fixed("compare", [(name, arch, {}) for name, arch in largest_first])

    def _search(self, search: _Search) -> Iterator[Any]:
        """The jobs of a search: promotions as results justify them, else new networks, until there are neither."""
        lag, seed = self.study.parallel, self.study.seeds[0]
        for number in itertools.count():
            known = max(0, number - lag + 1)
            yield from self._known(search.step, known)
            logged = self.log.trials.get((search.step, number))
            if logged:
                self._take_in(search, (logged.candidate, logged.rung), logged.decisions, arch_from_dict(logged.arch),
                              logged.fidelity["parent"])
                continue
            job = self._next_job(search, number, known, seed)
            if job is None and known < number:
                yield from self._known(search.step, number)
                job = self._next_job(search, number, number, seed)
            if job is None:
                break
            self._take_in(search, (job.candidate, job.rung), job.decisions, job.arch, job.parent)
            yield self._job(job)

    @staticmethod
    def _take_in(search: _Search, entry: Entry, decisions: dict[str, Any], arch: Arch, parent: str) -> None:
        search.entries.append(entry)
        if entry[0] == len(search.candidates):
            search.candidates.append(decisions)
            search.parents.append(parent)
            search.seen.add(expand(arch).digest)
            if decisions in search.first:
                search.first = search.first[search.first.index(decisions) + 1 :]

    def _next_job(self, search: _Search, number: int, known: int, seed: int) -> Job | None:
        """A promotion, or a new network, or, where no network came to the end, the best one's next rung."""
        results = {search.entries[i]: self._values(search, i) for i in range(known)}
        entry = self._promotion(search, results, search.scheduler.eta)
        if entry is None and len(search.candidates) < search.trials and not search.exhausted:
            rng = Random(f"{seed}-{search.step}-{number}")
            asked = ask(search.problem, search.with_, self._past(search, results), rng, search.seen, search.first, search.objectives)
            if asked is not None:
                candidate = len(search.candidates)
                rung = search.scheduler.first_rung(candidate, len(search.rungs))
                return self._search_job(search, number, (candidate, rung), asked.decisions, seed, asked.rejected)
            search.exhausted = True
        if entry is None and known == len(search.entries) and not any(
                values is not None for (_, rung), values in results.items() if rung == len(search.rungs) - 1):
            entry = self._promotion(search, results, 1)  # somebody must come to the end
        return entry and self._search_job(search, number, entry, search.candidates[entry[0]], seed)

    @staticmethod
    def _promotion(search: _Search, results: dict[Entry, Any], eta: int) -> Entry | None:
        """Networks that started from inherited weights and those that started from nothing are not compared with each other."""
        for inherited in (True, False):
            alike = {entry: values for entry, values in results.items() if bool(search.parents[entry[0]]) == inherited}
            if entry := promotion(search.entries, alike, len(search.rungs), eta):
                return entry
        return None

    def _search_job(self, search: _Search, number: int, entry: Entry, decisions: dict[str, Any], seed: int,
                    rejected: int = 0) -> Job:
        candidate, rung = entry
        arch = search.problem.arch(decisions)
        started = [search.rungs[r] for c, r in search.entries if c == candidate and r < rung]
        stage = f"-e{search.rungs[rung]}" if len(search.rungs) > 1 else ""
        parent = "" if not search.inherit else search.parents[candidate] if started else self._parent(arch, search, number)
        return Job(search.step, number, f"{search.step}-{candidate:03d}{stage}", arch, seed, decisions, search.rungs[rung],
                   max(started, default=0), candidate, rung, rejected, parent=parent)

    def _parent(self, arch: Arch, search: _Search, number: int) -> str:
        """The finished trial that shares most parameters, block by block in its place; the same whoever ends first."""
        blocks = dict(expand(arch).blocks())

        def shared(trial: Trial) -> int:
            theirs = dict(expand(arch_from_dict(trial.arch)).blocks())
            return sum(block_cost(b).params for path, b in blocks.items() if path in theirs and theirs[path].digest == b.digest)

        known = max(0, number - self.study.parallel + 1)
        done = [t for i in range(known) if (t := self.log.trials[search.step, i]).state == "done" and not t.early]
        best = max(done, key=lambda t: (shared(t), t.number), default=None)
        return best.name if best is not None and shared(best) else ""

    def _values(self, search: _Search, number: int) -> tuple[float, ...] | None:
        """Every objective of a result, to be maximised; None where it failed."""
        score = self._score(search.step, number)
        return None if score is None else (score, *(-c for c in search.problem.costs(search.candidates[search.entries[number][0]])))

    def _past(self, search: _Search, results: dict[Entry, Any]) -> Past:
        """The results of one fidelity, and what is under way."""
        rung = modelled_rung(results, len(search.rungs), ENOUGH)
        there = {c: None if values is None else values[0] for (c, r), values in results.items() if r == rung}
        inherited = 2 * sum(bool(search.parents[c]) for c in there) >= len(there)
        alike = [(search.candidates[c], score) for c, score in there.items() if bool(search.parents[c]) == inherited]
        under_way = {c for c, _ in search.entries[len(results) :]} - there.keys()
        return Past(alike, [search.candidates[c] for c in sorted(under_way)])

    def _score(self, step: str, number: int) -> float | None:
        return self.log.trials[step, number].scores.get("val_accuracy")

    def _fixed(self, step: str, rows: list[tuple[str, Arch, dict]]) -> Iterator[Any]:
        until = self.study.recipe_of(step).epochs
        for n, (seed, (name, arch, decisions)) in enumerate((s, row) for s in self.study.seeds for row in rows):
            keep = step == "family" and seed == self.study.seeds[0]
            yield from self._once(Job(step, n, name, arch, seed, decisions, until, keep=keep, final=True))

    def _once(self, job: Job) -> Iterator[Job]:
        if (job.step, job.number) not in self.log.trials:
            yield self._job(job)

    def _job(self, job: Job) -> Job:
        self.jobs[job.step, job.number] = job
        return job

    def _known(self, step: str, upto: int) -> Iterator[Any]:
        while not all((step, i) in self.log.trials for i in range(upto)):
            yield self.WAIT

    def _all_known(self, step: str) -> Iterator[Any]:
        while not all(key in self.log.trials for key in self.jobs if key[0] == step):
            yield self.WAIT

    # What the steps so far have found.

    def _final(self, step: str) -> list[Trial]:
        """A search's trials that were trained to the end, alike. Raises `StudyFailed` where none succeeded."""
        trials = self.log.of(step)
        done = compared(t for t in trials if not t.early)
        if not done:
            reason = next((t.reason for t in trials if t.reason), "no network was found")
            raise StudyFailed(f"none of the {len(trials)} trials of the {step} search came to the end of its training: {reason}")
        return done

    def best(self, step: str) -> Trial:
        """The step's best trial, of those trained to the end. Raises `StudyFailed` where none succeeded."""
        return max(self._final(step), key=lambda t: t.rank)

    @property
    def base(self) -> Trial:
        """The trial of the base search whose network the study goes on with: of the finalists the one with the best mean."""
        scores: dict[int, list[float]] = {}
        for trial in self.log.of("finalists"):
            if trial.state == "done":
                scores.setdefault(trial.candidate, []).append(trial.scores["val_accuracy"])
        if not scores:
            return self.best("base")
        winner = max(scores, key=lambda candidate: mean(scores[candidate]))
        return max((t for t in self._final("base") if t.candidate == winner), key=lambda t: t.rank)

    @cached_property
    def scaling_space(self) -> ScalingSpace:
        """The ways to scale the base; asked for when it is chosen."""
        return ScalingSpace(arch_from_dict(self.base.arch), self.study.scale.factor, self.study.scale.tolerance)

    @property
    def shares(self) -> Shares:
        """The shares of the best scaling found."""
        return ScalingSpace.shares(self.best("scale").decisions)

    @property
    def family(self) -> dict[float, Scaled]:
        """The members by φ, each scaled from the base to factor^φ of its counted MACs."""
        base, shares, options, best = self.scaling_space.base, self.shares, self.study.scale, self.best("scale")
        macs, members = cost(base).macs, {}
        found = {0: Scaled(base, macs, macs, shares),
                 1: Scaled(arch_from_dict(best.arch), best.cost["macs"], self.scaling_space.target, shares)}
        for phi in self.study.family.phi:
            target = round(macs * options.factor**phi)
            member = found.get(phi) or scale_to(base, target, shares, options.tolerance)
            members[phi] = replace(member, arch=member.arch.with_(name=f"{self.study.name}-phi{phi:g}"))
        return members

    @property
    def preset_networks(self) -> dict[str, Scaled]:
        """What each named way to scale makes of the base at φ = 1."""
        space = self.scaling_space
        return {name: scale_to(space.base, space.target, shares, space.tolerance) for name, shares in PRESETS.items()}


def _evenly(trials: Sequence[Any], count: int) -> list[Any]:
    """So many of them, evenly through their order, first and last among them."""
    if len(trials) <= count:
        return list(trials)
    return [trials[round(i * (len(trials) - 1) / (count - 1))] for i in range(count)]


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _fault(job: Job, outcome: dict[str, Any], used: dict[str, str], network: str, recipe: str) -> str | None:
    """Why an outcome without a reason of its own is none."""
    scores = outcome.get("scores")
    if used["network"] != network:
        return f"another network was trained than was asked for: {used['network']} instead of {network}"
    if used["recipe"] != recipe:
        return f"another recipe was used than was asked for: {used['recipe']} instead of {recipe}"
    if job.parent and not outcome.get("inherited", 1.0):
        return f"nothing was inherited from {job.parent}: its weights are gone"
    if not isinstance(scores, dict) or (job.until and "val_accuracy" not in scores):
        return "the training gave no score"
    bad = [key for key, value in scores.items() if not key.startswith("proxy.") and not _is_finite(value)]
    return f"{bad[0]} is {scores[bad[0]]}" if bad else None
