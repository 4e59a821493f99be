"""Objects as notebooks show them: small HTML tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape


def html_table(title: str, rows: Sequence[Mapping[str, object]]) -> str:
    """Returns rows as an HTML table under a title; its columns are the keys of the first row."""
    keys = list(rows[0]) if rows else []
    head = "".join(f"<th>{escape(key)}</th>" for key in keys)
    body = "".join("<tr>" + "".join(f"<td>{_cell(row[key])}</td>" for key in keys) + "</tr>" for row in rows)
    return f"<p>{escape(title)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else escape(str(value))
