"""YOLO: Darknet-53, YOLOv3 with its tiny and SPP variants, and YOLOv8.

Sources: Redmon & Farhadi 2018, table 1 and §2.3; Ultralytics 2023 (YOLOv8). Checked against the networks
of Darknet's .cfg files and against Ultralytics' YOLOv8. Detectors have COCO's 80 classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scalesearch.arch import Arch, Stage, block
from scalesearch.plain_data import PlainDict
from scalesearch.zoo.tables import TABLES

ANCHORS = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326))
TINY_ANCHORS = ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319))
#            width depth
DARKNET53 = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))


Scale = Callable[[int], int]  # of a width, or of repeats


class StageBuilder:
    """Builds a list of stages; every addition returns its number, by which later stages take its output."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []

    def add(self, kind: str, depth: int = 1, stride: int = 1, inputs: tuple[int, ...] = (), **args: Any) -> int:
        """Adds a stage and returns its number; without `inputs` it takes the stage before."""
        self.stages.append(
            Stage(block(kind, **args), depth, stride, () if inputs == (len(self.stages) - 1,) else inputs)
        )
        return len(self.stages) - 1

    def conv(
        self, width: int, kernel: int = 3, stride: int = 1, inputs: tuple[int, ...] = (), act: str = "leaky_relu"
    ) -> int:
        """Adds a convolution with norm and activation and returns its number."""
        return self.add("conv", 1, stride, inputs, width=width, kernel=kernel, act=act)


def _darknet53() -> tuple[StageBuilder, list[int]]:
    """Returns the backbone, and the numbers of the last stages at strides 2, 4, 8, 16 and 32."""
    builder, ends = StageBuilder(), []
    builder.conv(32)
    for width, depth in DARKNET53:
        builder.conv(width, stride=2)
        ends.append(builder.add("darknet", depth, width=width))
    return builder, ends


def darknet53(name: str) -> Arch:
    """Returns the classifier Darknet-53."""
    builder, _ = _darknet53()
    return Arch(name, 256, 1000, (), tuple(builder.stages), block("classifier", "head"))


def _yolo(
    name: str, builder: StageBuilder, taps: list[int], anchors: tuple[Any, ...], masks: tuple[tuple[int, ...], ...]
) -> Arch:
    head = block("yolo", "head", anchors=anchors, masks=masks)
    return Arch(name, 416, 80, (), tuple(builder.stages), head, taps=tuple(taps))


def yolov3(name: str) -> Arch:
    """Returns YOLOv3, with spatial pyramid pooling if `name` is `yolov3_spp`."""
    builder, ends = _darknet53()
    taps, branch = [], ends[-1]
    for width, skip in ((512, None), (256, ends[3]), (128, ends[2])):
        if skip is not None:
            builder.conv(width, 1, inputs=(branch,))
            builder.add("concat", inputs=(builder.add("upsample"), skip))
        builder.conv(width, 1)
        builder.conv(2 * width)
        narrow = builder.conv(width, 1)
        if name == "yolov3_spp" and skip is None:
            pools = [builder.add("max_pool", inputs=(narrow,), kernel=kernel) for kernel in (5, 9, 13)]
            builder.add("concat", inputs=(*reversed(pools), narrow))
            builder.conv(width, 1)
        builder.conv(2 * width)
        branch = builder.conv(width, 1)
        taps.append(builder.conv(2 * width))
    return _yolo(name, builder, taps, ANCHORS, ((6, 7, 8), (3, 4, 5), (0, 1, 2)))


def yolov3_tiny(name: str) -> Arch:
    """Returns YOLOv3-tiny."""
    builder = StageBuilder()
    for width in (16, 32, 64, 128, 256):
        skip = builder.conv(width)
        builder.add("max_pool", 1, 2, kernel=2, padding="same")
    builder.conv(512)
    builder.add("max_pool", kernel=2, padding="same")
    builder.conv(1024)
    branch = builder.conv(256, 1)
    taps = [builder.conv(512)]
    builder.conv(128, 1, inputs=(branch,))
    builder.add("concat", inputs=(builder.add("upsample"), skip))
    taps.append(builder.conv(256))
    return _yolo(name, builder, taps, TINY_ANCHORS, ((3, 4, 5), (0, 1, 2)))


YOLOV8: dict[str, tuple[float, float, int]] = {size: tuple(row) for size, row in TABLES["yolov8"].items()}
YOLOV8_CLS = YOLOV8 | {"m": (0.67, 0.75, 1024), "l": (1.00, 1.00, 1024), "x": (1.00, 1.25, 1024)}
#           width repeats
BACKBONE = ((128, 3), (256, 6), (512, 6), (1024, 3))
V8_NORM: PlainDict = {"norm_eps": 1e-3, "norm_momentum": 0.03}


def _scalings(size: tuple[float, float, int]) -> tuple[Scale, Scale]:
    """Returns two functions, which scale a width and a number of repeats for a row of `YOLOV8`.

    Widths are cut at the maximum, multiplied, and rounded up to multiples of 8; repeats are at least one.
    """
    depth, width, max_width = size
    return lambda w: -(-int(min(w, max_width) * width) // 8) * 8, lambda n: max(1, round(n * depth))


def _yolov8_backbone(scale_width: Scale, scale_repeats: Scale) -> tuple[StageBuilder, list[int]]:
    builder, ends = StageBuilder(), []
    builder.conv(scale_width(64), stride=2, act="silu")
    for width, repeats in BACKBONE:
        builder.conv(scale_width(width), stride=2, act="silu")
        ends.append(builder.add("c2f", width=scale_width(width), repeats=scale_repeats(repeats)))
    return builder, ends


def yolov8(name: str) -> Arch:
    """Returns the YOLOv8 detector called `name`, `yolov8` and a key of `YOLOV8`."""
    scale_width, scale_repeats = _scalings(YOLOV8[name.removeprefix("yolov8")])
    builder, (_, p3, p4, _) = _yolov8_backbone(scale_width, scale_repeats)

    def c2f(width: int) -> int:
        return builder.add("c2f", width=scale_width(width), repeats=scale_repeats(3), skip=False)

    p5 = builder.add("sppf", width=scale_width(1024))
    builder.add("concat", inputs=(builder.add("upsample"), p4))
    n4 = c2f(512)
    builder.add("concat", inputs=(builder.add("upsample"), p3))
    taps = [c2f(256)]
    for width, skip in ((256, n4), (512, p5)):
        builder.add("concat", inputs=(builder.conv(scale_width(width), stride=2, act="silu"), skip))
        taps.append(c2f(2 * width))
    return Arch(name, 640, 80, (), tuple(builder.stages), block("yolov8", "head"), taps=tuple(taps), **V8_NORM)


def yolov8_cls(name: str) -> Arch:
    """Returns the YOLOv8 classifier called `name`, such as `yolov8n_cls`."""
    scale_width, scale_repeats = _scalings(YOLOV8_CLS[name.removeprefix("yolov8").removesuffix("_cls")])
    builder, _ = _yolov8_backbone(scale_width, scale_repeats)
    return Arch(name, 224, 1000, (), tuple(builder.stages), block("classifier", "head", width=1280))


# The classifiers that detectors stand on.
BACKBONES = dict.fromkeys(("yolov3", "yolov3_spp"), "darknet53") | {
    f"yolov8{size}": f"yolov8{size}_cls" for size in YOLOV8
}
MODELS = {
    "darknet53": darknet53,
    "yolov3": yolov3,
    "yolov3_tiny": yolov3_tiny,
    "yolov3_spp": yolov3,
    **{f"yolov8{size}": yolov8 for size in YOLOV8},
    **{f"yolov8{size}_cls": yolov8_cls for size in YOLOV8},
}
