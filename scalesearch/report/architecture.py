"""An architecture as its paper's table, and drawn: stages down the page, what feeds what beside them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scalesearch.arch import Arch, BlockSpec, as_resolution, expand, format_resolution
from scalesearch.counting import by_layer, by_stage, cost
from scalesearch.files import save_text
from scalesearch.plain_data import PlainDict

SHOWN = (
    "kernel",
    "expand",
    "se_ratio",
    "ratio",
    "groups",
    "group_width",
    "growth",
    "squeeze",
    "repeats",
    "start",
    "middle",
    "heads",
    "kv_stride",
    "hidden",
    "dropout",
    "factor",
    "padding",
    "act",
)
HUES = (212, 28, 142, 330, 265, 185, 50, 0, 95, 235)


def described(spec: BlockSpec) -> str:
    """`mbconv k5 e6`: the block and what it is told beside its width."""
    words = [
        f"{'k' if name == 'kernel' else 'e' if name == 'expand' else name + ' '}{_plain(value)}"
        for name, value in spec.args
        if name in SHOWN and value not in (None, False)
    ]
    branches = spec.get("branches")
    return " ".join([spec.kind, *([f"{len(branches)} branches"] if branches else []), *words])


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return "×".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def table(arch: Arch) -> list[PlainDict]:
    """A row per stem block, stage and head: operator, input resolution, output channels, layers, stride, params, MACs.

    `inputs` are the stages it takes its input from, where that is not the one before.
    """
    graph = expand(arch)
    specs = [*arch.stem, *(stage.block for stage in arch.stages), arch.head, *(aux.block for aux in arch.auxiliary)]
    blocks = [*graph.stem, *(stage[0] for stage in graph.stages), graph.head, *graph.auxiliary]
    sources: list[tuple[int, ...]] = [()] * len(arch.stem)
    sources += [() if s == (i - 1,) else s for i, s in enumerate(arch.sources)] + [
        (aux.after,) for aux in arch.auxiliary
    ]
    return [
        {
            "stage": row["name"],
            "operator": described(spec),
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
    """How much smaller the map becomes; nothing where it becomes a vector or grows."""
    shape = row["shape"]
    return -(-block.in_shape[-1] // shape[-1]) if len(shape) == 3 and shape[-1] <= block.in_shape[-1] else None


def write_drawing(arch: Arch, path: Path) -> None:
    """The drawing as one HTML page that needs nothing else."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("scalesearch", "report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["pixels"] = format_resolution
    rows = table(arch)
    page = environment.get_template("architecture.html.j2").render(
        arch=arch,
        cost=cost(arch),
        rows=list(_drawn(rows)),
        height=len(rows) * 34 + 20,
        arcs=list(_arcs(arch, rows)),
        layers=_layers(arch),
    )
    save_text(page, path)


def _drawn(rows: list[PlainDict]) -> Iterator[PlainDict]:
    kinds = list(dict.fromkeys(row["operator"].split()[0] for row in rows))
    most = {key: max(row[key] for row in rows) or 1 for key in ("params", "macs")}
    for i, row in enumerate(rows):
        yield row | {
            "y": 10 + 34 * i,
            "hue": HUES[kinds.index(row["operator"].split()[0]) % len(HUES)],
            "wide": 36 + 12 * math.log2(max(1, row["channels"])),
            "macs_bar": 105 * row["macs"] / most["macs"],
            "params_bar": 130 * row["params"] / most["params"],
        }


def _arcs(arch: Arch, rows: list[PlainDict]) -> Iterator[dict[str, float]]:
    """What feeds what, where it isn't the next row: from the middle of one row to the middle of another."""
    at = {row["stage"]: 27 + 34 * i for i, row in enumerate(rows)}
    ends = [f"stages.{i}" for i in range(len(arch.stages))] + ["head"]
    for end, sources in zip(ends, arch.sources):
        for j in sources:
            if j >= 0 and at[f"stages.{j}"] + 34 != at[end]:
                yield {
                    "start": at[f"stages.{j}"],
                    "end": at[end],
                    "bend": 10 + 2.2 * math.sqrt(at[end] - at[f"stages.{j}"]),
                }


def _layers(arch: Arch) -> dict[str, list[PlainDict]]:
    found: dict[str, list[PlainDict]] = {}
    for row in by_layer(expand(arch)):
        parts = row["name"].split(".")
        found.setdefault(parts[0] if parts[0] == "head" else ".".join(parts[:2]), []).append(row)
    return found
