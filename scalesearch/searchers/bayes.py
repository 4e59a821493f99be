"""Optuna: its samplers as searchers, and the SQLite copy of a search that its dashboard opens. The only importer of
optuna.

Ray's `OptunaSearch` tells Optuna neither constraints nor that a trial was stopped early; here every proposal is asked
for and every result told by ourselves, on a study made anew from the past.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from random import Random
from typing import Any

from scalesearch.searchers.problem import Decisions, Past, Problem, values
from scalesearch.space import Choice, Domain, IntRange

MOST_MISSES = 50  # proposals Optuna may have rejected before plain draws take over
START = 8  # results before a model is made; drawn at random
POPULATION, GENERATION = 16, 8  # results in a generation of NSGA-II and of CMA-ES
INFEASIBLE = "infeasible"
STATE = {True: "COMPLETE", False: "FAIL"}  # of whether there is a score


def _optuna() -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def distribution(domain: Domain, ordered: bool = False) -> Any:
    """Optuna's distribution of a domain; with `ordered`, a choice is the number of its option."""
    optuna = _optuna()
    if isinstance(domain, Choice):
        if ordered:
            return optuna.distributions.IntDistribution(0, len(domain.options) - 1)
        return optuna.distributions.CategoricalDistribution(domain.options)
    if isinstance(domain, IntRange):
        return optuna.distributions.IntDistribution(
            domain.values[0], domain.values[-1], step=domain.step, log=domain.log
        )
    return optuna.distributions.FloatDistribution(domain.low, domain.high, step=domain.step, log=domain.log)


def _suggest(trial: Any, name: str, domain: Domain, ordered: bool) -> Any:
    if isinstance(domain, Choice):
        if ordered:
            return domain.options[trial.suggest_int(name, 0, len(domain.options) - 1)]
        return trial.suggest_categorical(name, domain.options)
    if isinstance(domain, IntRange):
        return trial.suggest_int(name, domain.values[0], domain.values[-1], step=domain.step, log=domain.log)
    return trial.suggest_float(name, domain.low, domain.high, step=domain.step, log=domain.log)


def _distribution(problem: Any, name: str, ordered: bool) -> Any:
    """Made once for a problem."""
    made = problem.memory.setdefault(("distributions", ordered), {})
    if name not in made:
        made[name] = distribution(problem.decisions[name].domain, ordered)
    return made[name]


def _frozen(
    problem: Any,
    decisions: Mapping[str, Any],
    told: Sequence[float] | None,
    state: str,
    ordered: bool = False,
    attributes: dict[str, Any] | None = None,
) -> Any:
    optuna = _optuna()
    domains = {name: problem.decisions[name].domain for name in decisions}
    params = {
        name: domains[name].options.index(value) if ordered and isinstance(domains[name], Choice) else value
        for name, value in decisions.items()
    }
    return optuna.trial.create_trial(
        params=params,
        distributions={name: _distribution(problem, name, ordered) for name in decisions},
        state=optuna.trial.TrialState[state],
        values=list(told) if told is not None else None,
        system_attrs=attributes,
        constraints={INFEASIBLE: 0.0} if state == "COMPLETE" and not ordered else None,
    )


def _directions(problem: Any, decisions: Decisions) -> list[str]:
    return ["maximize"] * len(values(problem, decisions, 0.0))


def tpe(problem: Problem, past: Past, rng: Random) -> Iterator[Decisions]:
    """Tree-structured Parzen estimator (Bergstra et al. 2011; with several objectives Ozaki et al. 2022)."""

    def make(optuna, seed, _):
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=START, constant_liar=True)

    return _proposals(problem, past, rng, make)


def gp(problem: Problem, past: Past, rng: Random) -> Iterator[Decisions]:
    """Optuna's Gaussian process with expected (hypervolume) improvement."""

    def make(optuna, seed, _):
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=START, deterministic_objective=False)

    return _proposals(problem, past, rng, make, misses=3)  # each costs a fit


def nsga2(problem: Problem, past: Past, rng: Random) -> Iterator[Decisions]:
    """NSGA-II (Deb et al. 2002); every `POPULATION` results are a generation."""

    def make(optuna, seed, trials):
        return optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)

    return _proposals(problem, past, rng, make, generations="NSGAIISampler:generation")


def cmaes(problem: Problem, past: Past, rng: Random) -> Iterator[Decisions]:
    """CMA-ES (Hansen & Ostermeier 2001); options are numbered in their order, `GENERATION` results a generation."""

    def make(optuna, seed, trials):
        return optuna.samplers.CmaEsSampler(
            seed=seed, n_startup_trials=0, popsize=GENERATION, warn_independent_sampling=False
        )

    return _proposals(problem, past, rng, make, ordered=True, evolved=_evolved)


def _evolved(study: Any, trials: list[Any]) -> list[Any]:
    """Results with what Optuna's CMA-ES notes on its own trials: the generation, and its state at the generation's end.

    The sampler puts these on the first trial that it is asked for afterwards, so it is asked once for every generation.
    """
    optuna = _optuna()
    found: list[Any] = []
    notes: dict[str, Any] = {}
    complete = [t for t in trials if t.state == optuna.trial.TrialState.COMPLETE]
    for start in range(0, len(complete), GENERATION):
        generation = complete[start : start + GENERATION]
        if not found:
            notes = _notes(study, generation)
        for trial in generation:
            trial.system_attrs.update(notes)
        found += generation
        if len(generation) == GENERATION:
            notes = _notes(study, found)
    return found


def _notes(study: Any, trials: list[Any]) -> dict[str, Any]:
    """What the sampler notes on a trial that it is asked for when `trials` are known."""
    optuna = _optuna()
    asked = optuna.create_study(sampler=study.sampler, direction="maximize")
    for trial in trials:
        asked.add_trial(trial)
    asked.ask(fixed_distributions=trials[0].distributions)
    return dict(asked.trials[-1].system_attrs)


def _proposals(
    problem: Any,
    past: Past,
    rng: Random,
    make: Callable,
    *,
    ordered: bool = False,
    generations: str = "",
    misses: int = MOST_MISSES,
    evolved: Callable | None = None,
) -> Iterator[Decisions]:
    """What a sampler proposes; a proposal that is not taken (over budget, known) is told to it as infeasible."""
    if past.asked < START:
        while True:
            yield problem.draw(rng)
    optuna = _optuna()
    done, trials = 0, []
    for decisions, score in past.results:
        state = "FAIL" if score is None else "COMPLETE"
        told = None if score is None else values(problem, decisions, score)
        attributes = {generations: done // POPULATION} if generations and told else None
        trials.append(_frozen(problem, decisions, told, state, ordered, attributes))
        done += told is not None
    complete = [t for t in trials if t.state == optuna.trial.TrialState.COMPLETE]
    study = optuna.create_study(
        sampler=make(optuna, rng.randrange(2**32), complete),
        directions=_directions(problem, (past.results or [(problem.draw(rng), 0)])[0][0]),
    )
    for trial in evolved(study, trials) if evolved else trials:
        study.add_trial(trial)
    for decisions in past.pending:
        study.add_trial(_frozen(problem, decisions, None, "RUNNING", ordered))
    for _ in range(misses if complete else 0):
        trial = study.ask()
        decisions = {}
        for name, decision in problem.decisions.items():
            if decision.exists(decisions):
                decisions[name] = _suggest(trial, name, decision.domain, ordered)
        yield decisions
        if not ordered:  # CMA-ES knows no constraints; it is told a bad score
            trial.set_constraint(INFEASIBLE, 1.0)
        study.tell(trial, [min(0.0, *(t.values[i] for t in complete)) for i in range(len(study.directions))])
    while True:
        yield problem.draw(rng)


JOURNAL = "journal:"
AT_ONCE = 500  # trials that are made into rows


def write_storage(
    storage: str, name: str, problem: Any, results: Sequence[tuple[dict[str, Any], float | None]], fresh: bool = False
) -> None:
    """The finished trials of a search as the Optuna study `name` in a database (`sqlite:///FILE`, `postgresql://…`) or
    an Optuna journal (`journal:FILE`); those that it has already stay as they are. `fresh` is a SQLite file
    that nobody else knows, and the study new."""
    optuna = _optuna()
    directions = _directions(problem, results[0][0])
    kept: Any = storage
    if storage.startswith(JOURNAL):
        journal = optuna.storages.journal
        kept = optuna.storages.JournalStorage(journal.JournalFileBackend(storage.removeprefix(JOURNAL)))
    study = optuna.create_study(storage=kept, study_name=name, directions=directions, load_if_exists=True)
    told = ((d, None if score is None else values(problem, d, score)) for d, score in results[len(study.trials) :])
    if fresh:
        _add_all(study, problem, told)
    else:
        study.add_trials(_frozen(problem, d, points, STATE[points is not None]) for d, points in told)


def _add_all(study: Any, problem: Any, told: Iterable[tuple[Decisions, Sequence[float] | None]]) -> None:
    """As `add_trials` into a database that nobody else writes to, rows at once: that looks up every parameter of every
    trial by itself, which takes a hundred times as long."""
    from optuna.storages._rdb import models

    backend, told = study._storage._backend, iter(told)
    with backend.scoped_session() as session:
        first = 1 + session.query(models.TrialModel).count()
        for start in itertools.count(0, AT_ONCE):
            if not (some := list(islice(told, AT_ONCE))):
                break
            for table, rows in _rows(study._study_id, problem, some, start, first + start).items():
                session.execute(table.__table__.insert(), rows)
        session.commit()
    backend.remove_session()


def _rows(
    study: int, problem: Any, told: Sequence[tuple[Decisions, Sequence[float] | None]], number: int, trial: int
) -> dict[Any, list[dict[str, Any]]]:
    """Trials by the tables of Optuna's database; the first has this number and this id."""
    from optuna.distributions import distribution_to_json
    from optuna.storages._rdb import models

    rows: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    alike = {
        state: _frozen(problem, {}, points, state)
        for state, points in {STATE[points is not None]: points for _, points in told}.items()
    }
    as_json: dict[str, str] = {}
    for i, (decisions, points) in enumerate(told):
        of, template = {"trial_id": trial + i}, alike[STATE[points is not None]]
        rows[models.TrialModel].append(
            {
                **of,
                "number": number + i,
                "study_id": study,
                "state": template.state,
                "datetime_start": template.datetime_start,
                "datetime_complete": template.datetime_complete,
            }
        )
        for name, value in decisions.items():
            domain = _distribution(problem, name, False)
            if name not in as_json:
                as_json[name] = distribution_to_json(domain)
            rows[models.TrialParamModel].append(
                {
                    **of,
                    "param_name": name,
                    "distribution_json": as_json[name],
                    "param_value": domain.to_internal_repr(value),
                }
            )
        for objective, point in enumerate(points or ()):
            stored, kind = models.TrialValueModel.value_to_stored_repr(point)
            rows[models.TrialValueModel].append({**of, "objective": objective, "value": stored, "value_type": kind})
        rows[models.TrialSystemAttributeModel] += [
            {**of, "key": key, "value_json": json.dumps(value)} for key, value in template.system_attrs.items()
        ]
    return {table: some for table, some in rows.items() if some}
