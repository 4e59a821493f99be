"""Peak activation memory computed from the graph alone: torch's eager execution simulated tensor by tensor, in
float32.

Counted are the tensors that a forward pass (and backward pass) allocates, parameter gradients included; not
the weights, the input, nor the workspace of a kernel. Views cost nothing, and inference frees a tensor after
its last use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from scalesearch.arch import Arch, BlockGraph, Graph, Layer, Shape, expand, operators as ops
from scalesearch.counting.operators import layer_cost

FLOAT_BYTES, INDEX_BYTES = 4, 8
VIEWS = (ops.Permute, ops.Split, ops.Item, ops.Unflatten, ops.Spread)
KEEPS_ORDER = (
    ops.Unflatten,
    ops.Spread,
    ops.Act,
    ops.Add,
    ops.Mul,
    ops.Scale,
    ops.Offset,
    ops.LayerScale,
    ops.Dropout,
    ops.DropPath,
    ops.Split,
)
COPIES = ("relu6",)  # in place it keeps a copy of its input for the backward pass
SAVES_OUTPUT = {"relu", "sigmoid", "tanh"}


class _Step(NamedTuple):
    """Describes one layer over storages: storage 0 is the network's input; a view shares the storage of its base."""

    op: Any
    inputs: tuple[int, ...]
    output: int
    size: int  # bytes of the output
    scratch: int = 0  # bytes that live during the forward call alone
    params: int = 0  # bytes
    kept_alive: tuple[int, ...] = ()  # storages that the caller holds meanwhile

    @property
    def storages(self) -> set[int]:
        return {*self.inputs, self.output, *self.kept_alive}


class _Pad(NamedTuple):
    """The copy of a map that TensorFlow's "same" padding makes where it pads at all."""


class _Live:
    """Tracks the bytes alive, their peak, and the number of holders of each storage."""

    def __init__(self) -> None:
        self.bytes = self.peak = 0
        self.holders: Counter[object] = Counter()
        self.sizes: dict[object, int] = {}

    def hold(self, key: object, size: int = 0, scratch: int = 0) -> None:
        if key not in self.sizes:
            self.sizes[key] = size
            self.bytes += size
            self.peak = max(self.peak, self.bytes + scratch)
        self.holders[key] += 1

    def release(self, key: object) -> None:
        self.holders[key] -= 1
        if self.holders[key] == 0:
            self.bytes -= self.sizes.pop(key)


def _is_view(op: object, training: bool, rate: float, contiguous: bool) -> bool:
    return (
        isinstance(op, VIEWS)
        or (isinstance(op, ops.Flatten) and contiguous)
        or (isinstance(op, ops.Dropout) and not training)
        or (isinstance(op, ops.DropPath) and not (training and rate))
    )


def _padded_elements(op: Any, shape: Shape) -> int:
    """Returns the elements of the padded copy that TensorFlow's "same" padding makes; 0 where it pads nothing."""
    if getattr(op, "padding", None) != "same":
        return 0
    dilation = getattr(op, "dilation", (1, 1))
    pads = [
        max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        for n, k, s, d in zip(shape[1:], op.kernel, op.stride, dilation)
    ]
    return shape[0] * (shape[1] + pads[0]) * (shape[2] + pads[1]) if any(pads) else 0


class _Schedule:
    """Holds the network as steps over storages.

    `held_until` are `(last step, storage)`: what the Python frames of the callers keep alive.
    """

    def __init__(self, graph: Graph, batch: int, training: bool):
        self.batch, self.training, self.rate = batch, training, graph.arch.drop_path
        self.steps: list[_Step] = []
        self.held_until: list[tuple[int, int]] = []
        self.next_storage = 1
        stage_outputs = {-1: self.sequence(graph.stem, (0,))}
        sources = graph.arch.sources
        for i, stage in enumerate(graph.stages):
            stage_outputs[i] = self.sequence(stage, tuple(stage_outputs[j] for j in sources[i]))
        heads = [(graph.head, sources[-1])]
        heads += [(b, (aux.after,)) for b, aux in zip(graph.auxiliary, graph.arch.auxiliary)] if training else []
        self.outputs = [key for head, taps in heads for key in self.block(head, tuple(stage_outputs[j] for j in taps))]

    def sequence(self, blocks: Sequence[BlockGraph], inputs: tuple[int, ...]) -> int:
        outputs = inputs
        for block in blocks:
            outputs = self.block(block, outputs)
        self.held_until += [(len(self.steps) - 1, key) for key in inputs]
        return outputs[0]

    def block(self, block: BlockGraph, inputs: tuple[int, ...]) -> tuple[int, ...]:
        storages = {-1 - i: key for i, key in enumerate(inputs)}
        contiguous = dict.fromkeys(storages, True)
        for i, layer in enumerate(block.layers):
            contiguous[i] = _is_contiguous(layer, contiguous)
            storages[i] = self.layer(i, block, storages, all(contiguous[j] for j in layer.inputs))
        self.held_until += [(len(self.steps) - 1, key) for key in inputs]
        return tuple(storages[i] for i in block.outputs)

    def layer(self, index: int, block: BlockGraph, storages: dict[int, int], contiguous: bool) -> int:
        layer = block.layers[index]
        inputs = tuple(storages[j] for j in layer.inputs)
        if _is_view(layer.op, self.training, self.rate, contiguous):
            return inputs[0]
        kept_alive = inputs if (padded := _padded_elements(layer.op, block.shape_of(layer.inputs[0]))) else ()
        if padded:
            self.steps.append(_Step(_Pad(), inputs, self.new(), FLOAT_BYTES * self.batch * padded))
            inputs = (self.next_storage - 1,)
        size = FLOAT_BYTES * self.batch * prod(layer.shape)
        params = FLOAT_BYTES * layer_cost(layer, block).params
        scratch = _scratch(layer.op, size, self.training)
        output = inputs[0] if index in block.in_place and not (self.training and layer.op.fn in COPIES) else self.new()
        self.steps.append(_Step(layer.op, inputs, output, size, scratch, params, kept_alive))
        return output

    def new(self) -> int:
        self.next_storage += 1
        return self.next_storage - 1


def _is_contiguous(layer: Layer, contiguous: dict[int, bool]) -> bool:
    """Returns whether the output is contiguous in memory; elementwise operators keep their input's order."""
    if isinstance(layer.op, ops.Permute | ops.Item):
        return False
    return not isinstance(layer.op, KEEPS_ORDER) or all(contiguous[j] for j in layer.inputs)


def _scratch(op: object, size: int, training: bool) -> int:
    """Returns the bytes beside the output that a forward call allocates and frees.

    These are the product before a drop path's division, and a max pool's indices where no backward pass needs
    them.
    """
    if isinstance(op, ops.DropPath):
        return size
    is_max = isinstance(op, (ops.Pool, ops.AdaptivePool)) and op.kind == "max"
    return size * INDEX_BYTES // FLOAT_BYTES if is_max and not training else 0


def _inference(schedule: _Schedule) -> int:
    steps = schedule.steps
    uses = [(i, key) for i, step in enumerate(steps) for key in step.storages] + schedule.held_until
    last_use = {key: i for i, key in sorted(uses)}
    last_use |= dict.fromkeys(schedule.outputs, len(steps) - 1)
    to_release: dict[int, list[int]] = {}
    for key, i in last_use.items():
        to_release.setdefault(i, []).append(key)
    live = _Live()
    live.hold(0)
    for i, step in enumerate(steps):
        if step.output not in step.inputs:
            live.hold(step.output, step.size, step.scratch)
        for key in to_release.get(i, ()):
            live.release(key)
    return live.peak


def _saved_for_backward(step: _Step, batch: int) -> tuple[tuple[int, ...], int]:
    """Returns the storages that a step saves for its backward pass, and the bytes that it saves beside them."""
    match step.op:
        case ops.Conv() | ops.Linear() | ops.MatMul() | ops.Mul() | ops.LayerScale():
            return step.inputs, 0
        case ops.LayerNorm(channels):
            return step.inputs, 2 * step.size // channels
        case ops.Reduce("max"):
            return (*step.inputs, step.output), 0
        case ops.Norm(channels, groups):
            return step.inputs, 2 * FLOAT_BYTES * (batch * groups if groups else channels)
        case ops.Act(fn):
            return ((step.output,) if fn in SAVES_OUTPUT else step.inputs), 0
        case ops.Softmax():
            return (step.output,), 0
        case ops.Pool(kind):
            return step.inputs, step.size * INDEX_BYTES // FLOAT_BYTES if kind == "max" else 0
        case ops.AdaptivePool(kind, size):
            if kind == "max":
                return step.inputs, step.size * INDEX_BYTES // FLOAT_BYTES
            return ((), 0) if size == (1, 1) else (step.inputs, 0)
        case ops.Dropout():
            return (), step.size
    return (), 0


def _training(steps: list[_Step], outputs: list[int], batch: int) -> int:
    live = _Live()
    live.hold(0)
    saved_storages: list[tuple[int, ...]] = []
    last_use = {key: i for i, step in enumerate(steps) for key in step.storages}
    for i, step in enumerate(steps):
        if step.output not in step.inputs:
            live.hold(step.output, step.size, step.scratch)
        if step.output in outputs:  # the caller's until the end
            live.hold(step.output)
        saved, extra_bytes = _saved_for_backward(step, batch)
        for key in saved:
            live.hold(key)
        live.hold(("extra", i), extra_bytes)
        saved_storages.append(saved)
        for key in step.storages:
            if last_use[key] == i:
                live.release(key)
    _backward(steps, outputs, saved_storages, live)
    return live.peak


def _backward(steps: list[_Step], outputs: list[int], saved_storages: list[tuple[int, ...]], live: _Live) -> None:
    sizes = {step.output: step.size for step in steps}
    gradient: dict[int, tuple[object, ...]] = {key: ("grad", "loss", key) for key in outputs}
    needs_gradient = {0: False}
    for step in steps:
        needs_gradient[step.output] = bool(step.params) or any(needs_gradient[key] for key in step.inputs)
    for key, loss_gradient in gradient.items():
        live.hold(loss_gradient, sizes[key])
    for i in reversed(range(len(steps))):
        step = steps[i]
        if step.output not in gradient:
            continue
        incoming = gradient.pop(step.output)
        live.hold(("params", i), step.params)
        sums: list[tuple[int, tuple[object, ...]]] = []
        for n, key in enumerate(step.inputs):
            if not needs_gradient[key]:
                continue
            if isinstance(step.op, ops.Add):
                input_gradient = incoming
                live.hold(input_gradient)
            else:
                input_gradient = ("grad", i, n)
                scratch = step.size if isinstance(step.op, ops.Mul) and sizes[key] < step.size else 0
                live.hold(input_gradient, sizes[key], scratch)
            sums += [(key, input_gradient)] if key in gradient else []
            gradient.setdefault(key, input_gradient)
        live.release(incoming)
        for storage in (*saved_storages[i], ("extra", i)):
            live.release(storage)
        for n, (key, input_gradient) in enumerate(sums):  # two gradients of one tensor are added up in a third
            total = ("sum", i, n)
            live.hold(total, sizes[key])
            live.release(input_gradient)
            live.release(gradient[key])
            gradient[key] = total


def peak_memory(arch: Arch | Graph, batch: int = 1, training: bool = False) -> int:
    """Returns the peak bytes of one inference or training step (forward, loss, backward) on `batch` images in
    float32.

    Weights and the input aren't counted; a training step's gradients are. Nothing is run: the graph alone is
    needed.
    """
    graph = arch if isinstance(arch, Graph) else expand(arch)
    schedule = _Schedule(graph, batch, training)
    return _training(schedule.steps, schedule.outputs, batch) if training else _inference(schedule)
