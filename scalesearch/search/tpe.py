"""Optuna: its TPE sampler as a searcher, and the SQLite copy of a search that its dashboard opens. The only importer of
optuna."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from scalesearch.domains import Choice, Domain, IntRange

MOST_MISSES = 50  # proposals Optuna may have rejected before plain draws take over
INFEASIBLE = "infeasible"


def _optuna() -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def distribution(domain: Domain) -> Any:
    """Optuna's distribution of a domain."""
    optuna = _optuna()
    if isinstance(domain, Choice):
        return optuna.distributions.CategoricalDistribution(domain.options)
    if isinstance(domain, IntRange):
        return optuna.distributions.IntDistribution(domain.values[0], domain.values[-1], step=domain.step, log=domain.log)
    return optuna.distributions.FloatDistribution(domain.low, domain.high, step=domain.step, log=domain.log)


def _suggest(trial: Any, name: str, domain: Domain) -> Any:
    if isinstance(domain, Choice):
        return trial.suggest_categorical(name, domain.options)
    if isinstance(domain, IntRange):
        return trial.suggest_int(name, domain.values[0], domain.values[-1], step=domain.step, log=domain.log)
    return trial.suggest_float(name, domain.low, domain.high, step=domain.step, log=domain.log)


def _frozen(problem: Any, decisions: Mapping[str, Any], score: float | None, state: str) -> Any:
    optuna = _optuna()
    distributions = {name: distribution(problem.decisions[name].domain) for name in decisions}
    return optuna.trial.create_trial(
        params=dict(decisions), distributions=distributions, state=optuna.trial.TrialState[state],
        value=score if state == "COMPLETE" else None)


def tpe(problem: Any, past: Any, rng: Random) -> Iterator[dict[str, Any]]:
    """Tree-structured Parzen estimator (Bergstra et al. 2011).

    A proposal that is not taken (over budget, known) is told to Optuna as infeasible before the next is asked for.
    """
    optuna = _optuna()
    sampler = optuna.samplers.TPESampler(seed=rng.randrange(2**32), n_startup_trials=5, constant_liar=True)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    for decisions, score in past.results:
        study.add_trial(_frozen(problem, decisions, score, "FAIL" if score is None else "COMPLETE"))
    for decisions in past.pending:
        study.add_trial(_frozen(problem, decisions, None, "RUNNING"))
    for _ in range(MOST_MISSES):
        trial = study.ask()
        decisions: dict[str, Any] = {}
        for name, decision in problem.decisions.items():
            if decision.exists(decisions):
                decisions[name] = _suggest(trial, name, decision.domain)
        yield decisions
        trial.set_constraint(INFEASIBLE, 1.0)
        study.tell(trial, 0.0)
    while True:
        yield problem.draw(rng)


def write_storage(path: Path, name: str, problem: Any, results: Sequence[tuple[dict[str, Any], float | None]]) -> None:
    """The finished trials of a search as the Optuna study `name` in the SQLite file at `path`."""
    optuna = _optuna()
    study = optuna.create_study(storage=f"sqlite:///{path}", study_name=name, direction="maximize", load_if_exists=True)
    for decisions, score in results[len(study.trials) :]:
        study.add_trial(_frozen(problem, decisions, score, "FAIL" if score is None else "COMPLETE"))
