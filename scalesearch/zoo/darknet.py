"""Darknet's .cfg files as architectures: the layers one by one. How a network ends is in `darknet_ends.py`, what the
keys mean in `darknet_keys.py`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from scalesearch.arch import Arch, Stage, block, conv, expand
from scalesearch.errors import InputError, nearest, unknown
from scalesearch.signature import fields_of
from scalesearch.space import settings_keys
from scalesearch.zoo.darknet_ends import DETECTORS, check_values, detector, ending, is_plain, with_open_end
from scalesearch.zoo.darknet_keys import HONOURED, REFUSED_SECTIONS, check_keys
from scalesearch.zoo.sections import Section, read_sections

ACTIVATIONS = {
    "linear": None,
    "leaky": "leaky_relu",
    "revleaky": "leaky_relu",
    "relu": "relu",
    "mish": "mish",
    "swish": "silu",
    "silu": "silu",
    "logistic": "sigmoid",
    "relu6": "relu6",
    "elu": "elu",
    "selu": "selu",
    "tanh": "tanh",
    "gelu": "gelu_tanh",
    "hardtan": "hardtanh",
    "h_swish": "hswish",
    "hard_swish": "hswish",
    "h_sigmoid": "hsigmoid",
}
SETTINGS = fields_of(settings_keys)
STRIDE = fields_of(conv)["stride"]
LEFT_OUT = ("cost", "softmax", "logistic")  # after the last layer: what is trained by, and what makes shares of logits


@dataclass
class _Reader:
    """The network read so far; `outputs[i]` is the stage whose output the file's layer i has, -1 the image."""

    predicts: bool  # whether the convolutions before detectors are in the head
    stages: list[Stage] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)  # of every stage
    outputs: list[int | None] = field(default_factory=list)
    taps: list[int] = field(default_factory=list)
    detectors: list[Section] = field(default_factory=list)

    def add(
        self, section: Section, kind: str, inputs: tuple[int, ...] | None = None, stride: int = 1, **args: Any
    ) -> int:
        inputs = (self.before(section),) if inputs is None else inputs
        if len(inputs) > 1 and -1 in inputs:
            raise section.fault("takes the image itself beside another layer, which no network here does")
        if inputs == (-1,) and self.stages:
            raise section.fault("takes the image itself, which the first layer alone does here")
        try:
            stage = Stage(
                block(kind, **args), 1, stride, () if inputs == (-1,) or inputs == (len(self.stages) - 1,) else inputs
            )
        except InputError as error:
            said = {"kernel": "size", "width": "output" if kind == "connected" else "filters", "factor": "stride"}
            raise section.fault(error.message, said.get(error.place, "")) from None
        self.stages.append(stage)
        self.sections.append(section)
        return len(self.stages) - 1

    def before(self, section: Section) -> int:
        """The stage before this layer."""
        before = self.outputs[-1] if self.outputs else -1
        if before is None:
            raise section.fault(
                "follows a detection layer, whose output nothing takes; a [route] goes back to another layer"
            )
        return before

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

    def referred(self, section: Section, key: str) -> tuple[int, ...]:
        numbers = section.numbers(key)
        if not numbers:
            raise section.fault(f"needs {key}=, the layers it takes", key)
        return tuple(self.refer(section, key, number) for number in numbers)

    def read(self, section: Section, following: Section | None) -> None:
        if section.name in REFUSED_SECTIONS:
            raise section.fault(REFUSED_SECTIONS[section.name])
        if section.name in (*LEFT_OUT, "detection"):
            raise section.fault("stands only at the end of a network")
        reader: Callable | None = getattr(self, f"_{section.name}", None) if section.name in HONOURED else None
        if reader is None:
            known = [name for name in HONOURED if name != "net"]
            raise section.fault(f"unknown section; takes {', '.join(known)}.{nearest(section.name, known)}")
        check_keys(section)
        if following is not None and following.name in DETECTORS and section.name == "convolutional":
            check_values(section, following)
            if self.predicts:
                self.taps.append(self.before(section))
                self.outputs.append(None)
                return
        reader(section)

    def one(self, section: Section, kind: str, **args: Any) -> None:
        self.outputs.append(self.add(section, kind, **args))

    def _convolutional(self, section: Section) -> None:
        if "filters" not in section.keys:
            raise section.fault("needs filters=, the width")
        size, dilation = section.number("size", 1), section.number("dilation", 1)
        dilation = dilation if size > 1 else 1
        padding = size // 2 if section.number("pad", 0) else section.number("padding", 0)
        if dilation > 1 and 2 * padding != size - 1:
            raise section.fault(
                "with a dilation takes pad=1 and an odd size; Darknet's own arithmetic fails otherwise", "dilation"
            )
        given: dict[str, Any] = {} if 2 * padding == size - 1 else {"padding": padding}
        down, across = (section.number(key, 0) or _stride(section) for key in ("stride_y", "stride_x"))
        given |= {"strides": (down, across)} if down != across else {}
        self.one(
            section,
            "conv",
            stride=down if down == across else 1,
            width=section.number("filters", 1),
            kernel=size,
            groups=section.number("groups", 1),
            dilation=dilation,
            norm=bool(section.number("batch_normalize", 0)),
            act=activation(section, "logistic"),
            **given,
        )

    def _connected(self, section: Section) -> None:
        self.one(
            section,
            "connected",
            width=section.number("output", 1),
            act=activation(section, "logistic"),
            norm=bool(section.number("batch_normalize", 0)),
        )

    def _local(self, section: Section) -> None:
        size, pad = section.number("size", 1), section.number("pad", 0)
        if pad not in (0, 1) or (pad and size != 3):
            raise section.fault("takes 0, or 1 with size=3; Darknet's own arithmetic fails otherwise", "pad")
        self.one(
            section,
            "local",
            stride=_stride(section),
            width=section.number("filters", 1),
            kernel=size,
            padding=pad,
            act=activation(section, "logistic"),
        )

    def _yolo(self, section: Section) -> None:
        if not self.predicts:
            self.taps.append(self.before(section))
        if len(self.detectors) + 1 != len(self.taps):
            raise section.fault("needs a [convolutional] right before it")
        self.detectors.append(section)
        self.outputs.append(None)

    _region = _gaussian_yolo = _yolo

    def _shortcut(self, section: Section) -> None:
        inputs = (self.before(section), *self.referred(section, "from"))
        act = activation(section, "linear")
        self.one(section, "shortcut", inputs=inputs, **({"act": act} if act else {}))

    def _scale_channels(self, section: Section) -> None:
        others = self.referred(section, "from")
        act = activation(section, "linear")
        self.one(section, "product", inputs=(*others, self.before(section)), **({"act": act} if act else {}))

    _sam = _scale_channels

    def _route(self, section: Section) -> None:
        inputs = self.referred(section, "layers")
        if (groups := section.number("groups", 1)) > 1:
            part = {"groups": groups, "group": section.number("group_id", 0)}
            inputs = tuple(self.add(section, "channels", inputs=(i,), **part) for i in inputs)
        self.outputs.append(self.add(section, "concat", inputs=inputs) if len(inputs) > 1 else inputs[0])

    def _upsample(self, section: Section) -> None:
        self.one(section, "upsample", factor=section.number("stride", 2))

    def _maxpool(self, section: Section) -> None:
        self._pool(section, "max_pool", {})

    def _local_avgpool(self, section: Section) -> None:
        self._pool(section, "avg_pool", {"count_pad": False})

    def _pool(self, section: Section, kind: str, given: dict[str, Any]) -> None:
        """Darknet pads by `padding` in all, the smaller half first, and drops what overhangs."""
        size = section.number("size", _stride(section))
        padding = section.number("padding", size - 1)
        if padding == size - 1:
            given |= {"padding": "same"} if size % 2 == 0 else {}
        elif padding % 2 == 0 or padding < size:
            given |= {"padding": padding // 2, "ceil": padding % 2 == 1}
        else:
            raise section.fault(f"an uneven padding takes one below the size, {size}", "padding")
        self.one(section, kind, stride=_stride(section), kernel=size, **given)

    def _avgpool(self, section: Section) -> None:
        self.one(section, "global_pool")

    def _batchnorm(self, section: Section) -> None:
        self.one(section, "norm")

    def _activation(self, section: Section) -> None:
        act = activation(section, "linear")
        self.outputs.append(self.add(section, "activation", act=act) if act else self.before(section))

    def _dropout(self, section: Section) -> None:
        share = section.decimals("probability", "0.5")
        if len(share) != 1 or not 0 <= share[0] < 1:
            raise section.fault("takes a share from 0 to below 1", "probability")
        self.one(section, "dropout", dropout=float(share[0]))

    def _empty(self, section: Section) -> None:
        self.outputs.append(self.before(section))

    def _crop(self, section: Section) -> None:
        self.one(
            section,
            "crop",
            height=section.number("crop_height", 1),
            width=section.number("crop_width", 1),
            centred=not section.number("noadjust", 0),
        )

    def _reorg(self, section: Section) -> None:
        self.one(section, "reorg", stride=section.number("stride", 1))

    def _reorg3d(self, section: Section) -> None:
        self.one(section, "space_to_depth", stride=section.number("stride", 1))


def _stride(section: Section) -> int:
    return checked(section, "stride", 1, "stride")


def checked(section: Section, key: str, default: int, field_name: str) -> int:
    """A number under the rule that an architecture's own field has."""
    rule = {"stride": STRIDE, **SETTINGS}[field_name]
    try:
        return rule.check(section.number(key, default))
    except InputError as error:
        raise section.fault(error.message, key) from None


def activation(section: Section, default: str) -> str | None:
    name = section.text("activation", default)
    if name not in ACTIVATIONS:
        raise section.fault(unknown("activation", name, ACTIVATIONS), "activation")
    return ACTIVATIONS[name]


def arch_from_cfg(path: str | Path) -> Arch:
    """The network of a Darknet .cfg file, at the file's own height and width.

    What comes out are a classifier's logits, a detector's maps before they are decoded, or the last map. Plain
    convolutions before [yolo] are in the head. Raises `InputError` with file and line: unknown sections, keys that
    change the network and are not supported, references to layers that aren't there, shapes that don't meet.
    """
    net, *sections = read_sections(Path(path))
    check_keys(net)
    height, width = (checked(net, key, 416, "resolution") for key in ("height", "width"))
    body, shared = list(sections), False
    while body and body[-1].name in LEFT_OUT:
        shared = body.pop().name != "cost" or shared
    if not body:
        raise net.fault("has no layers after it")
    body, last = ending(body)
    if not body:
        raise net.fault("has no layers before its head")
    before = [(s, f) for s, f in pairwise(body) if f.name in DETECTORS]
    reader = _Reader(
        predicts=bool(before)
        and all(is_plain(s) for s, _ in before)
        and len({s.text("activation", "logistic") for s, _ in before}) == 1
    )
    for section, following in zip(body, [*body[1:], None]):
        reader.read(section, following)
    if not reader.stages:
        raise net.fault("has no layers before its head")
    name = re.sub(r"[^A-Za-z0-9_.+-]", "_", Path(path).stem)[:100].lstrip(".+-") or "darknet"
    end = next((stage for stage in reversed(reader.outputs) if stage is not None), -1)
    taps: tuple[int, ...] = ()
    if reader.detectors:
        act = activation(before[0][0], "logistic") if reader.predicts else None
        head, classes = detector(reader.detectors, reader.predicts, act)
        taps = () if reader.taps == [len(reader.stages) - 1] else tuple(reader.taps)
    else:
        head, classes = last or (block("maps", "head"), 1)
        taps = () if end == len(reader.stages) - 1 else (end,)
    channels = checked(net, "channels", 3, "channels")
    arch = Arch(name, (height, width), classes, (), tuple(reader.stages), head, channels=channels, taps=taps)
    try:
        graph = expand(arch)
        return arch if last or reader.detectors else with_open_end(graph, shared)
    except InputError as error:
        raise _located(error, reader.sections, [*reader.detectors, *sections[-1:]], net) from None


def _located(error: InputError, sections: list[Section], ends: list[Section], net: Section) -> InputError:
    said = f"{error.place} {error.message}"
    stage = re.search(r"stages\[(\d+)\]", said)
    at = sections[int(stage[1])] if stage else ends[0] if "head" in said else net
    return at.fault(error.message.split(": ", 1)[-1])


def convolutions(arch: Arch) -> Iterator[tuple[str, str]]:
    """Paths and kinds of the blocks with weights in the order of a Darknet file: a detector's convolution follows the
    stage it looks at."""
    predictors = (
        {tap: f"head.predict.{i}" for i, tap in enumerate(arch.sources[-1])} if arch.head.kind == "yolo" else {}
    )
    for i, stage in enumerate(arch.stages):
        yield from ((f"stages.{i}.{j}", stage.block.kind) for j in range(stage.depth))
        if i in predictors:
            yield predictors[i], "conv"
    if not predictors:
        yield "head", "conv"
