"""The first sentence of a report: which network to take."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scalesearch.errors import format_short
from scalesearch.study.steps.compared_row import ComparedRow
from scalesearch.study.steps.decision import decide
from scalesearch.trials.tasks import TASKS

TASK = TASKS["classification"]
BEST = "the best scaled network you would have picked at that size, mbv3 scaled to it"


def row(name, macs, test, kind="family", error=0.003, val=None, **more):
    return ComparedRow(
        name, kind, 32, 100, macs, 100, "done", 3, test if val is None else val, test, 0.01, error, 1.0, **more
    )


FAMILY = [
    row("x-phi0", 5_000_000, 0.83, phi=0.0),
    row("x-phi1", 11_700_000, 0.873, phi=1.0),
    row("x-phi2", 23_400_000, 0.878, phi=2.0),
]


def test_the_smallest_member_that_no_larger_one_beats_for_certain():
    found = decide(FAMILY, TASK)
    assert found.network == "x-phi1"
    assert found.sentence == (
        "Take x-phi1: 87.30% ± 0.59% test accuracy at 11.7M MACs; no hand-built network of its size was trained; "
        "2.0 times its MACs bring +0.50 ± 0.83 points more."
    )
    assert decide([*FAMILY[:2], replace(FAMILY[2], test=0.9)], TASK).network == "x-phi2"
    assert decide([FAMILY[0], *(replace(member, test=0.83) for member in FAMILY[1:])], TASK).network == "x-phi0"


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        (
            0.832,
            f"; 4.10 ± 0.83 points above {BEST}; ",
        ),
        (
            0.870,
            f"; not told apart from {BEST} (+0.30",
        ),
        (
            0.890,
            f"; but {BEST}, is 1.70 ± 0.83 points",
        ),
    ],
)
def test_the_best_network_at_its_macs_stands_beside_it_whoever_wins(test, expected):
    rivals = [
        row("mbv3-at-phi1", 11_600_000, test, "scaled", phi=1.0, network="mbv3", axis="width"),
        row("other-at-phi1", 11_800_000, 0.99, "scaled", val=0.2, phi=1.0, network="other", axis="depth"),
        row("resnet", 11_000_000, 0.999, "hand-built"),
    ]
    assert expected in decide([*FAMILY, *rivals], TASK).sentence


def test_without_scaled_ones_it_is_a_hand_built_network_of_its_size():
    rivals = [row("small", 11_000_000, 0.80, "hand-built"), row("large", 40_000_000, 0.95, "hand-built")]
    assert (
        "above the best network you would have picked at that size, small;" in decide([*FAMILY, *rivals], TASK).sentence
    )


def test_where_nothing_has_learned_it_says_what_to_do():
    found = decide([replace(member, untrained="guessing") for member in FAMILY], TASK)
    assert not found.network
    assert found.sentence.startswith("Nothing here is better than guessing: train for longer")
    assert decide([], TASK) is None
    assert decide([row("resnet", 1_000, 0.5, "hand-built")], TASK) is None


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999"), (1_000, "1k"), (147_358, "147k"), (11_700_000, "11.7M"), (999_600, "1M")]
)
def test_large_numbers_in_three_digits(count, text):
    assert format_short(count) == text
