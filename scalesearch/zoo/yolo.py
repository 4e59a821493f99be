"""YOLO: Darknet-53 and YOLOv3 (Redmon & Farhadi 2018, table 1 and §2.3), its tiny and SPP variants; YOLOv8 (Ultralytics
2023).

Held against the networks of Darknet's .cfg files and against Ultralytics' YOLOv8. Classes are COCO's 80 for detection.
"""

from __future__ import annotations

from typing import Any

from scalesearch.arch import Arch, Stage, block

ANCHORS = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326))
TINY_ANCHORS = ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319))
#            width depth
DARKNET53 = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))


class Rows:
    """Stages one after another; every addition returns its number, by which later stages take its output."""

    def __init__(self):
        self.stages: list[Stage] = []

    def add(self, kind: str, depth: int = 1, stride: int = 1, inputs: tuple[int, ...] = (), **args: Any) -> int:
        self.stages.append(
            Stage(block(kind, **args), depth, stride, () if inputs == (len(self.stages) - 1,) else inputs)
        )
        return len(self.stages) - 1

    def conv(
        self, width: int, kernel: int = 3, stride: int = 1, inputs: tuple[int, ...] = (), act: str = "leaky_relu"
    ) -> int:
        return self.add("conv", 1, stride, inputs, width=width, kernel=kernel, act=act)


def _darknet53() -> tuple[Rows, list[int]]:
    """The backbone, and the numbers of its stages' ends."""
    rows, ends = Rows(), []
    rows.conv(32)
    for width, depth in DARKNET53:
        rows.conv(width, stride=2)
        ends.append(rows.add("darknet", depth, width=width))
    return rows, ends


def darknet53(name: str) -> Arch:
    rows, _ = _darknet53()
    return Arch(name, 256, 1000, (), tuple(rows.stages), block("classifier", "head"))


def _yolo(name: str, rows: Rows, taps: list[int], anchors: tuple, masks: tuple) -> Arch:
    head = block("yolo", "head", anchors=anchors, masks=masks)
    return Arch(name, 416, 80, (), tuple(rows.stages), head, taps=tuple(taps))


def yolov3(name: str) -> Arch:
    rows, ends = _darknet53()
    taps, branch = [], ends[-1]
    for width, skip in ((512, None), (256, ends[3]), (128, ends[2])):
        if skip is not None:
            rows.conv(width, 1, inputs=(branch,))
            rows.add("concat", inputs=(rows.add("upsample"), skip))
        rows.conv(width, 1)
        rows.conv(2 * width)
        narrow = rows.conv(width, 1)
        if name == "yolov3_spp" and skip is None:
            pools = [rows.add("max_pool", inputs=(narrow,), kernel=kernel) for kernel in (5, 9, 13)]
            rows.add("concat", inputs=(*reversed(pools), narrow))
            rows.conv(width, 1)
        rows.conv(2 * width)
        branch = rows.conv(width, 1)
        taps.append(rows.conv(2 * width))
    return _yolo(name, rows, taps, ANCHORS, ((6, 7, 8), (3, 4, 5), (0, 1, 2)))


def yolov3_tiny(name: str) -> Arch:
    rows = Rows()
    for width in (16, 32, 64, 128, 256):
        skip = rows.conv(width)
        rows.add("max_pool", 1, 2, kernel=2, padding="same")
    rows.conv(512)
    rows.add("max_pool", kernel=2, padding="same")
    rows.conv(1024)
    branch = rows.conv(256, 1)
    taps = [rows.conv(512)]
    rows.conv(128, 1, inputs=(branch,))
    rows.add("concat", inputs=(rows.add("upsample"), skip))
    taps.append(rows.conv(256))
    return _yolo(name, rows, taps, TINY_ANCHORS, ((3, 4, 5), (0, 1, 2)))


#         depth, width multiple, maximum of channels
YOLOV8 = {
    "n": (0.33, 0.25, 1024),
    "s": (0.33, 0.50, 1024),
    "m": (0.67, 0.75, 768),
    "l": (1.00, 1.00, 512),
    "x": (1.00, 1.25, 512),
}
YOLOV8_CLS = YOLOV8 | {"m": (0.67, 0.75, 1024), "l": (1.00, 1.00, 1024), "x": (1.00, 1.25, 1024)}
#           width repeats
BACKBONE = ((128, 3), (256, 6), (512, 6), (1024, 3))
V8_NORM: dict[str, Any] = {"norm_eps": 1e-3, "norm_momentum": 0.03}


def _multiples(size: tuple[float, float, int]) -> tuple:
    """Width and repeats by the multiples: whole multiples of 8 rounded up after the maximum, at least one repeat."""
    depth, width, most = size
    return lambda w: -(-int(min(w, most) * width) // 8) * 8, lambda n: max(1, round(n * depth))


def _yolov8_backbone(wide, deep) -> tuple[Rows, list[int]]:
    rows, ends = Rows(), []
    rows.conv(wide(64), stride=2, act="silu")
    for width, repeats in BACKBONE:
        rows.conv(wide(width), stride=2, act="silu")
        ends.append(rows.add("c2f", width=wide(width), repeats=deep(repeats)))
    return rows, ends


def yolov8(name: str) -> Arch:
    wide, deep = _multiples(YOLOV8[name.removeprefix("yolov8")])
    rows, (_, p3, p4, _) = _yolov8_backbone(wide, deep)

    def c2f(width):
        return rows.add("c2f", width=wide(width), repeats=deep(3), skip=False)

    p5 = rows.add("sppf", width=wide(1024))
    rows.add("concat", inputs=(rows.add("upsample"), p4))
    n4 = c2f(512)
    rows.add("concat", inputs=(rows.add("upsample"), p3))
    taps = [c2f(256)]
    for width, skip in ((256, n4), (512, p5)):
        rows.add("concat", inputs=(rows.conv(wide(width), stride=2, act="silu"), skip))
        taps.append(c2f(2 * width))
    return Arch(name, 640, 80, (), tuple(rows.stages), block("yolov8", "head"), taps=tuple(taps), **V8_NORM)


def yolov8_cls(name: str) -> Arch:
    wide, deep = _multiples(YOLOV8_CLS[name.removeprefix("yolov8").removesuffix("_cls")])
    rows, _ = _yolov8_backbone(wide, deep)
    return Arch(name, 224, 1000, (), tuple(rows.stages), block("classifier", "head", width=1280))


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
