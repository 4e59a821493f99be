"""No study, space, architecture, Darknet file, weights, image, boxes or run of a stranger's ends in a traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fuzzing import KINDS, tried

NUMBER = {"space": 15, "study": 15, "run": 25}  # inputs of kinds that take longer


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_files_end_in_success_or_a_located_error(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "cache"))
    outcomes = {number: tried(kind, number, tmp_path) for number in range(NUMBER.get(kind, 40))}
    faults = {number: outcome.fault for number, outcome in outcomes.items() if outcome.fault}
    assert not faults
    assert {0, 2} >= {o.exit for o in outcomes.values()}
    assert any(o.exit == 2 for o in outcomes.values())
    assert all(
        line.startswith("scalesearch: ") or len(o.message.splitlines()) <= 3
        for o in outcomes.values()
        for line in o.message.splitlines()
        if o.exit == 2 and kind != "image"
    )
    assert all(o.message.startswith("scalesearch: ") for o in outcomes.values() if o.exit == 2 and kind != "image")
