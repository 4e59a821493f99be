"""Optuna's samplers as searchers.

Ray's `OptunaSearch` passes Optuna neither constraints nor the fact that a trial was stopped early. Here a new
study is made from the past for every proposal, so that a sampler is a function of the past like any other
searcher.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias

from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.searchers.problem import Decisions, Past, Problem, objective_values
from scalesearch.space import Choice, Domain, IntRange

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, Trial

MAX_MISSES = 50  # proposals in a row that may be rejected before random draws take over
STARTUP_TRIALS = 8  # results before a model is fitted; they are drawn at random
POPULATION, GENERATION = 16, 8  # results in a generation of NSGA-II and of CMA-ES
INFEASIBLE = "infeasible"
MakeSampler: TypeAlias = "Callable[..., BaseSampler]"  # takes the keyword `seed`


def quiet_optuna() -> Any:
    """Returns the optuna module, its logging turned down to errors, its warnings of experimental interfaces off."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def distribution(domain: Domain, ordered: bool = False) -> BaseDistribution:
    """Returns Optuna's distribution for a domain; with `ordered`, a choice is an integer: its option's index."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(domain, Choice):
        return IntDistribution(0, len(domain.options) - 1) if ordered else CategoricalDistribution(domain.options)
    if isinstance(domain, IntRange):
        return IntDistribution(domain.values[0], domain.values[-1], step=domain.step, log=domain.log)
    return FloatDistribution(domain.low, domain.high, step=domain.step, log=domain.log)


def _suggest(trial: Trial, name: str, domain: Domain, ordered: bool) -> Any:
    if isinstance(domain, Choice):
        if ordered:
            return domain.options[trial.suggest_int(name, 0, len(domain.options) - 1)]
        return trial.suggest_categorical(name, domain.options)
    if isinstance(domain, IntRange):
        return trial.suggest_int(name, domain.values[0], domain.values[-1], step=domain.step, log=domain.log)
    return trial.suggest_float(name, domain.low, domain.high, step=domain.step, log=domain.log)


def _distribution(problem: Problem, name: str, ordered: bool) -> BaseDistribution:
    """Returns Optuna's distribution of a decision, cached in the problem's memory."""
    distributions: dict[str, BaseDistribution] = problem.memory.setdefault(f"distributions, ordered: {ordered}", {})
    if name not in distributions:
        distributions[name] = distribution(problem.decisions[name].domain, ordered)
    return distributions[name]


def frozen_trial(
    problem: Problem,
    decisions: PlainMapping,
    objectives: Sequence[float] | None,
    state: str,
    ordered: bool = False,
    system_attrs: PlainDict | None = None,
    user_attrs: PlainDict | None = None,
) -> FrozenTrial:
    """Returns a finished or running trial in Optuna's form.

    Args:
        problem: The problem that the decisions belong to.
        decisions: The values of the decisions that exist.
        objectives: All objectives, each to be maximised; None for a trial without them.
        state: The name of an `optuna.trial.TrialState`.
        ordered: Whether a choice is given as the index of its option.
        system_attrs: What a sampler notes on its trials.
        user_attrs: What the dashboard shows beside the decisions.
    """
    optuna = quiet_optuna()
    domains = {name: problem.decisions[name].domain for name in decisions}
    params = {
        name: domains[name].options.index(value) if ordered and isinstance(domains[name], Choice) else value
        for name, value in decisions.items()
    }
    trial: FrozenTrial = optuna.trial.create_trial(
        params=params,
        distributions={name: _distribution(problem, name, ordered) for name in decisions},
        state=optuna.trial.TrialState[state],
        values=list(objectives) if objectives is not None else None,
        system_attrs=system_attrs,
        user_attrs=user_attrs,
        constraints={INFEASIBLE: 0.0} if state == "COMPLETE" and not ordered else None,
    )
    return trial


def directions(problem: Problem) -> list[str]:
    """Returns Optuna's direction of every objective: costs are negated, so all of them are maximised."""
    return ["maximize"] * (1 + len(problem.objectives))


def tpe(problem: Problem, past: Past, rng: Random) -> Iterator[Decisions]:
    """Proposes by the tree-structured Parzen estimator (Bergstra et al. 2011; multi-objective Ozaki et al. 2022)."""
    from optuna.samplers import TPESampler

    return _proposals(problem, past, rng, partial(TPESampler, n_startup_trials=STARTUP_TRIALS, constant_liar=True))


def gp(problem: Problem, past: Past, rng: Random) -> Iterator[Decisions]:
    """Proposes by Optuna's Gaussian process with expected (hypervolume) improvement."""
    from optuna.samplers import GPSampler

    sampler = partial(GPSampler, n_startup_trials=STARTUP_TRIALS, deterministic_objective=False)

    return _proposals(problem, past, rng, sampler, misses=3)  # each costs a fit


def nsga2(problem: Problem, past: Past, rng: Random) -> Iterator[Decisions]:
    """Proposes by NSGA-II (Deb et al. 2002); every `POPULATION` results are a generation."""
    from optuna.samplers import NSGAIISampler

    sampler = partial(NSGAIISampler, population_size=POPULATION)

    return _proposals(problem, past, rng, sampler, generation_key="NSGAIISampler:generation")


def cmaes(problem: Problem, past: Past, rng: Random) -> Iterator[Decisions]:
    """Proposes by CMA-ES (Hansen & Ostermeier 2001), for one objective.

    Options are numbered in their order, and every `GENERATION` results are a generation.
    """
    from optuna.samplers import CmaEsSampler

    sampler = partial(CmaEsSampler, n_startup_trials=0, popsize=GENERATION, warn_independent_sampling=False)

    return _proposals(problem, past, rng, sampler, ordered=True, annotate=_with_cmaes_state)


def _with_cmaes_state(study: Study, trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Returns the complete trials with the attributes that Optuna's CMA-ES would have set on them.

    These are the generation and, at its end, the sampler's state. The sampler sets them on the first trial that
    it is asked for afterwards, so it is asked once for every generation.
    """
    annotated: list[FrozenTrial] = []
    attributes: PlainDict = {}
    complete = [t for t in trials if t.state.name == "COMPLETE"]
    for start in range(0, len(complete), GENERATION):
        generation = complete[start : start + GENERATION]
        if not annotated:
            attributes = _sampler_attributes(study, generation)
        for trial in generation:
            trial.system_attrs.update(attributes)
        annotated += generation
        if len(generation) == GENERATION:
            attributes = _sampler_attributes(study, annotated)
    return annotated


def _sampler_attributes(study: Study, trials: list[FrozenTrial]) -> PlainDict:
    """Returns the attributes that the sampler sets on a new trial once `trials` are known."""
    scratch = quiet_optuna().create_study(sampler=study.sampler, direction="maximize")
    for trial in trials:
        scratch.add_trial(trial)
    scratch.ask(fixed_distributions=trials[0].distributions)
    return dict(scratch.trials[-1].system_attrs)


def _proposals(
    problem: Problem,
    past: Past,
    rng: Random,
    sampler: MakeSampler,
    *,
    ordered: bool = False,
    generation_key: str = "",
    misses: int = MAX_MISSES,
    annotate: Callable[[Study, list[FrozenTrial]], list[FrozenTrial]] = lambda study, trials: trials,
) -> Iterator[Decisions]:
    """Yields a sampler's proposals; one that is not taken (over budget, or known) is reported as infeasible.

    Random draws come before there are `STARTUP_TRIALS` results, and after `misses` proposals in a row that were
    not taken.
    """
    if past.trial_count >= STARTUP_TRIALS:
        trials = _past_trials(problem, past, ordered, generation_key)
        study = quiet_optuna().create_study(sampler=sampler(seed=rng.randrange(2**32)), directions=directions(problem))
        for trial in annotate(study, trials):
            study.add_trial(trial)
        for decisions in past.pending:
            study.add_trial(frozen_trial(problem, decisions, None, "RUNNING", ordered))
        complete = [t.values for t in trials if t.state.name == "COMPLETE"]
        worst = [min(0.0, *column) for column in zip(*complete)]
        for _ in range(misses if complete else 0):
            new_trial, proposal = _ask(study, problem, ordered)
            yield proposal
            if not ordered:  # CMA-ES has no constraints; it gets a bad score
                new_trial.set_constraint(INFEASIBLE, 1.0)
            study.tell(new_trial, worst)
    while True:
        yield problem.draw(rng)


def _past_trials(problem: Problem, past: Past, ordered: bool, generation_key: str) -> list[FrozenTrial]:
    trials, scored_count = [], 0
    for decisions, score in past.results:
        objectives = None if score is None else objective_values(problem, decisions, score)
        system_attrs = {generation_key: scored_count // POPULATION} if generation_key and objectives else None
        state = "FAIL" if objectives is None else "COMPLETE"
        trials.append(frozen_trial(problem, decisions, objectives, state, ordered, system_attrs))
        scored_count += objectives is not None
    return trials


def _ask(study: Study, problem: Problem, ordered: bool) -> tuple[Trial, Decisions]:
    trial = study.ask()
    decisions: Decisions = {}
    for name, decision in problem.decisions.items():
        if decision.exists(decisions):
            decisions[name] = _suggest(trial, name, decision.domain, ordered)
    return trial, decisions
