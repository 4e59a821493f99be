"""One contract for every searcher, and the driver's promise: the outcome depends on no timing and survives any kill."""

from __future__ import annotations

import itertools
import json
from random import Random

import pytest
from conftest import MBCONV, ROOT
from driving import drive, essence, write_study
from helpers import TINY_SPACE
from hypothesis import given, settings, strategies as st
from threadpoolctl import threadpool_limits

from scalesearch.arch.expansion import expand
from scalesearch.budget.bounds import Budget
from scalesearch.counting.counts import cost
from scalesearch.errors import WorkFailed
from scalesearch.scaling.closed_loop import PRESETS, realised
from scalesearch.scaling.ways import ScalingSpace
from scalesearch.searchers.log import TrialLog
from scalesearch.searchers.problem import Past
from scalesearch.searchers.scale_problem import TRIED_ALWAYS, ScaleProblem
from scalesearch.searchers.space_problem import SpaceProblem
from scalesearch.searchers.table import SEARCHERS, searcher
from scalesearch.space.schema import arch_from_dict, load_space, space_from_dict
from scalesearch.statistics.pareto import front
from scalesearch.study.driver import Driver
from scalesearch.study.reading import load_study
from scalesearch.study.steps import compare, family, scale

# The contract.

@pytest.fixture(scope="module")
def problems():
    space = space_from_dict(TINY_SPACE).adapted(resolution=16, classes=10, channels=1)
    base = space.sample(0)[1]
    return {"base": SpaceProblem(space, Budget.at_most(macs=10**9)),
            "scale": ScaleProblem(ScalingSpace(base, tolerance=0.3))}


NOTHING = Past()


@pytest.mark.parametrize("name", SEARCHERS)
@pytest.mark.parametrize("kind", ["base", "scale"])
class TestEverySearcher:
    def proposals(self, problems, name, kind, past=NOTHING, seed=0, n=12):
        problem = problems[kind]
        with threadpool_limits(1):  # as `asking` has it
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
        self.proposals(problems, name, kind, self.past(problems, kind, failed=(0, 3)))
        self.proposals(problems, name, kind, self.past(problems, kind, failed=range(14)))

    def test_takes_the_searcher_through_a_study(self, problems, name, kind, tmp_path):
        section = "search" if kind == "base" else "scale"
        study = load_study(write_study(tmp_path), {f"{section}.with": name})
        log = drive(study, tmp_path / "trials.jsonl", Random(0))
        trials = log.of(kind)
        assert len({t.network for t in trials}) == len(trials) == (12 if kind == "base" else 7)
        if kind == "base":
            assert all(t.cost["macs"] <= 700_000 for t in trials)


@pytest.mark.parametrize("seed, factor, tolerance",
                         [pytest.param(0, 2.0, 0.02, marks=pytest.mark.slow), (1, 2.0, 0.05), (2, 1.5, 0.02)])
def test_every_way_to_scale_is_one_network(seed, factor, tolerance):
    """Widths alone may land on the target in several ways, which have the same shares: they are no less distinct."""
    base = load_space(MBCONV).adapted(resolution=32, classes=10, channels=3).sample(seed)[1]
    problem = ScaleProblem(ScalingSpace(base, factor, tolerance), TRIED_ALWAYS)
    target = factor * cost(base).macs
    for name, point in problem.networks.items():
        arch = problem.arch(point)
        assert expand(arch).digest == name == problem.identity(point) and problem.snapped(point) == point
        assert name in problem.always or abs(cost(arch).macs / target - 1) <= tolerance
        assert max(realised(arch, base)) > 1 and all(0 <= exponent <= 1 for exponent in point.values())
    assert len({ScalingSpace.shares(d) for d in problem.networks.values()}) < len(problem.networks)
    space = ScalingSpace(base, factor, tolerance)
    assert all(expand(space.at(d).arch).digest == name for name, d in problem.networks.items())  # whoever asks first


# The driver.

@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return load_study(write_study(tmp_path_factory.mktemp("study")))


@pytest.fixture(scope="module")
def whole(study, tmp_path_factory):
    return essence(drive(study, tmp_path_factory.mktemp("run") / "trials.jsonl", Random(0)))


@given(order=st.integers(0, 1000), workers=st.integers(1, 6))
@settings(max_examples=15)
def test_outcome_depends_neither_on_workers_nor_on_order(study, whole, tmp_path_factory, order, workers):
    log = drive(study, tmp_path_factory.mktemp("run") / "trials.jsonl", Random(order), workers)
    assert essence(log) == whole


@pytest.mark.parametrize("tail", ["", '{"step": "base", "num'], ids=["clean", "cut line"])
@pytest.mark.parametrize("stop", [1, 5, 11, 12, 14, 19, 20, 24, 28])
def test_stopped_anywhere_and_gone_on_it_ends_the_same(study, whole, tmp_path, stop, tail):
    path = tmp_path / "trials.jsonl"
    drive(study, path, Random(stop), stop_after=stop)
    with open(path, "a") as file:
        file.write(tail)
    log = drive(study, path, Random(stop + 1))
    assert essence(log) == whole == essence(TrialLog(path))
    assert len(path.read_text().splitlines()) == 1 + len(whole)


def test_scaling_trials_are_on_budget_and_hold_the_presets(study, whole, tmp_path):
    log = drive(study, tmp_path / "trials.jsonl", Random(0))
    driver = Driver(study, log)
    networks = {t.network for t in log.of("scale")}
    base = cost(arch_from_dict(driver.best("base").arch)).macs
    for name in ("efficientnet", "depth", "width", "resolution"):
        assert expand(scale.preset_networks(driver)[name].arch).digest in networks
    always = {(PRESETS[n].depth, PRESETS[n].width) for n in ("efficientnet", "depth", "width", "resolution")}
    for trial in log.of("scale"):
        assert abs(trial.cost["macs"] / (2 * base) - 1) <= 0.3 or tuple(trial.decisions.values()) in always
    for phi, member in family.members(driver).items():
        assert member.target == round(base * 2**phi) and (phi or member.macs == base)


def test_a_searched_out_space_ends_the_search(tmp_path):
    study = load_study(write_study(tmp_path), {"search.trials": 10_000, "budget.macs": 400_000})
    log = drive(study, tmp_path / "trials.jsonl", Random(0))
    space = study.adapted_space
    inside = {expand(space.at(d)).digest for d in space if cost(space.at(d)).macs <= 400_000}
    assert {t.network for t in log.of("base")} == inside


@pytest.mark.parametrize("trials, message", [
    (12, "none of the 12 trials of the base search came to the end of its training: the loss became nan"),
    (40, "all 10 trials of the base search failed: the loss became nan"),
])  # fmt: skip
def test_all_failing_is_said(tmp_path, trials, message):
    driver = Driver(load_study(write_study(tmp_path), {"search.trials": trials}), TrialLog(tmp_path / "trials.jsonl"))
    fail_all = lambda: [driver.finish(job, {"reason": "the loss became nan"}) for job in iter(driver.next, None)]
    with pytest.raises(WorkFailed, match=message):
        fail_all()


def test_repositorys_study_is_what_the_readme_says():
    study = load_study(ROOT / "studies" / "effnet_phi.yaml")
    assert len(study.options(compare.Options).compare) >= 6 and study.options(family.Options).phi == (0, 1, 2, 3)
    assert study.options(scale.Options).tolerance == 0.02


def points(n):
    return st.lists(st.tuples(st.integers(0, n), st.integers(0, n)), min_size=1, max_size=12)


@given(points(6))
def test_front_is_what_nothing_beats(items):
    kept = front(items, lambda p: p[0], lambda p: p[1])
    beaten = [p for p in items if any(q[0] <= p[0] and q[1] >= p[1] and q != p for q in items)]
    assert sorted(kept) == sorted(p for p in items if p not in beaten)
