"""What a study does to be doubted: scaled hand-built networks, ablations, the search with other seeds."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random
from statistics import mean

import pytest
from driving import FULL, drive, essence, scored, write_study

from scalesearch.errors import InputError
from scalesearch.report.checklist import checklist
from scalesearch.report.html import page
from scalesearch.report.info import gather
from scalesearch.report.side_by_side import differences, shared_rows, side_by_side, table_rows
from scalesearch.study.driver import Driver
from scalesearch.study.reading import load_study
from scalesearch.study.steps import ablation, compare, equal_macs, family, finalists, repeated, scaled

DOUBTING = {
    "search": {"with": "evolution", "trials": 6, "epochs": 2},
    "finalists": {"top": 2, "seeds": [0, 1]},
    "control": {"random": 4},
    "search_seeds": [0, 3],
    "ablate": ["search", "finalists", "scale"],
    "compare": {"networks": ["resnet20_cifar", "shufflenet_v2_x0_5"], "scaled": True, "recipes": ["cifar"]},
    "recipe": {"epochs": 5},
    "scale": {"trials": 6, "tolerance": 0.1},
    "family": {"phi": [0, 1]},
}


@pytest.fixture(scope="module")
def doubting(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doubting")
    study = load_study(write_study(folder, **DOUBTING))
    return study, drive(study, folder / "trials.jsonl", Random(0), outcome=scored)


def test_scaled_hand_built_networks_have_a_members_macs_and_the_axis_that_validation_prefers(doubting):
    study, log = doubting
    run = Driver(study, log)
    members = family.members(run)
    trained = log.of("scaled")
    assert {t.fidelity["epochs"] for t in trained} == {5}
    assert {t.fidelity["seed"] for t in trained} == {0, 1}
    assert {t.decisions.get("recipe", "") for t in trained} == {"", "cifar"}
    for trial in trained:
        target = members[trial.decisions["phi"]].macs
        assert abs(trial.cost["macs"] / target - 1) <= 0.1
    for place, (axis, _) in scaled.chosen(run).items():
        tried = [
            t
            for t in log.of("scaled choice")
            if (t.decisions["network"], t.decisions["phi"]) == (place.network, place.phi)
        ]
        assert len({t.network for t in tried}) == len(tried)
        best = max(tried, key=lambda t: t.scores["val_accuracy"], default=None)
        assert best is None or best.decisions["axis"] == axis


def test_the_comparison_at_equal_macs_says_by_how_much_the_member_leads(doubting):
    study, log = doubting
    run, task = Driver(study, log), study.trained.task
    found = equal_macs.equal_macs(compare.rows(run), task)
    assert [each.phi for each in found] == [0.0, 1.0]
    for each in found:
        validation = [rival.row.val for rival in each.rivals]
        assert validation == sorted(validation, reverse=True)
        assert [rival.chosen for rival in each.rivals] == [True] + [False] * (len(each.rivals) - 1)
        for rival in each.rivals:
            assert rival.ahead == pytest.approx(each.member.test - rival.row.test)
            errors = each.member.test_error, rival.row.test_error
            assert rival.interval == pytest.approx(1.96 * math.hypot(*errors))
    sentence = equal_macs.equal_macs_sentence(found, task)
    assert "φ = 0:" in sentence
    assert "φ = 1:" in sentence
    info = gather(run)
    assert sentence in info.notes
    assert len(info.summary()["equal_macs"]) == 2


def test_a_hand_built_network_that_cannot_reach_the_macs_is_left_out_with_its_reason(tmp_path):
    compared = {"networks": ["vgg11"], "scaled": True}
    study = load_study(
        write_study(tmp_path, scale={"trials": 5, "tolerance": 0.0001}, family={"phi": [0]}, compare=compared)
    )
    run = Driver(study, drive(study, tmp_path / "trials.jsonl", Random(0)))
    assert not run.log.of("scaled")
    (note,) = scaled.ScaledBaselines().notes(run)
    assert note.startswith("vgg11")
    assert "is left out at φ = 0:" in note
    assert "MACs" in note


def test_an_ablation_trains_the_family_without_one_part(doubting):
    study, log = doubting
    run = Driver(study, log)
    found = ablation.ablations(run)
    assert {(a.part, a.phi) for a in found} == {
        (p, phi) for p in ("search", "finalists", "scale") for phi in (0.0, 1.0)
    }
    own = {phi: [t for t in log.of("family") if t.decisions["phi"] == phi] for phi in (0.0, 1.0)}
    for each in found:
        trials = [t for t in log.of("ablation") if t.name == f"study-phi{each.phi:g}-without-{each.part}"]
        assert each.same == (not trials)
        if each.same:
            assert each.gain == 0
        else:
            assert {t.network for t in trials} != {t.network for t in own[each.phi]}
            gain = mean(t.scores["test_accuracy"] for t in own[each.phi]) - mean(
                t.scores["test_accuracy"] for t in trials
            )
            assert each.gain == pytest.approx(gain)
    assert next(a for a in found if (a.part, a.phi) == ("scale", 0.0)).same
    random_base = next(t for t in log.of("ablation") if t.decisions == {"without": "search", "phi": 0.0})
    assert random_base.network in {t.network for t in log.of("random")}
    if not next(a for a in found if (a.part, a.phi) == ("finalists", 0.0)).same:
        assert finalists.base_of(run) is not run.best("base")
    assert len(ablation.Ablation().notes(run)) == 3


def test_searches_with_other_seeds_are_whole_searches(doubting):
    study, log = doubting
    run = Driver(study, log)
    again = log.of("repeated")
    assert len(again) == 6
    assert {t.fidelity["seed"] for t in again} == {3}
    assert {t.name for t in again}.isdisjoint({t.name for t in log.of("base")})
    assert len(log.of("repeated finalists")) == 4
    found = repeated.repetition(run)
    first, other = found.searches
    assert (first.seed, other.seed) == (0, 3)
    assert first.network == finalists.base_of(run).name
    best = max(t.scores["val_accuracy"] for t in log.of("repeated finalists"))  # the same with every seed here
    assert other.score == pytest.approx(best)
    assert found.mean == pytest.approx((first.score + other.score) / 2)
    curves = {p.name: p for p in repeated.progress(run)}
    assert list(curves) == ["search, seed 0", "search, seed 3", "random networks"]
    for curve in curves.values():
        assert list(curve.volumes) == sorted(curve.volumes)
        assert list(curve.minutes) == sorted(curve.minutes)
    assert curves["search, seed 3"].minutes[-1] == pytest.approx(6 / 60, abs=1e-3)
    assert "2 searches that differ in their seeds" in repeated.RepeatedFinalists().notes(run)[0]


def test_the_page_shows_all_of_it_and_answers_the_checklist(doubting, tmp_path):
    text = page(gather(Driver(*doubting)))
    for heading in (
        "Search, or just scale a known network?",
        "What each part of the study adds",
        "The search, repeated",
    ):
        assert f"<h2>{heading}</h2>" in text
    answers = {a.question: a for a in checklist(gather(Driver(*doubting)))}
    assert {a.verdict for q, a in answers.items() if q in ("ablations", "against random search")} == {"yes"}
    assert answers["several runs, with their seeds"].text.endswith("2 whole searches")
    assert "4 random networks" in answers["against random search"].text
    plain = load_study(write_study(tmp_path))
    run = Driver(plain, drive(plain, tmp_path / "trials.jsonl", Random(0)))
    without = {a.question: a for a in checklist(gather(run))}
    assert without.keys() == answers.keys()
    assert (without["ablations"].verdict, without["against random search"].verdict) == ("no", "no")
    assert "control: {}" in without["against random search"].text
    assert without["several runs, with their seeds"].verdict == "partly"


def test_all_of_it_survives_any_kill(doubting, tmp_path):
    study, log = doubting
    for stop in (11, 24, 41, 60):
        path = tmp_path / f"{stop}.jsonl"
        drive(study, path, Random(stop), stop_after=stop, outcome=scored)
        assert essence(drive(study, path, Random(1), outcome=scored)) == essence(log)


def test_a_repeated_search_that_halves_keeps_its_own_checkpoints(tmp_path):
    study = load_study(write_study(tmp_path, **FULL, search_seeds=[0, 7]))
    files = {"checkpoints": {}, "weights": {}}

    def outcome(job):
        for kind, file in (("checkpoints", job.checkpoint), ("weights", job.weights)):
            if file:
                files[kind].setdefault(file, set()).add((job.step, job.seed, job.candidate))
        return scored(job)

    drive(study, tmp_path / "trials.jsonl", Random(0), outcome=outcome)
    assert all(len(owners) == 1 for kind in files.values() for owners in kind.values())
    assert any("base-again-s7" in file for file in files["checkpoints"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"ablate": ["search"], "finalists": {"top": 1}},
            "ablate: needs random networks in place of the search: control",
        ),
        ({"ablate": ["finalists"]}, "ablate: has no finalists to leave out"),
        ({"ablate": ["compare"]}, r"ablate\[0\]: takes one of search, finalists, scale"),
        ({"ablate": ["scale", "scale"]}, "ablate.*twice"),
        ({"search_seeds": [1, 2]}, "search_seeds: must hold 0, the first of seeds"),
        ({"search_seeds": [0]}, "search_seeds: needs another seed beside 0"),
        ({"search_seeds": [0, -1]}, r"search_seeds\[1\]: must be at least 0"),
        ({"compare": {"scaled": True}}, "compare.scaled: needs hand-built networks to scale"),
    ],
)
def test_faults_of_the_evidence_are_located(tmp_path, changes, message):
    with pytest.raises(InputError, match=rf"study\.yaml:\d+: {message}"):
        load_study(write_study(tmp_path, **changes))


def test_runs_side_by_side_have_means_over_those_that_differ_in_their_seeds(doubting, tmp_path):
    study, log = doubting
    again = load_study(write_study(tmp_path, **DOUBTING), {"seeds": [5, 6], "search_seeds": [5, 7]})

    def luckier(job):
        return (output := scored(job)) | {"scores": {k: v + 0.01 for k, v in output["scores"].items()}}

    infos = {
        "first": gather(Driver(study, log)),
        "second": gather(Driver(again, drive(again, tmp_path / "trials.jsonl", Random(0), outcome=luckier))),
    }
    rows = {row.name: row for row in shared_rows(infos)}
    assert {"φ = 0", "φ = 1", "resnet20_cifar"} <= rows.keys()
    for row in rows.values():
        scores = [row.rows[run].test for run in row.rows]
        assert row.test == pytest.approx(mean(scores))
        assert (row.interval is None) == (len(scores) == 1)
    assert rows["resnet20_cifar"].interval == pytest.approx(12.706 * 0.01 / 2, rel=1e-3)  # Student's t, two runs
    assert differences(infos) == {"second": ""}
    text = side_by_side(infos)
    assert "one study with different seeds" in text
    assert [row["first"] for row in table_rows(infos)].count(None) == sum("first" not in r.rows for r in rows.values())


def test_runs_of_other_studies_say_where_they_differ_and_those_of_other_data_are_refused(doubting, tmp_path):
    study, log = doubting
    other = load_study(write_study(tmp_path, **DOUBTING), {"search.trials": 7})
    first, second = (gather(Driver(s, log)) for s in (study, other))
    assert differences({"a": first, "b": second}) == {"b": "search.trials was 6, is 7"}
    assert {row.test for row in shared_rows({"a": first, "b": second})} == {None}
    assert "search.trials was 6, is 7" in side_by_side({"a": first, "b": second})
    foreign = replace(second, data={**second.data, "name": "cifar10", "digest": "0" * 16})
    with pytest.raises(InputError, match=r"b: has other images \(cifar10\) than a \(digits\)"):
        side_by_side({"a": first, "b": foreign})
    boxes = replace(second, axis=replace(second.axis, name="ap"))
    with pytest.raises(InputError, match="b: scores ap, and a accuracy; take runs of one task"):
        side_by_side({"a": first, "b": boxes})
    with pytest.raises(InputError, match="a: is a run of a table"):
        side_by_side({"a": replace(first, data=None), "b": second})
