"""Rows as notebooks show them: pandas tables, small HTML tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas


def frame(rows: Sequence[Mapping[str, object]]) -> pandas.DataFrame:
    """Returns rows as a pandas table."""
    import pandas

    return pandas.DataFrame(rows)


def html_table(title: str, rows: Sequence[Mapping[str, object]]) -> str:
    """Returns rows as an HTML table under a title; its columns are the keys of the first row."""
    keys = list(rows[0]) if rows else []
    head = "".join(f"<th>{escape(key)}</th>" for key in keys)
    body = "".join("<tr>" + "".join(f"<td>{_cell(row[key])}</td>" for key in keys) + "</tr>" for row in rows)
    return f"<p>{escape(title)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return escape(str(value))
    return f"{value:,.0f}" if value == int(value) else f"{value:.6g}"
