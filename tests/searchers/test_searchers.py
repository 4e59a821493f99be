"""One contract for every searcher."""

from __future__ import annotations

import itertools
import json
from random import Random

import numpy as np
import pytest
from conftest import MBCONV
from driving import drive, write_study
from helpers import TINY_SPACE
from hypothesis import given, settings, strategies as st
from threadpoolctl import threadpool_limits

from scalesearch.arch.expansion import expand
from scalesearch.budget.bounds import Budget
from scalesearch.counting.counts import cost
from scalesearch.scaling.closed_loop import realised_multipliers
from scalesearch.scaling.scaling_space import ScalingSpace
from scalesearch.searchers.problem import Past
from scalesearch.searchers.proposal import ask
from scalesearch.searchers.registry import SEARCHERS, searcher
from scalesearch.searchers.scale_problem import DEFAULT_PRESETS, ScaleProblem
from scalesearch.searchers.space_problem import SpaceProblem
from scalesearch.searchers.surrogate import PoolPredictions, Surrogate, gaussian_scores
from scalesearch.searchers.table_problem import TableProblem
from scalesearch.searchers.tables import read_table
from scalesearch.searchers.view import View
from scalesearch.space.schema import load_space, space_from_dict
from scalesearch.study.reading import load_study


@pytest.fixture(scope="module")
def problems():
    space = space_from_dict(TINY_SPACE).adapted(resolution=16, classes=10, channels=1)
    base = space.sample(0)[1]
    return {
        "base": SpaceProblem(space, Budget.at_most(macs=10**9)),
        "scale": ScaleProblem(ScalingSpace(base, tolerance=0.3)),
    }


NOTHING = Past()


@pytest.mark.parametrize("name", SEARCHERS)
@pytest.mark.parametrize("kind", ["base", "scale"])
class TestEverySearcher:
    def proposals(self, problems, name, kind, past=NOTHING, seed=0, n=12):
        problem = problems[kind]
        with threadpool_limits(1):  # as `ask` has it
            return problem, list(itertools.islice(searcher(name)(problem, past, Random(seed)), n))

    def past(self, problems, kind, failed=()):
        problem, rng = problems[kind], Random(5)
        results = []
        for i in range(14):
            decisions = problem.draw(rng)
            results.append((decisions, None if i in failed else i / 14))
        return Past(results[:12], [d for d, _ in results[12:]])

    def test_proposes_in_the_space(self, problems, name, kind):
        problem, proposed = self.proposals(problems, name, kind)
        if kind == "base":
            assert all(problem.space.contains(problem.space.at(d)) for d in proposed)
        else:
            assert all(0 <= share <= 1 for d in proposed for share in d.values())

    def test_same_seed_and_past_same_proposals(self, problems, name, kind):
        past = self.past(problems, kind)
        assert self.proposals(problems, name, kind, past) == self.proposals(problems, name, kind, past)
        assert self.proposals(problems, name, kind)[1] != self.proposals(problems, name, kind, seed=1)[1]

    def test_goes_on_proposing_new_things(self, problems, name, kind):
        proposed = self.proposals(problems, name, kind, self.past(problems, kind), n=40)[1]
        assert len({json.dumps(d, sort_keys=True) for d in proposed}) > 8

    def test_survives_failed_trials(self, problems, name, kind):
        for failed in ((0, 3), range(14)):
            proposed = self.proposals(problems, name, kind, self.past(problems, kind, failed=failed))[1]
            assert len({json.dumps(d, sort_keys=True) for d in proposed}) > 1

    def test_takes_the_searcher_through_a_study(self, problems, name, kind, tmp_path):
        section = "search" if kind == "base" else "scale"
        study = load_study(write_study(tmp_path), {f"{section}.with": name})
        log = drive(study, tmp_path / "trials.jsonl", Random(0))
        trials = log.of(kind)
        assert len({t.network for t in trials}) == len(trials) == (12 if kind == "base" else 7)
        if kind == "base":
            assert all(t.cost["macs"] <= 700_000 for t in trials)


@pytest.mark.parametrize("name", SEARCHERS)
def test_what_is_asked_for_is_what_a_log_may_hold(name):
    """At the ends of ranges too, which searchers' arithmetic oversteps by the last digit."""
    stem = {"conv": {"width": {"range": [8, 64], "log": True}, "stride": 2}}
    head = {"classifier": {"dropout": {"range": [0.001, 0.1], "log": True}}}
    stages = [{"mbconv": {"width": {"choice": [8, 16]}, "se_ratio": {"range": [0.1, 0.5], "step": 0.1}}}]
    space = {"name": "ranges", "resolution": 16, "classes": 10, "stem": stem, "stages": stages, "head": head}
    problem = SpaceProblem(space_from_dict(space), Budget())
    results: list = []
    for number in range(24):
        asked = ask(problem, name, Past(results), Random(number), set())
        problem.check(asked.decisions)
        results.append((asked.decisions, -asked.decisions["head.classifier.dropout"]))  # best at the range's end
    low = problem.snap(asked.decisions | {"head.classifier.dropout": 0.001 * (1 - 1e-15)})
    problem.check(low)
    assert low["head.classifier.dropout"] == 0.001


@pytest.mark.parametrize(
    "seed, factor, tolerance", [pytest.param(0, 2.0, 0.02, marks=pytest.mark.slow), (1, 2.0, 0.05), (2, 1.5, 0.02)]
)
def test_every_way_to_scale_is_one_network(seed, factor, tolerance):
    """Widths alone may land on the target in several ways, which have the same shares: they are no less distinct."""
    base = load_space(MBCONV).adapted(resolution=32, classes=10, channels=3).sample(seed)[1]
    problem = ScaleProblem(ScalingSpace(base, factor, tolerance), DEFAULT_PRESETS)
    target = factor * cost(base).macs
    for name, point in problem.networks.items():
        arch = problem.arch(point)
        assert expand(arch).digest == name == problem.identity(point)
        assert problem.snap(point) == point
        assert name in problem.preset_networks or abs(cost(arch).macs / target - 1) <= tolerance
        assert max(realised_multipliers(arch, base)) > 1
        assert all(0 <= exponent <= 1 for exponent in point.values())
    assert len({ScalingSpace.shares(d) for d in problem.networks.values()}) < len(problem.networks)
    space = ScalingSpace(base, factor, tolerance)
    assert all(expand(space.at(d).arch).digest == name for name, d in problem.networks.items())  # whoever asks first


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    """400 rows of 3¹² ways to decide: hardly a row has a neighbour that is one."""
    path = tmp_path_factory.mktemp("sparse") / "t.npz"
    rows = np.unique(np.random.default_rng(0).integers(0, 3, (400, 12)), axis=0)
    score = rows[:, :6].sum(1) - 0.7 * np.abs(rows[:, 6:] - 1).sum(1) + 0.1 * rows[:, 0] * rows[:, 1]
    np.savez(path, ops=rows, acc=score)
    return path


def test_of_a_sparse_table_neighbours_are_the_nearest_rows(sparse):
    found = TableProblem(read_table(sparse), ["ops"], "acc")
    assert found.sparse
    here = found.at_row(found.rows[7])

    def apart(one):
        return sum(a != b for a, b in zip(one.values(), here.values()))

    near = list(found.neighbours(here))
    others = sorted(apart(d) for d in found.all_decisions if d != here)
    assert [apart(d) for d in near] == others[: len(near)]
    assert len(near) == 24
    rng = Random(0)
    assert all(found.admits(found.mutate(here, rng)) for _ in range(50))


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 3))
@settings(max_examples=15)
def test_predictions_of_a_pool_are_the_same_however_the_results_came(sparse, steps, pending):
    """To the last bit, so that a search that goes on proposes what it would have proposed; and they are right."""
    found = TableProblem(read_table(sparse), ["ops"], "acc")
    view, decisions = View.of(found), list(found.all_decisions)
    known = view.encode_list(decisions[: 10 + sum(steps) + pending])
    y = gaussian_scores(np.array([found.measured_score(d) for d in decisions[: len(known)]]))
    surrogate = Surrogate(len(view.names), view.groups)
    surrogate.fit(known[slice(0, 10)], y[:10])
    by_steps, at_once = (PoolPredictions(surrogate, view.encoded_pool) for _ in range(2))
    for upto in np.cumsum([10, *steps]):
        mean, deviation = by_steps(decisions[:upto], known[slice(0, upto + pending)], y[: upto + pending])
    again, deviation_again = at_once(decisions[:upto], known, y)
    at_once(decisions[5:9], known[slice(5, 9)], y[5:9])  # others, and fewer
    anew, _ = at_once(decisions[:upto], known, y)
    assert (anew == again).all()
    assert (mean == again).all()
    assert (deviation == deviation_again).all()
    surrogate.condition(known, y)
    plain, plain_deviation = surrogate.predict(view.encoded_pool)
    assert np.allclose(mean, plain, atol=1e-6)
    assert np.allclose(deviation, plain_deviation, atol=1e-5)


def test_a_problem_that_was_searched_before_is_searched_alike(sparse):
    """What is kept between proposals is of these results alone."""
    once = TableProblem(read_table(sparse), ["ops"], "acc")
    for trials in (11, 12, 13, 14, 16):
        runs = []
        for problem in (once, once, TableProblem(read_table(sparse), ["ops"], "acc")):
            results, seen = [], set()
            for number in range(trials):
                proposal = ask(problem, "predictor", Past(list(results)), Random(number), seen)
                seen.add(proposal.identity)
                results.append((proposal.decisions, problem.measured_score(proposal.decisions)))
            runs.append([d for d, _ in results])
        assert runs[0] == runs[1] == runs[2], trials


@pytest.mark.parametrize("with_", ["predictor", "evolution", "local"])
def test_a_sparse_table_is_searched_without_thousands_of_refusals(sparse, with_):
    """And by what learns from its results better than by drawing."""
    best: dict[str, list[float]] = {with_: [], "random": []}
    for name, scores in best.items():
        for seed in range(4):
            found = TableProblem(read_table(sparse), ["ops"], "acc")
            results, seen, refused = [], set(), 0
            for number in range(40):
                proposal = ask(found, name, Past(list(results)), Random(f"{seed}-{number}"), seen)
                refused += proposal.rejected
                seen.add(proposal.identity)
                results.append((proposal.decisions, found.measured_score(proposal.decisions)))
            scores.append(max(score for _, score in results))
            assert refused < 2_000, name
    assert with_ != "predictor" or sum(best[with_]) > sum(best["random"])
