"""Committed reports link to nothing that isn't there."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT

REPORTS = sorted((ROOT / "reports").glob("*.html"))


@pytest.mark.parametrize("report", REPORTS, ids=lambda path: path.stem)
def test_what_a_report_links_to_is_there(report):
    links = re.findall(r'href="([^"#:]+)"', report.read_text())
    assert [link for link in links if not (report.parent / link).exists()] == []
