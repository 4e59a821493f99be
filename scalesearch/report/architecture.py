"""An architecture as a table like those in papers, and as a drawing: stages down the page with their connections."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scalesearch.arch import Arch, as_resolution, expand, format_resolution
from scalesearch.counting import by_layer, by_stage, cost
from scalesearch.files import save_text
from scalesearch.plain_data import PlainDict

HUES = (212, 28, 142, 330, 265, 185, 50, 0, 95, 235)


def table(arch: Arch) -> list[PlainDict]:
    """Returns a row per stem block, stage and head of an architecture.

    Returns:
        Dictionaries with `stage`, `operator`, `resolution` of the input in pixels, output `channels`, `layers`,
        `stride`, `inputs` (indices of the stages that feed it; empty if only the one before), `params` and `macs`.
    """
    graph = expand(arch)
    specs = [*arch.stem, *(stage.block for stage in arch.stages), arch.head, *(aux.block for aux in arch.auxiliary)]
    blocks = [*graph.stem, *(stage[0] for stage in graph.stages), graph.head, *graph.auxiliary]
    sources: list[tuple[int, ...]] = [()] * len(arch.stem)
    sources += [() if s == (i - 1,) else s for i, s in enumerate(arch.sources)]
    sources += [(aux.after,) for aux in arch.auxiliary]
    return [
        {
            "stage": row["name"],
            "operator": spec.description,
            "resolution": as_resolution(block.in_shape[-2:]),
            "channels": row["shape"][0],
            "layers": row["depth"],
            "stride": _stride(block, row),
            "inputs": list(inputs),
            "params": row["params"],
            "macs": row["macs"],
        }
        for row, spec, block, inputs in zip(by_stage(graph), specs, blocks, sources, strict=True)
    ]


def _stride(block: Any, row: PlainDict) -> int | None:
    """Returns by how much the map shrinks; None where it becomes a vector or grows."""
    shape = row["shape"]
    return -(-block.in_shape[-1] // shape[-1]) if len(shape) == 3 and shape[-1] <= block.in_shape[-1] else None


def write_drawing(arch: Arch, path: Path) -> None:
    """Writes the drawing of an architecture to `path`, as one HTML page without external files."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("scalesearch", "report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["pixels"] = format_resolution
    rows = table(arch)
    page = environment.get_template("architecture.html.j2").render(
        arch=arch,
        cost=cost(arch),
        rows=list(_drawing_rows(rows)),
        height=len(rows) * 34 + 20,
        arcs=list(_arcs(arch, rows)),
        layers=_layers(arch),
    )
    save_text(page, path)


def _drawing_rows(rows: list[PlainDict]) -> Iterator[PlainDict]:
    kinds = list(dict.fromkeys(row["operator"].split()[0] for row in rows))
    largest = {key: max(row[key] for row in rows) or 1 for key in ("params", "macs")}
    for i, row in enumerate(rows):
        yield row | {
            "y": 10 + 34 * i,
            "hue": HUES[kinds.index(row["operator"].split()[0]) % len(HUES)],
            "wide": 36 + 12 * math.log2(max(1, row["channels"])),
            "macs_bar": 105 * row["macs"] / largest["macs"],
            "params_bar": 130 * row["params"] / largest["params"],
        }


def _arcs(arch: Arch, rows: list[PlainDict]) -> Iterator[dict[str, float]]:
    """Yields the connections that skip rows, from the middle of one row to that of another, in pixels."""
    middles = {row["stage"]: 27 + 34 * i for i, row in enumerate(rows)}
    ends = [f"stages.{i}" for i in range(len(arch.stages))] + ["head"]
    for end, sources in zip((middles[name] for name in ends), arch.sources):
        for start in (middles[f"stages.{j}"] for j in sources if j >= 0):
            if start + 34 != end:
                yield {"start": start, "end": end, "bend": 10 + 2.2 * math.sqrt(end - start)}


def _layers(arch: Arch) -> dict[str, list[PlainDict]]:
    groups: dict[str, list[PlainDict]] = {}
    for row in by_layer(expand(arch)):
        parts = row["name"].split(".")
        groups.setdefault(parts[0] if parts[0] == "head" else ".".join(parts[:2]), []).append(row)
    return groups
