"""What follows for every search from there being one: schedulers, resuming, costs and failures, whoever scores."""

from __future__ import annotations

import time
from random import Random

import pytest
from helpers import TINY_SPACE

import scalesearch as ss
from scalesearch.errors import InputError, WorkFailed
from scalesearch.searchers.registry import SEARCHERS
from scalesearch.searchers.scale_problem import DEFAULT_PRESETS
from scalesearch.trials.log import TrialLog

ASHA = {"with": "asha", "eta": 3}


@pytest.fixture(scope="module")
def space():
    return ss.space_from_dict(TINY_SPACE)


def promise(arch) -> float:
    """A score that only the network decides."""
    return int(ss.expand(arch).digest, 16) % 1000 / 1000


def test_an_objective_with_asha_is_asked_again_with_more_epochs(space):
    asked = []

    def objective(arch, epochs):
        asked.append((ss.expand(arch).digest, epochs))
        return promise(arch) + epochs / 100

    found = ss.search(space, objective, trials=12, with_="random", scheduler=ASHA, epochs=9)
    by_epochs = {e: [d for d, epochs in asked if epochs == e] for e in (1, 3, 9)}
    counts = [len(by_epochs[e]) for e in (1, 3, 9)]
    assert counts[0] == 12
    assert 4 <= counts[1] < 8
    assert 1 <= counts[2] < counts[1]
    assert set(by_epochs[9]) < set(by_epochs[3]) < set(by_epochs[1])
    best = sorted(by_epochs[1], key=lambda d: int(d, 16) % 1000)[-4:]
    assert set(best) <= set(by_epochs[3])
    assert {r.epochs for r in found.scored} == {9}
    assert found.best.identity in by_epochs[9]
    assert len(found.results) == sum(counts)
    assert sum(r.early for r in found.results) == sum(counts[:2])


def test_a_search_with_asha_resumes_by_replaying(space, tmp_path):
    def objective(arch, epochs):
        return promise(arch) * epochs

    options = {"with_": "evolution", "scheduler": ASHA, "epochs": 9, "objectives": ["macs"]}
    whole = ss.search(space, objective, trials=14, **options, log=tmp_path / "whole.jsonl")
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    for kept in (1, 6, 15):
        log = tmp_path / f"{kept}.jsonl"
        log.write_bytes(b"".join(lines[:kept]) + lines[kept][:30])
        assert ss.search(space, objective, trials=14, **options, log=log).results == whole.results
        assert log.read_bytes() == b"".join(lines)


def test_ways_to_scale_are_searched_by_an_objective_of_ones_own(space, tmp_path):
    """The presets are always among them; every one meets the counted target; bounds may be relative to the base."""
    base = space.adapted(resolution=32, classes=10, channels=3).sample(Random(3))[1]
    ways, macs = ss.ScalingSpace(base, factor=2.0, tolerance=0.3), ss.cost(base).macs
    log = tmp_path / "scale.jsonl"
    found = ss.search(ways, lambda arch: ss.cost(arch).params, trials=8, objectives=["acts"], log=log)
    archs = [ways.at(r.decisions).arch for r in found.results]
    assert len({r.identity for r in found.results}) == 8
    presets = {ss.expand(ss.scale_to(base, ways.target, name, 0.3).arch).digest for name in DEFAULT_PRESETS}
    assert presets <= {r.identity for r in found.results}
    within = [abs(ss.cost(a).macs / macs / 2 - 1) <= 0.3 for a in archs if ss.expand(a).digest not in presets]
    assert all(within)
    assert all(r.costs == (ss.cost(a).acts,) for r, a in zip(found.results, archs))
    assert found.best.score == max(ss.cost(a).params for a in archs)
    assert ss.search(ways, lambda arch: 0.0, trials=8, objectives=["acts"], log=log).results == found.results
    bounded = ss.search(ways, promise, trials=6, budget={"acts": "≤ 1.7x base"}, with_="random")
    assert all(ss.cost(ways.at(r.decisions).arch).acts <= 1.7 * ss.cost(base).acts for r in bounded.results)
    with pytest.raises(InputError, match=r"budget: none of the .* networks within the tolerance has acts"):
        ss.search(ways, promise, trials=6, budget={"acts": "≤ 0.1x base"})


def test_every_log_says_its_format_and_of_what_it_is(space, tmp_path):
    ss.search(space, promise, trials=3, with_="random", log=tmp_path / "l")
    log = TrialLog(tmp_path / "l", repair=False)
    assert log.subject["with"] == "random"
    assert log.subject["rungs"] == [1]
    assert len(log) == 3
    with pytest.raises(InputError, match=r'another search \("rungs" was \[1\]'):
        ss.search(
            space, lambda arch, epochs: 1.0, trials=3, with_="random", log=tmp_path / "l", scheduler=ASHA, epochs=9
        )


@pytest.mark.parametrize(
    "scheduler, message",
    [
        ({"with": "ahsa"}, r'scheduler.with: unknown scheduler "ahsa".*Did you mean "asha"'),
        ({"etta": 3}, r'scheduler.etta: unknown key.*Did you mean "eta"'),
        ("ahsa", r'scheduler.with: unknown scheduler "ahsa"'),
        (5, "scheduler: takes .*got 5"),
        ("asha", "scheduler: has one rung alone with epochs=1"),
    ],
)
def test_faults_in_a_scheduler_are_placed(space, scheduler, message):
    with pytest.raises(InputError, match=message):
        ss.search(space, promise, trials=3, scheduler=scheduler)


def test_a_table_has_no_epochs(table):
    from tabling import problem

    with pytest.raises(InputError, match="scheduler: a table has one score for each network"):
        ss.search(problem(table), trials=3, scheduler=ASHA, epochs=9)


def test_where_nobody_comes_to_the_end_it_is_said(space):
    def objective(arch, epochs):
        return promise(arch) if epochs < 9 else None

    found = ss.search(space, objective, trials=12, with_="random", scheduler=ASHA, epochs=9)
    assert not found.scored
    with pytest.raises(WorkFailed, match="the objective gave no score"):
        found.best  # noqa: B018


@pytest.mark.parametrize(
    "numbers, message",
    [
        ({"trials": "9"}, "trials: takes a whole number, got '9'"),
        ({"trials": 0}, "trials: must be at least 1"),
        ({"trials": 3, "epochs": 0}, "epochs: must be at least 1"),
    ],
)
def test_numbers_of_a_search_are_checked(space, numbers, message):
    with pytest.raises(InputError, match=message):
        ss.search(space, promise, **numbers)


def test_what_is_no_problem_is_refused():
    with pytest.raises(InputError, match="space: takes a Space, a ScalingSpace, or"):
        ss.search(object(), promise, trials=3)


@pytest.mark.parametrize("made", [lambda first: iter([first]), lambda first: [first]], ids=["generator", "list"])
def test_a_searcher_that_runs_out_is_helped_by_plain_draws(space, made):
    name = "one_only"
    ss.register_searcher(lambda problem, past, rng: made(problem.draw(rng)), name)
    try:
        assert len(ss.search(space, promise, trials=6, with_=name).results) == 6
    finally:
        del SEARCHERS[name]


def test_asking_stays_cheap_with_thousands_of_results(space, table):
    """Seconds, not minutes: what is known is kept, not worked out anew for every proposal."""
    from tabling import problem

    start = time.perf_counter()
    found = ss.search(problem(table), trials=256, with_="random")
    assert len(found.results) == 256
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("text", ['{"my": "results"}', "line one\nline two", "1", "{"])
def test_a_file_that_is_no_log_is_left_as_it_is(space, tmp_path, text):
    log = tmp_path / "results.json"
    log.write_text(text)
    if text == "{":  # all that a kill left of a head
        assert len(ss.search(space, promise, trials=2, with_="random", log=log).results) == 2
        return
    with pytest.raises(InputError, match="is no log of trials"):
        ss.search(space, promise, trials=2, with_="random", log=log)
    assert log.read_text() == text
