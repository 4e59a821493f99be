"""Data sources: facts before anything is loaded."""

from __future__ import annotations

import numpy as np
import pytest

from scalesearch.data import digits
from scalesearch.data.digits import load_digits
from scalesearch.data.sources import SOURCES, load, source


def test_every_source_tells_its_sizes():
    for name in SOURCES:
        assert {split: len(labels) for split, (_, labels) in load(source(name)).items()} == source(name).sizes


def test_digits_are_kept_in_the_cache_and_the_same_from_there(tmp_path, monkeypatch):
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path))
    first = load_digits()
    monkeypatch.setattr(digits, "_from_sklearn", lambda: pytest.fail("read anew"))
    again = load_digits()
    for name, (images, labels) in first.items():
        assert np.array_equal(again[name][0], images)
        assert np.array_equal(again[name][1], labels)
        assert (again[name][0].dtype, again[name][1].dtype) == (images.dtype, labels.dtype)
    monkeypatch.undo()
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path))
    next(tmp_path.rglob("digits*.npz")).write_bytes(b"PK\x03\x04 cut off")
    assert np.array_equal(load_digits()["test"][1], first["test"][1])
