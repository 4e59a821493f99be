"""The search loop: a searcher's proposals, and promotions as results justify them, until there are neither.

Which job comes next depends on the results with lower numbers alone: proposal n may be asked for when all
results up to n − `lag` are known, and sees exactly those. So the outcome doesn't depend on how many jobs run
at a time or on which ends first, and resuming after a kill means running again with the logged results at
hand.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from scalesearch.arch import Arch, expand
from scalesearch.counting import block_cost, cost
from scalesearch.errors import InputError, WorkFailed, format_value
from scalesearch.searchers.halving import Entry, Scheduler, modelled_rung, next_promotion
from scalesearch.searchers.problem import Decisions, Past, Problem, objective_values
from scalesearch.searchers.proposal import ask
from scalesearch.searchers.registry import DEFAULT
from scalesearch.trials import WAIT, Job, Jobs, Score, Trial, TrialLog, Wait

MIN_SCORES = 10  # scores at a rung before searchers learn from it and not from the one below
TRIAL_NAME = re.compile(r"[\w+-]+")
MAX_FAILURES = 10  # a search ends after so many failed trials and no success: the evaluator is broken

Results = dict[Entry, tuple[float, ...] | None]  # every objective of a result, to be maximised; None where it failed


@dataclass
class Search:
    """A search of a problem: which networks are tried, in which order, and for how many epochs.

    Attributes:
        problem: What may be tried.
        score: The score that trials are compared by.
        trials: The number of networks to propose.
        with_: The searcher's name.
        step: The step's name in the log.
        seed: The seed of the trainings, and part of the trials' keys.
        seed_key: Seeds the random numbers of a proposal, together with its number.
        lag: How many numbers a proposal is ahead of the results that it sees; 1: it sees all results before it.
        rungs: Epochs at which scores are compared, ascending.
        scheduler: Decides which networks go on to the next rung.
        first: Decisions to propose before the searcher is asked.
        inherit: Whether networks start from the weights of earlier ones.
        label: The prefix of the trials' names; by default the step's name.
        entries: Candidate and rung by number, of all that was started.
        names: The trials' names by candidate and rung.
        candidates: The decisions by candidate.
        parents: The name of the trial whose weights a candidate starts from, by candidate; empty for none.
        seen: Identities of the candidates.
        exhausted: Whether no further network inside the budget was left.
        results: The objectives by candidate and rung, for the first numbers, as far as they were read.
        scores: The decisions and scores of the same numbers.
        complete_count: How many numbers from 0 on have results.
    """

    problem: Problem
    score: Score
    trials: int
    with_: str = DEFAULT
    step: str = "search"
    seed: int = 0
    seed_key: str = ""
    lag: int = 1
    rungs: tuple[int, ...] = (1,)
    scheduler: Scheduler = field(default_factory=Scheduler)
    first: Sequence[Decisions] = ()
    inherit: bool = False
    label: str = ""  # the prefix of the trials' names, if not the step's name
    entries: list[Entry] = field(default_factory=list, init=False)
    names: dict[Entry, str] = field(default_factory=dict, init=False)
    candidates: list[Decisions] = field(default_factory=list, init=False)
    parents: list[str] = field(default_factory=list, init=False)  # by candidate: the trial whose weights it starts from
    seen: set[str] = field(default_factory=set, init=False)
    exhausted: bool = field(default=False, init=False)
    results: Results = field(default_factory=dict, init=False)  # of the first numbers, as far as they were read
    scores: list[tuple[Decisions, float | None]] = field(default_factory=list, init=False)  # their scores, likewise
    complete_count: int = field(default=0, init=False)  # how many numbers from 0 have results

    def jobs(self, log: TrialLog) -> Jobs:
        """Yields the jobs to do next, or `WAIT` while results are missing that the next job depends on.

        Trials that `log` holds already are taken as results and not yielded again.

        Raises:
            InputError: If the log holds a trial that this search can't have asked for.
            WorkFailed: If the first ten trials all fail.
        """
        self.log, results_before = log, len(log.of(self.step, self.seed))
        for number in itertools.count():
            result_count = max(0, number - self.lag + 1)
            yield from self._wait_for(result_count)
            if logged := self._trial(number):
                self._check(logged)
                self._register(logged, logged.fidelity.get("parent", ""))
                continue
            self._check_failures(results_before, result_count)
            job = self._next(number, result_count)
            if job is None and result_count < number:
                yield from self._wait_for(number)
                job = self._next(number, number)
            if job is None:
                break
            self._register(job, job.parent)
            yield job

    def _check(self, logged: Trial) -> None:
        """Raises `InputError`, located in the log, for a trial that this search can't have asked for here."""
        with self.log.locate_errors(logged, "decisions"):
            self.problem.check(logged.decisions)
        with self.log.locate_errors(logged, "candidate"):
            if logged.candidate > len(self.candidates) or (logged.candidate, logged.rung) in self.names:
                raise InputError(f"{logged.candidate} at rung {logged.rung} can't have been asked for here")
        with self.log.locate_errors(logged, "name"):  # the weights' file is named after it
            if not TRIAL_NAME.fullmatch(logged.name):
                raise InputError(f"is no name that a search gives: {format_value(logged.name)}")
        with self.log.locate_errors(logged, "fidelity.parent"):
            parent = logged.fidelity.get("parent", "")
            if parent and parent not in self.names.values():
                raise InputError(f"is no earlier trial of the search: {format_value(parent)}")

    def _trial(self, number: int) -> Trial | None:
        return self.log.trials.get((self.step, self.seed, number))

    def _wait_for(self, count: int) -> Iterator[Wait]:
        while self.complete_count < count:
            if self._trial(self.complete_count):
                self.complete_count += 1
            else:
                yield WAIT

    def _check_failures(self, results_before: int, result_count: int) -> None:
        if result_count >= results_before + MAX_FAILURES and all(
            values is None for values in self._results(result_count).values()
        ):
            of_step = "" if self.step == "search" else f" of the {self.step} search"
            reason = self.log.trials[self.step, self.seed, result_count - 1].reason
            raise WorkFailed(f"all {result_count} trials{of_step} failed: {reason}")

    def _register(self, item: Trial | Job, parent: str) -> None:
        entry, decisions = (item.candidate, item.rung), item.decisions
        self.entries.append(entry)
        self.names[entry] = item.name
        if item.candidate == len(self.candidates):
            self.candidates.append(decisions)
            self.parents.append(parent)
            self.seen.add(self.problem.identity(decisions) or "")
            if decisions in self.first:
                self.first = self.first[self.first.index(decisions) + 1 :]

    def _next(self, number: int, result_count: int) -> Job | None:
        """Returns the next job: a promotion, or a new network, or None if there is neither.

        If no network has reached the last rung by then, the best one goes on.
        """
        results = self._results(result_count)
        entry = self._promotion(results, self.scheduler.eta)
        if entry is None and len(self.candidates) < self.trials and not self.exhausted:
            rng, objectives = Random(f"{self.seed_key}-{number}"), 1 + len(self.problem.objectives)
            proposal = ask(self.problem, self.with_, self._past(results), rng, self.seen, self.first, objectives)
            if proposal is not None:
                candidate = len(self.candidates)
                entry = candidate, self.scheduler.first_rung(candidate, len(self.rungs))
                return self._job(number, entry, proposal.decisions, proposal.identity, proposal.rejected)
            self.exhausted = True
        reached_end = (values is not None for (_, rung), values in results.items() if rung == len(self.rungs) - 1)
        if entry is None and result_count == len(self.entries) and not any(reached_end):
            entry = self._promotion(results, 1)  # at least one network must reach the last rung
        if entry is None:
            return None
        decisions = self.candidates[entry[0]]
        return self._job(number, entry, decisions, self.problem.identity(decisions) or "")

    def _results(self, result_count: int) -> Results:
        """Returns the results of the numbers below `result_count`."""
        for number in range(len(self.results), result_count):
            entry, trial = self.entries[number], self._trial(number)
            decisions, score = self.candidates[entry[0]], self.score.of(trial.scores) if trial else None
            self.results[entry] = None if score is None else objective_values(self.problem, decisions, score)
            self.scores.append((decisions, score))
        if result_count == len(self.results):
            return self.results
        return dict(itertools.islice(self.results.items(), result_count))

    def _promotion(self, results: Results, eta: int) -> Entry | None:
        """Returns the next promotion, comparing networks with inherited weights among themselves alone."""
        if len(self.rungs) == 1:
            return None
        for inherited in (True, False):
            group = {entry: values for entry, values in results.items() if bool(self.parents[entry[0]]) == inherited}
            if entry := next_promotion(self.entries, group, len(self.rungs), eta):
                return entry
        return None

    def _job(self, number: int, entry: Entry, decisions: Decisions, network: str, rejected: int = 0) -> Job:
        candidate, rung = entry
        arch = self.problem.arch(decisions)
        costs = zip(self.problem.objectives, self.problem.costs(decisions), strict=True)
        lower_rungs = [self.rungs[r] for c, r in self.entries if c == candidate and r < rung] if rung else []
        stage = f"-e{self.rungs[rung]}" if len(self.rungs) > 1 else ""
        parent = ""
        if self.inherit and arch is not None:
            parent = self.parents[candidate] if lower_rungs else self._parent(arch, number)
        return Job(
            self.step,
            number,
            f"{self.label or self.step}-{candidate:03d}{stage}",
            network,
            decisions,
            self.seed,
            arch,
            cost(arch)._asdict() if arch else dict(costs),
            until=self.rungs[rung],
            start=max(lower_rungs, default=0),
            of=self.rungs[-1],
            candidate=candidate,
            rung=rung,
            rejected=rejected,
            parent=parent,
        )

    def _parent(self, arch: Arch, number: int) -> str:
        """Returns the name of the finished trial that shares the most parameters, comparing blocks at the same path."""
        blocks = dict(expand(arch).blocks())

        def shared_params(trial: Trial) -> int:
            earlier = dict(expand(self.log.arch(trial)).blocks())
            return sum(
                block_cost(b).params
                for path, b in blocks.items()
                if path in earlier and earlier[path].digest == b.digest
            )

        visible = [self._trial(i) for i in range(max(0, number - self.lag + 1))]
        done = [t for t in visible if t and t.done and not t.early]
        best = max(done, key=lambda t: (shared_params(t), t.number), default=None)
        return best.name if best is not None and shared_params(best) else ""

    def _past(self, results: Results) -> Past:
        """Returns the results of one fidelity, and what is under way."""
        pending = [c for c, _ in self.entries[len(results) :]]
        if len(self.rungs) == 1 and not self.inherit:
            return Past(self.scores[: len(results)], [self.candidates[c] for c in pending])
        rung = modelled_rung(results, len(self.rungs), MIN_SCORES)
        at_rung = {c: None if values is None else values[0] for (c, r), values in results.items() if r == rung}
        inherited = 2 * sum(bool(self.parents[c]) for c in at_rung) >= len(at_rung)
        comparable_results = [
            (self.candidates[c], score) for c, score in at_rung.items() if bool(self.parents[c]) == inherited
        ]
        return Past(comparable_results, [self.candidates[c] for c in sorted({*pending} - at_rung.keys())])
