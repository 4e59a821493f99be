"""The drawing of a network, and its table: the counts are the cost model's."""

from __future__ import annotations

import pytest

from scalesearch import zoo
from scalesearch.counting.counts import cost
from scalesearch.report.architecture import table, write_drawing

NETWORKS = ("resnet18", "mobilenet_v3_small", "inception_v1_aux", "densenet121", "yolov3_tiny", "yolov8n")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_rows_of_the_table_add_up_to_the_network(name):
    arch = zoo.load(name)
    rows, total = table(arch), cost(arch)
    assert sum(row["params"] for row in rows) == total.params
    assert sum(row["macs"] for row in rows) == total.macs
    assert len(rows) == len(arch.stem) + len(arch.stages) + 1 + len(arch.auxiliary)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_drawing_shows_every_row(name, tmp_path):
    arch = zoo.load(name)
    write_drawing(arch, tmp_path / "net.html")
    page = (tmp_path / "net.html").read_text(encoding="utf-8")
    assert [row["operator"] for row in table(arch) if row["operator"].split()[0] not in page] == []
    assert f"{cost(arch).params:,}" in page
    assert "src=" not in page
