"""Tables of Ultralytics' names for the tensors of YOLOv8 (Ultralytics 8.4)."""

from __future__ import annotations

from scalesearch.arch import Graph
from scalesearch.weights.naming import TENSOR_NAMES, Pairs, placed_blocks, prefixed

TABLES = TENSOR_NAMES["ultralytics"]


def yolov8(graph: Graph) -> Pairs:
    """Yields the pairs of YOLOv8, whose stages have the same numbers in both libraries and whose head is last."""
    head = f"model.{len(graph.stages)}"
    for b in placed_blocks(graph):
        yield from prefixed(b.path, f"model.{b.stage}", TABLES["block"])
        for n in range(sum(layer.name.endswith("conv2.conv") for layer in b.graph.layers)):
            yield from prefixed(f"{b.path}.bottlenecks.{n}", f"model.{b.stage}.m.{n}", TABLES["bottleneck"])
    for branch, theirs in (("box", "cv2"), ("score", "cv3")):
        for i in range(len(graph.head.in_shapes)):
            yield from prefixed(f"head.{branch}.{i}", f"{head}.{theirs}.{i}", TABLES["branch"])
    yield from prefixed("head", head, TABLES["head"])


FAMILIES = {"yolov8": yolov8}
