"""Writes a standalone Python file that needs only torch, with equal state-dict keys and equal outputs."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from scalesearch.arch import Arch, Graph, expand, format_sides, operators as ops
from scalesearch.counting import cost
from scalesearch.exporting.classes import DEFAULTS, BlockClass, BlockInstance, block_instance
from scalesearch.exporting.wiring import describe_outputs, network_source
from scalesearch.network import constructor
from scalesearch.trials import task_of

CONV_NORM_ACT = """def conv_norm_act(cin, cout, kernel, act=None, **options):
    layers = OrderedDict(conv=nn.Conv2d(cin, cout, kernel, bias=False, **options), norm=nn.BatchNorm2d(cout{options}))
    if act is not None:
        layers["act"] = act
    return nn.Sequential(layers)

"""


def _conv_norm_act_source(arch: Arch) -> str:
    (_, *options) = constructor(ops.Norm(0), arch, 0)[1]
    changed = "".join(f", {key}={value!r}" for key, value in options if value != DEFAULTS[key])
    return CONV_NORM_ACT.format(options=changed)


def _instances(graph: Graph) -> list[BlockInstance]:
    from scalesearch.network import drop_path_rates

    rates = {f"stages.{i}.{j}": rate for i, stage in enumerate(drop_path_rates(graph)) for j, rate in enumerate(stage)}
    return [block_instance(path, block, graph.arch, rates.get(path, 0.0)) for path, block in graph.all_blocks()]


def _classes(instances: Iterable[BlockInstance]) -> dict[str, BlockClass]:
    """Returns the class of every block by its path; classes of one kind get different names."""
    by_topology: dict[tuple[object, ...], list[BlockInstance]] = {}
    for instance in instances:
        by_topology.setdefault(instance.topology, []).append(instance)
    used_names: set[str] = set()
    by_path: dict[str, BlockClass] = {}
    for members in by_topology.values():
        base_name = "".join(part.capitalize() for part in members[0].block.kind.split("_"))
        if any(isinstance(x.op, ops.Add) for x, _, _ in members[0].layers):
            base_name += "Residual"
        name, n = base_name, 2
        while name in used_names:
            name, n = f"{base_name}{n}", n + 1
        used_names.add(name)
        block_class = BlockClass(name, members)
        by_path |= {member.path: block_class for member in members}
    return by_path


BoxThresholds = tuple[float, float, int]  # confidence and overlap in [0, 1], most boxes per image


def to_python(arch: Arch, metadata: Mapping[str, str] | None = None, boxes: BoxThresholds | None = None) -> str:
    """Returns the source of a Python module that needs only torch.

    It has one class per kind of block, `Network`, and `build()`. Its state-dict keys are those of
    `build(arch)`, so the same weights load, and its outputs are equal.

    Args:
        arch: The architecture.
        metadata: Metadata of weights (JSON by key); `preparation` and `classes` become `PREPARATION` and
            `CLASSES`.
        boxes: Confidence, overlap and most boxes per image. Adds `detector(network)`, which returns boxes,
            scores and classes, decoded and suppressed.

    Raises:
        InputError: If `boxes` are asked of a network that is no detector.
    """
    from scalesearch.network import HELPERS, same_pad

    graph = expand(arch)
    instances = _instances(graph)
    classes = _classes(instances)
    costs = cost(arch)
    constructors = {module for x in instances for _, module, _ in x.layers}
    helpers: list[Any] = [helper for name, helper in HELPERS.items() if name in constructors]
    if any(name.startswith("Same") for name in constructors):
        helpers.insert(0, same_pad)
    body = [line for block_class in dict.fromkeys(classes.values()) for line in (*block_class.source(), "", "")]
    if any("conv_norm_act(" in line for line in body):
        body = [_conv_norm_act_source(arch), *body]
    detector_lines = list(_detector_source(arch, boxes)) if boxes else []
    code = "\n".join([*body, *map(inspect.getsource, helpers), *detector_lines])
    return "\n".join(
        [
            f'"""{_escaped_name(arch.name)}: {costs.params:,} parameters, {costs.macs:,} multiply-adds at '
            f"{format_sides(arch.resolution)}.",
            "",
            f"Input (batch, {arch.channels}, {arch.sides[0]}, {arch.sides[1]}), {describe_outputs(graph)}"
            f"{': logits' if task_of(arch).name == 'classification' else ''}. "
            "Written by scalesearch; needs torch alone.",
            *(["", DETECTOR_USAGE] if boxes else []),
            '"""',
            "",
            *(["from __future__ import annotations", ""] if helpers or detector_lines else []),
            *(["import math"] if "math." in code else []),
            *(["from collections import OrderedDict"] if "OrderedDict" in code else []),
            *(["from collections.abc import Sequence"] if "Sequence[" in code else []),
            *([""] if "math." in code or "OrderedDict" in code or "Sequence[" in code else []),
            *(["import torch"] if re.search(r"\btorch\.(?!nn)", code) else []),
            "from torch import nn",
            *(["from torch.nn import functional as F"] if re.search(r"\bF\.", code) else []),
            "",
            *(
                f"{key.upper()} = {json.loads(metadata[key])!r}"
                for key in ("preparation", "classes")
                if metadata and key in metadata
            ),
            "",
            *(line for helper in helpers for line in (inspect.getsource(helper).rstrip(), "", "")),
            *body,
            *network_source(graph, {x.path: classes[x.path].call(x) for x in instances}),
            *detector_lines,
            "",
        ]
    )


DETECTOR_USAGE = """`detector(network)` of a network in eval mode gives boxes (corners in pixels of the input), scores
and classes, the likeliest first; a score of 0 is no box."""


def _detector_source(arch: Arch, boxes: BoxThresholds) -> Iterator[str]:
    """Yields the source of the decoder, of suppression and of `detector()`."""
    from scalesearch.network import Detector, decoder_call, detector_sources

    decoder_class, arguments = decoder_call(arch)
    for source in detector_sources(Detector, decoder_class):
        yield from ("", "", source)
    keywords = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    confidence, iou, most = boxes
    yield from (
        "",
        "",
        "def detector(network):",
        f"    decode = {decoder_class.__name__}({keywords})",
        f"    return Detector(network, decode, confidence={confidence!r}, iou={iou!r}, most={most}).eval()",
    )


def _escaped_name(name: str) -> str:
    """Returns a name in which nothing can end the docstring it is written into."""
    return re.sub(r"[^A-Za-z0-9_.+ -]", "_", name)
