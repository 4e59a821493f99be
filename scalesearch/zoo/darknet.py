"""Reads Darknet's .cfg files as architectures, layer by layer.

How a network ends is read in `darknet_ends.py`; what the keys mean is in `darknet_keys.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from scalesearch.arch import Arch, Stage, block, conv, expand
from scalesearch.errors import InputError, suggestion, unknown_message
from scalesearch.plain_data import PlainDict
from scalesearch.signature import fields_of
from scalesearch.space import settings_keys
from scalesearch.zoo.darknet_ends import DETECTORS, check_values, detection_head, is_plain, split_head, with_map_head
from scalesearch.zoo.darknet_keys import ACTIVATIONS, HONOURED, REFUSED_SECTIONS, check_keys
from scalesearch.zoo.sections import Section, read_sections

SETTINGS = fields_of(settings_keys)
STRIDE = fields_of(conv)["stride"]
# May follow the last layer: the loss, and what turns logits into probabilities.
TRAILING_SECTIONS = ("cost", "softmax", "logistic")


@dataclass
class _Reader:
    """Holds the network read so far.

    `outputs[i]` is the number of the stage whose output layer i of the file has: -1 is the image, None a
    detection layer, which has none.
    """

    predicts: bool  # whether the convolutions before detectors are in the head
    stages: list[Stage] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)  # of every stage
    outputs: list[int | None] = field(default_factory=list)
    taps: list[int] = field(default_factory=list)
    detectors: list[Section] = field(default_factory=list)

    def add(
        self, section: Section, kind: str, inputs: tuple[int, ...] | None = None, stride: int = 1, **args: Any
    ) -> int:
        inputs = (self.previous_stage(section),) if inputs is None else inputs
        if len(inputs) > 1 and -1 in inputs:
            raise section.fault("takes the image itself beside another layer, which is not supported")
        if inputs == (-1,) and self.stages:
            raise section.fault("takes the image itself, which only the first layer can do here")
        try:
            stage = Stage(
                block(kind, **args), 1, stride, () if inputs == (-1,) or inputs == (len(self.stages) - 1,) else inputs
            )
        except InputError as error:
            keys = {"kernel": "size", "width": "output" if kind == "connected" else "filters", "factor": "stride"}
            raise section.fault(error.message, keys.get(error.place, "")) from None
        self.stages.append(stage)
        self.sections.append(section)
        return len(self.stages) - 1

    def previous_stage(self, section: Section) -> int:
        """Returns the number of the stage whose output this layer takes by default: the previous layer's."""
        stage = self.outputs[-1] if self.outputs else -1
        if stage is None:
            raise section.fault(
                "follows a detection layer, whose output nothing takes; a [route] goes back to another layer"
            )
        return stage

    def resolve(self, section: Section, key: str, number: int) -> int:
        """Returns the number of the stage that a reference to a layer means.

        A `number` from 0 up counts from the first layer, one below 0 counts back from this layer.
        """
        position = len(self.outputs)
        target = number + position if number < 0 else number
        if not 0 <= target < position:
            layers = f"0 to {position - 1} or -1 to -{position}" if position else "no layer before it"
            raise section.fault(f"refers to layer {number}; there are {layers}", key)
        stage = self.outputs[target]
        if stage is None:
            raise section.fault(f"refers to layer {number}, which is a detection layer", key)
        return stage

    def resolve_all(self, section: Section, key: str) -> tuple[int, ...]:
        numbers = section.numbers(key)
        if not numbers:
            raise section.fault(f"needs {key}=, the layers it takes", key)
        return tuple(self.resolve(section, key, number) for number in numbers)

    def read(self, section: Section, following: Section | None) -> None:
        if section.name in REFUSED_SECTIONS:
            raise section.fault(REFUSED_SECTIONS[section.name])
        if section.name in (*TRAILING_SECTIONS, "detection"):
            raise section.fault("stands only at the end of a network")
        reader: Callable[[Section], None] | None = (
            getattr(self, f"_{section.name}", None) if section.name in HONOURED else None
        )
        if reader is None:
            supported = [name for name in HONOURED if name != "net"]
            raise section.fault(f"unknown section; takes {', '.join(supported)}.{suggestion(section.name, supported)}")
        check_keys(section)
        if following is not None and following.name in DETECTORS and section.name == "convolutional":
            check_values(section, following)
            if self.predicts:
                self.taps.append(self.previous_stage(section))
                self.outputs.append(None)
                return
        reader(section)

    def append_stage(self, section: Section, kind: str, **args: Any) -> None:
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
        extra: PlainDict = {} if 2 * padding == size - 1 else {"padding": padding}
        down, across = (section.number(key, 0) or _stride(section) for key in ("stride_y", "stride_x"))
        extra |= {"strides": (down, across)} if down != across else {}
        self.append_stage(
            section,
            "conv",
            stride=down if down == across else 1,
            width=section.number("filters", 1),
            kernel=size,
            groups=section.number("groups", 1),
            dilation=dilation,
            norm=bool(section.number("batch_normalize", 0)),
            act=activation(section, "logistic"),
            **extra,
        )

    def _connected(self, section: Section) -> None:
        self.append_stage(
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
        self.append_stage(
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
            self.taps.append(self.previous_stage(section))
        if len(self.detectors) + 1 != len(self.taps):
            raise section.fault("needs a [convolutional] right before it")
        self.detectors.append(section)
        self.outputs.append(None)

    _region = _gaussian_yolo = _yolo

    def _shortcut(self, section: Section) -> None:
        inputs = (self.previous_stage(section), *self.resolve_all(section, "from"))
        act = activation(section, "linear")
        self.append_stage(section, "shortcut", inputs=inputs, **({"act": act} if act else {}))

    def _scale_channels(self, section: Section) -> None:
        sources = self.resolve_all(section, "from")
        act = activation(section, "linear")
        self.append_stage(
            section, "product", inputs=(*sources, self.previous_stage(section)), **({"act": act} if act else {})
        )

    _sam = _scale_channels

    def _route(self, section: Section) -> None:
        inputs = self.resolve_all(section, "layers")
        if (groups := section.number("groups", 1)) > 1:
            part = {"groups": groups, "group": section.number("group_id", 0)}
            inputs = tuple(self.add(section, "channels", inputs=(i,), **part) for i in inputs)
        self.outputs.append(self.add(section, "concat", inputs=inputs) if len(inputs) > 1 else inputs[0])

    def _upsample(self, section: Section) -> None:
        self.append_stage(section, "upsample", factor=section.number("stride", 2))

    def _maxpool(self, section: Section) -> None:
        self._pool(section, "max_pool", {})

    def _local_avgpool(self, section: Section) -> None:
        self._pool(section, "avg_pool", {"count_pad": False})

    def _pool(self, section: Section, kind: str, arguments: PlainDict) -> None:
        """Adds a pool; Darknet pads by `padding` in total, the smaller half first, and drops incomplete windows."""
        size = section.number("size", _stride(section))
        padding = section.number("padding", size - 1)
        if padding == size - 1:
            arguments |= {"padding": "same"} if size % 2 == 0 else {}
        elif padding % 2 == 0 or padding < size:
            arguments |= {"padding": padding // 2, "ceil": padding % 2 == 1}
        else:
            raise section.fault(f"an uneven padding takes one below the size, {size}", "padding")
        self.append_stage(section, kind, stride=_stride(section), kernel=size, **arguments)

    def _avgpool(self, section: Section) -> None:
        self.append_stage(section, "global_pool")

    def _batchnorm(self, section: Section) -> None:
        self.append_stage(section, "norm")

    def _activation(self, section: Section) -> None:
        act = activation(section, "linear")
        self.outputs.append(self.add(section, "activation", act=act) if act else self.previous_stage(section))

    def _dropout(self, section: Section) -> None:
        share = section.decimals("probability", "0.5")
        if len(share) != 1 or not 0 <= share[0] < 1:
            raise section.fault("takes a share from 0 to below 1", "probability")
        self.append_stage(section, "dropout", dropout=float(share[0]))

    def _empty(self, section: Section) -> None:
        self.outputs.append(self.previous_stage(section))

    def _crop(self, section: Section) -> None:
        self.append_stage(
            section,
            "crop",
            height=section.number("crop_height", 1),
            width=section.number("crop_width", 1),
            centred=not section.number("noadjust", 0),
        )

    def _reorg(self, section: Section) -> None:
        self.append_stage(section, "reorg", stride=section.number("stride", 1))

    def _reorg3d(self, section: Section) -> None:
        self.append_stage(section, "space_to_depth", stride=section.number("stride", 1))


def _stride(section: Section) -> int:
    return checked_number(section, "stride", 1, "stride")


def checked_number(section: Section, key: str, default: int, field_name: str) -> int:
    """Returns the number at `key`, checked by the rule of the architecture's field `field_name`."""
    rule = {"stride": STRIDE, **SETTINGS}[field_name]
    try:
        return cast(int, rule.check(section.number(key, default)))
    except InputError as error:
        raise section.fault(error.message, key) from None


def activation(section: Section, default: str) -> str | None:
    """Returns the name of a section's activation here, None for a linear one.

    Raises:
        InputError: If there is no such activation.
    """
    name = section.text("activation", default)
    if name not in ACTIVATIONS:
        raise section.fault(unknown_message("activation", name, ACTIVATIONS), "activation")
    return ACTIVATIONS[name]


def arch_from_cfg(path: str | Path) -> Arch:
    """Returns the network of a Darknet .cfg file, at the file's own height and width.

    It outputs a classifier's logits, a detector's maps before decoding, or the last map. Plain convolutions
    before [yolo] become part of the head.

    Raises:
        InputError: With file and line, for unknown sections, for keys that change the network and are not
            supported, for references to layers that do not exist, and for shapes that do not fit together.
    """
    net, *sections = read_sections(Path(path))
    check_keys(net)
    height, width = (checked_number(net, key, 416, "resolution") for key in ("height", "width"))
    body, has_probabilities = list(sections), False
    while body and body[-1].name in TRAILING_SECTIONS:
        has_probabilities = body.pop().name != "cost" or has_probabilities
    if not body:
        raise net.fault("has no layers after it")
    body, head_and_classes = split_head(body)
    if not body:
        raise net.fault("has no layers before its head")
    predictions = [(s, f) for s, f in pairwise(body) if f.name in DETECTORS]
    reader = _Reader(
        predicts=bool(predictions)
        and all(is_plain(s) for s, _ in predictions)
        and len({s.text("activation", "logistic") for s, _ in predictions}) == 1
    )
    for section, following in zip(body, [*body[1:], None]):
        reader.read(section, following)
    if not reader.stages:
        raise net.fault("has no layers before its head")
    name = re.sub(r"[^A-Za-z0-9_.+-]", "_", Path(path).stem)[:100].lstrip(".+-") or "darknet"
    last_stage = next((stage for stage in reversed(reader.outputs) if stage is not None), -1)
    taps: tuple[int, ...] = ()
    if reader.detectors:
        act = activation(predictions[0][0], "logistic") if reader.predicts else None
        head, classes = detection_head(reader.detectors, reader.predicts, act)
        taps = () if reader.taps == [len(reader.stages) - 1] else tuple(reader.taps)
    else:
        head, classes = head_and_classes or (block("maps", "head"), 1)
        taps = () if last_stage == len(reader.stages) - 1 else (last_stage,)
    channels = checked_number(net, "channels", 3, "channels")
    arch = Arch(name, (height, width), classes, (), tuple(reader.stages), head, channels=channels, taps=taps)
    try:
        graph = expand(arch)
        return arch if head_and_classes or reader.detectors else with_map_head(graph, has_probabilities)
    except InputError as error:
        raise _located(error, reader.sections, [*reader.detectors, *sections[-1:]], net) from None


def _located(error: InputError, sections: list[Section], ends: list[Section], net: Section) -> InputError:
    text = f"{error.place} {error.message}"
    stage = re.search(r"stages\[(\d+)\]", text)
    section = sections[int(stage[1])] if stage else ends[0] if "head" in text else net
    return section.fault(error.message.split(": ", 1)[-1])


def blocks_in_file_order(arch: Arch) -> Iterator[tuple[str, str]]:
    """Yields path and kind of every block in the order in which a Darknet file of weights stores them.

    Blocks without weights are yielded too. A detector's prediction convolution follows the stage that it
    takes.
    """
    predictors = (
        {tap: f"head.predict.{i}" for i, tap in enumerate(arch.sources[-1])} if arch.head.kind == "yolo" else {}
    )
    for i, stage in enumerate(arch.stages):
        yield from ((f"stages.{i}.{j}", stage.block.kind) for j in range(stage.depth))
        if i in predictors:
            yield predictors[i], "conv"
    if not predictors:
        yield "head", "conv"
