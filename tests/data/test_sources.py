"""Data sources: facts before anything is loaded."""

from __future__ import annotations

from scalesearch.data.sources import SOURCES, load, source


def test_every_source_tells_its_sizes():
    for name in SOURCES:
        assert {split: len(labels) for split, (_, labels) in load(source(name)).items()} == source(name).sizes
