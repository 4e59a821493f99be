"""Darknet's .cfg files as architectures: convolutional, shortcut, route, upsample, maxpool, yolo, classifiers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scalesearch.arch import Arch, BlockSpec, Stage, block, conv, expand
from scalesearch.errors import InputError, nearest, unknown
from scalesearch.signature import fields_of
from scalesearch.space import settings_keys
from scalesearch.zoo.sections import Section, read_sections

ACTIVATIONS = {"linear": None, "leaky": "leaky_relu", "relu": "relu", "mish": "mish", "swish": "silu",
               "logistic": "sigmoid"}
SECTIONS = ("convolutional", "shortcut", "route", "upsample", "maxpool", "yolo", "avgpool", "connected", "softmax")
SETTINGS = fields_of(settings_keys)
STRIDE = fields_of(conv)["stride"]


@dataclass
class _Reader:
    """The network read so far; `outputs[i]` is the stage whose output the file's layer i has."""

    stages: list[Stage] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)  # of every stage
    outputs: list[int | None] = field(default_factory=list)
    taps: list[int] = field(default_factory=list)
    detectors: list[Section] = field(default_factory=list)

    def add(self, section: Section, inputs: tuple[int, ...] | None = None, stride: int = 1, kind: str = "",
            **args: Any) -> int:
        before = self.outputs[-1] if self.outputs else -1
        if inputs is None and before is None:
            raise section.fault("follows a detection layer, whose output nothing takes; a [route] goes back to "
                                "another layer")
        if inputs is None:
            inputs = (before,) if self.outputs and before is not None else ()
        try:
            stage = Stage(block(kind, **args), 1, stride, () if inputs in ((len(self.stages) - 1,), ()) else inputs)
        except InputError as error:
            raise section.fault(error.message,
                                {"kernel": "size", "width": "filters",
                                 "factor": "stride"}.get(error.place, "")) from None
        self.stages.append(stage)
        self.sections.append(section)
        return len(self.stages) - 1

    def refer(self, section: Section, key: str, number: int) -> int:
        """The stage behind a reference: from 0 counted from the first layer, below 0 back from this one."""
        here = len(self.outputs)
        target = number + here if number < 0 else number
        if not 0 <= target < here:
            layers = f"0 to {here - 1} or -1 to -{here}" if here else "no layer before it"
            raise section.fault(f"refers to layer {number}; there are {layers}", key)
        stage = self.outputs[target]
        if stage is None:
            raise section.fault(f"refers to layer {number}, which is a detection layer", key)
        return stage

    def read(self, section: Section, following: Section | None) -> None:
        reader: Callable | None = getattr(self, f"_{section.name}", None) if section.name in SECTIONS else None
        if reader is None and section.name in SECTIONS:
            raise section.fault("stands only at the end of a classifier: [avgpool] and a last [convolutional], then "
                                "[softmax]")
        if reader is None:
            raise section.fault(f"unknown section; takes {', '.join(SECTIONS)}.{nearest(section.name, SECTIONS)}")
        reader(section, following)

    def _convolutional(self, section: Section, following: Section | None) -> None:
        if following is not None and following.name == "yolo":
            if not self.outputs or self.outputs[-1] is None:
                raise section.fault("a detection layer takes the output of an ordinary layer")
            self.taps.append(self.outputs[-1])
            self._check_detector(section, following)
            self.outputs.append(None)
            return
        for key in ("stride_x", "stride_y", "xnor", "binary"):
            if section.number(key, 0):
                raise section.fault("is not supported", key)
        if "filters" not in section.keys:
            raise section.fault("needs filters=, the width")
        size = section.number("size", 1)
        dilation = section.number("dilation", 1)
        padding = (size // 2 if section.number("pad", 0) else section.number("padding", 0)) * dilation
        padded: dict[str, Any] = {} if padding == dilation * (size // 2) else {"padding": padding}
        self.outputs.append(self.add(
            section, stride=_stride(section), kind="conv", width=section.number("filters", 1), kernel=size,
            groups=section.number("groups", 1), dilation=dilation, norm=bool(section.number("batch_normalize", 0)),
            act=_activation(section, "logistic"),
            **padded))  # fmt: skip

    def _check_detector(self, conv: Section, detector: Section) -> None:
        """The convolution before [yolo] becomes part of the head, so it must be what the head has."""
        masks = detector.numbers("mask") or tuple(range(min(100, detector.number("num", 1))))
        classes = detector.number("classes", 20)
        wanted = len(masks) * (5 + classes)
        if conv.number("filters", 1) != wanted:
            raise conv.fault(f"must be {wanted} before [yolo] with {len(masks)} masks and {classes} classes, "
                             f"got {conv.number('filters', 1)}", "filters")
        plain = conv.number("size", 1) == 1 and not conv.number("batch_normalize", 0) and _stride(conv) == 1
        if not plain or _activation(conv, "logistic"):
            raise conv.fault("before [yolo] must be 1×1, linear, without batch_normalize")

    def _yolo(self, section: Section, following: Section | None) -> None:
        if len(self.detectors) + 1 != len(self.taps):
            raise section.fault("needs a [convolutional] right before it")
        self.detectors.append(section)
        self.outputs.append(None)

    def _shortcut(self, section: Section, following: Section | None) -> None:
        others = section.numbers("from")
        if not others or not self.outputs:
            raise section.fault("needs from=, the layer to add", "from")
        inputs = (self.refer(section, "from", -1), *(self.refer(section, "from", n) for n in others))
        act = _activation(section, "linear")
        acted: dict[str, Any] = {"act": act} if act else {}
        self.outputs.append(self.add(section, inputs, kind="add", **acted))

    def _route(self, section: Section, following: Section | None) -> None:
        numbers = section.numbers("layers")
        if not numbers:
            raise section.fault("needs layers=, the layers to join", "layers")
        inputs = tuple(self.refer(section, "layers", n) for n in numbers)
        end = self.add(section, inputs, kind="concat") if len(inputs) > 1 else inputs[0]
        if (groups := section.number("groups", 1)) > 1:
            end = self.add(section, (end,), kind="channels", groups=groups, group=section.number("group_id", 0))
        self.outputs.append(end)

    def _upsample(self, section: Section, following: Section | None) -> None:
        self.outputs.append(self.add(section, kind="upsample", factor=section.number("stride", 2)))

    def _maxpool(self, section: Section, following: Section | None) -> None:
        size = section.number("size", _stride(section))
        if section.number("padding", size - 1) != size - 1:
            raise section.fault(f"other padding than size - 1 ({size - 1}) is not supported", "padding")
        padding: dict[str, Any] = {"padding": "same"} if size % 2 == 0 else {}
        self.outputs.append(self.add(section, stride=_stride(section), kind="max_pool", kernel=size, **padding))


def _stride(section: Section) -> int:
    return _checked(section, "stride", 1, "stride")


def _checked(section: Section, key: str, default: int, field_name: str) -> int:
    """A number under the rule that an architecture's own field has."""
    rule = {"stride": STRIDE, **SETTINGS}[field_name]
    try:
        return rule.check(section.number(key, default))
    except InputError as error:
        raise section.fault(error.message, key) from None


def _activation(section: Section, default: str) -> str | None:
    name = section.text("activation", default)
    if name not in ACTIVATIONS:
        raise section.fault(unknown("activation", name, ACTIVATIONS), "activation")
    return ACTIVATIONS[name]


def _split_ending(sections: list[Section]) -> tuple[list[Section], list[Section]]:
    """The layers, and a classifier's ending: `convolutional, avgpool` or `avgpool, convolutional|connected`, then
    softmax."""
    body = [s for s in sections if s.name != "cost"]  # what it is trained by
    body = body[:-1] if body and body[-1].name == "softmax" else body
    names = [section.name for section in body[-2:]]
    if names in (["avgpool", "convolutional"], ["avgpool", "connected"], ["convolutional", "avgpool"]):
        return body[:-2], body[-2:]
    return body, []


def _classifier(ending: list[Section]) -> tuple[BlockSpec, int]:
    names = [section.name for section in ending]
    last = ending[names[0] != "convolutional"]
    classes = _checked(last, "output" if last.name == "connected" else "filters", 1, "classes")
    act = _activation(last, "logistic")
    if last.number("batch_normalize", 0) or last.number("size", 1) != 1:
        raise last.fault("the last layer of a classifier must be 1×1 without batch_normalize")
    if names[0] == "convolutional":
        return block("conv_classifier", "head", act=act), classes
    if act:
        raise last.fault("must be linear after [avgpool]", "activation")
    return block("classifier", "head"), classes


def _detector(sections: list[Section]) -> tuple[BlockSpec, int]:
    first = sections[0]
    for other in sections[1:]:
        for key in ("classes", "anchors"):
            if other.numbers(key) != first.numbers(key):
                raise other.fault(f"differs from the one at line {first.line}", key)
    flat = first.numbers("anchors")
    if not flat or len(flat) % 2:
        raise first.fault("takes pairs of width and height", "anchors")
    anchors = tuple(zip(flat[::2], flat[1::2]))
    masks = tuple(s.numbers("mask") or tuple(range(len(anchors))) for s in sections)
    for section, mask in zip(sections, masks):
        if not all(0 <= m < len(anchors) for m in mask):
            raise section.fault(f"names an anchor that isn't among the {len(anchors)}", "mask")
    try:
        return block("yolo", "head", anchors=anchors, masks=masks), _checked(first, "classes", 20, "classes")
    except InputError as error:
        raise error if error.in_a_file else first.fault(error.message, "anchors") from None


def arch_from_cfg(path: str | Path) -> Arch:
    """The network of a Darknet .cfg file, at the file's own resolution.

    The convolution before every [yolo] is in the head. Raises `InputError` with file and line: unknown sections,
    references to layers that aren't there, shapes that don't meet, endings that are neither detectors nor classifiers.
    """
    net, *sections = read_sections(Path(path))
    height, width = (_checked(net, key, 416, "resolution") for key in ("height", "width"))
    if not sections:
        raise net.fault("has no layers after it")
    body, ending = _split_ending(sections)
    reader = _Reader()
    for section, following in zip(body, [*body[1:], None]):
        reader.read(section, following)
    if not reader.stages:
        raise net.fault("has no layers before its head")
    if bool(ending) == bool(reader.detectors):
        raise sections[-1].fault("a network ends in [yolo] layers or in [avgpool] with a last convolution, so that "
                                 "its head is known")
    head, classes = _classifier(ending) if ending else _detector(reader.detectors)
    name = re.sub(r"[^A-Za-z0-9_.+-]", "_", Path(path).stem)[:100].lstrip(".+-") or "darknet"
    last = len(reader.stages) - 1
    end = last if reader.outputs[-1] is None else reader.outputs[-1]
    taps = () if (ending and end == last) or reader.taps == [last] else tuple(reader.taps or [end])
    arch = Arch(name, (height, width), classes, (), tuple(reader.stages), head,
                channels=_checked(net, "channels", 3, "channels"), taps=taps)
    try:
        expand(arch)
    except InputError as error:
        raise _located(error, reader.sections, net) from None
    return arch


def _located(error: InputError, sections: list[Section], net: Section) -> InputError:
    stage = re.search(r"stages\[(\d+)\]", f"{error.place} {error.message}")
    return (sections[int(stage[1])] if stage else net).fault(error.message.split(": ", 1)[-1])


def convolutions(arch: Arch) -> Iterator[str]:
    """Paths of the blocks with weights in the order of a Darknet file: a detector's convolution follows the stage it
    looks at."""
    predictors = {tap: f"head.predict.{i}"
                  for i, tap in enumerate(arch.sources[-1])} if arch.head.kind == "yolo" else {}
    for i, stage in enumerate(arch.stages):
        yield from (f"stages.{i}.{j}" for j in range(stage.depth))
        if i in predictors:
            yield predictors[i]
    if not predictors:
        yield "head"
