"""Tables of Ultralytics' names for the tensors of YOLOv8 (Ultralytics 8.4)."""

from __future__ import annotations

from scalesearch.arch import Graph
from scalesearch.weights.naming import CONV_BN, Pairs, placed_blocks, prefixed


def yolov8(graph: Graph) -> Pairs:
    """Yields the pairs of YOLOv8, whose stages have the same numbers in both libraries and whose head is last."""
    head = f"model.{len(graph.stages)}"
    for b in placed_blocks(graph):
        theirs = f"model.{b.stage}"
        yield from prefixed(b.path, theirs, CONV_BN)
        names = {"split_conv": "cv1", "reduce": "cv1", "join": "cv2"}
        for ours, other in names.items():
            yield from prefixed(f"{b.path}.{ours}", f"{theirs}.{other}", CONV_BN)
        for n in range(sum(layer.name.endswith("conv2.conv") for layer in b.graph.layers)):
            for ours, other in (("conv1", "cv1"), ("conv2", "cv2")):
                yield from prefixed(f"{b.path}.bottlenecks.{n}.{ours}", f"{theirs}.m.{n}.{other}", CONV_BN)
    for branch, other in (("box", "cv2"), ("score", "cv3")):
        for i in range(len(graph.head.in_shapes)):
            for n, ours in enumerate(("conv1", "conv2")):
                yield from prefixed(f"head.{branch}.{i}.{ours}", f"{head}.{other}.{i}.{n}", CONV_BN)
            yield f"head.{branch}.{i}.predict", f"{head}.{other}.{i}.2"
    yield "head.dfl", f"{head}.dfl.conv"
    yield from prefixed("head", f"{head}.conv", CONV_BN)
    yield "head.linear", f"{head}.linear"


FAMILIES = {"yolov8": yolov8}
