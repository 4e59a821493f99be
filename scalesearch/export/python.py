"""A standalone Python file that needs torch alone: one class per kind of block, equal keys, equal outputs."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from scalesearch.arch import Arch, Graph, expand, operators as ops, sized
from scalesearch.counting import cost
from scalesearch.export.classes import DEFAULTS, Class, Instance, instance_of
from scalesearch.export.wiring import network as network_source, outputs
from scalesearch.network import constructor


def _helper(arch: Arch) -> list[str]:
    (_, *options) = constructor(ops.Norm(0), arch, 0)[1]
    changed = "".join(f", {key}={value!r}" for key, value in options if value != DEFAULTS[key])
    return [
        "def conv_norm_act(cin, cout, kernel, act=None, **options):",
        f"    layers = OrderedDict(conv=nn.Conv2d(cin, cout, kernel, bias=False, **options), "
        f"norm=nn.BatchNorm2d(cout{changed}))",
        "    if act is not None:",
        '        layers["act"] = act',
        "    return nn.Sequential(layers)",
        "",
        "",
    ]


def _instances(graph: Graph) -> list[Instance]:
    from scalesearch.network import drop_path_rates

    rates = {f"stages.{i}.{j}": rate for i, stage in enumerate(drop_path_rates(graph)) for j, rate in enumerate(stage)}
    return [instance_of(path, block, graph.arch, rates.get(path, 0.0)) for path, block in graph.all_blocks()]


def _classes(instances: Iterable[Instance]) -> dict[str, Class]:
    """Block path → class; classes of one kind are told apart by what they have."""
    by_topology: dict[tuple, list[Instance]] = {}
    for instance in instances:
        by_topology.setdefault(instance.topology, []).append(instance)
    taken: set[str] = set()
    found: dict[str, Class] = {}
    for members in by_topology.values():
        plain = "".join(part.capitalize() for part in members[0].block.kind.split("_"))
        if any(isinstance(x.op, ops.Add) for x, _, _ in members[0].layers):
            plain += "Residual"
        name, n = plain, 2
        while name in taken:
            name, n = f"{plain}{n}", n + 1
        taken.add(name)
        made = Class(name, members)
        found |= {member.path: made for member in members}
    return found


Threshold = tuple[float, float, int]  # confidence, overlap, most boxes of an image


def to_python(arch: Arch, told: Mapping[str, str] | None = None, boxes: Threshold | None = None) -> str:
    """A Python module that needs torch alone: one class per kind of block, `Network`, and `build()`.

    Its state-dict keys are those of `build(arch)`, so the same weights load, and its outputs are equal. Of weights'
    `told` (JSON) the `preparation` of images and the names of the `classes` stand in it as `PREPARATION` and `CLASSES`.
    With `boxes`, `detector(network)` decodes and suppresses: boxes, scores and classes come out. Raises `InputError`
    for boxes of no detector.
    """
    from scalesearch.network import HELPERS, same_pad

    graph = expand(arch)
    instances = _instances(graph)
    classes = _classes(instances)
    counted = cost(arch)
    constructors = {made for x in instances for _, made, _ in x.layers}
    helpers: list[Any] = [helper for name, helper in HELPERS.items() if name in constructors]
    if any(name.startswith("Same") for name in constructors):
        helpers.insert(0, same_pad)
    body = [line for made in dict.fromkeys(classes.values()) for line in (*made.source(), "", "")]
    if any("conv_norm_act(" in line for line in body):
        body = [*_helper(arch), *body]
    finding = list(_finding(arch, boxes)) if boxes else []
    typed = bool(helpers or finding)
    used = "\n".join([*body, *map(inspect.getsource, helpers), *finding])
    return "\n".join(
        [
            f'"""{_harmless(arch.name)}: {counted.params:,} parameters, {counted.macs:,} multiply-adds at '
            f"{sized(arch.resolution)}.",
            "",
            f"Input (batch, {arch.channels}, {arch.sides[0]}, {arch.sides[1]}), {outputs(graph)}. Written by "
            "scalesearch; needs torch alone.",
            *(["", USE_OF_BOXES] if boxes else []),
            '"""',
            "",
            *(["from __future__ import annotations", ""] if typed else []),
            *(["import math"] if "math." in used else []),
            *(["from collections import OrderedDict"] if "OrderedDict" in used else []),
            *(["from collections.abc import Sequence"] if "Sequence[" in used else []),
            *([""] if "math." in used or "OrderedDict" in used or "Sequence[" in used else []),
            *(["import torch"] if re.search(r"\btorch\.(?!nn)", used) else []),
            "from torch import nn",
            *(["from torch.nn import functional as F"] if re.search(r"\bF\.", used) else []),
            "",
            *(
                f"{key.upper()} = {json.loads(told[key])!r}"
                for key in ("preparation", "classes")
                if told and key in told
            ),
            "",
            *(line for helper in helpers for line in (inspect.getsource(helper).rstrip(), "", "")),
            *body,
            *network_source(graph, {x.path: classes[x.path].call(x) for x in instances}),
            *finding,
            "",
        ]
    )


USE_OF_BOXES = """`detector(network)` of a network in eval mode gives boxes (corners in pixels of the input), scores
and classes, the likeliest first; a score of 0 is no box."""


def _finding(arch: Arch, boxes: Threshold) -> Iterator[str]:
    """The source of what decodes and suppresses, and `detector()`."""
    from scalesearch.network import Detector, decoder_call, sources

    made, arguments = decoder_call(arch)
    for source in sources(Detector, made):
        yield from ("", "", source)
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    confidence, iou, most = boxes
    yield from (
        "",
        "",
        "def detector(network):",
        f"    decode = {made.__name__}({given})",
        f"    return Detector(network, decode, confidence={confidence!r}, iou={iou!r}, most={most}).eval()",
    )


def _harmless(name: str) -> str:
    """A name that stays inside the docstring it is written into."""
    return re.sub(r"[^A-Za-z0-9_.+ -]", "_", name)
