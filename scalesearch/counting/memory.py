"""Peak activation memory from the graph alone: torch's eager execution followed tensor by tensor, in float32.

Counted are the tensors that a forward pass (and backward pass) makes, parameter gradients included; not the weights,
nor the input, nor the scratch space of a kernel. Views cost nothing, and an inference frees a tensor after its last
use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from scalesearch.arch import Arch, BlockGraph, Graph, Layer, Shape, expand, operators as ops
from scalesearch.counting.counts import layer_cost

FLOAT, INDEX = 4, 8
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
    """A layer over storages: 0 is the network's input; a view shares the storage of what it looks at."""

    op: Any
    inputs: tuple[int, ...]
    output: int
    size: int  # bytes of the output
    scratch: int = 0  # bytes that live during the forward call alone
    params: int = 0  # bytes
    held: tuple[int, ...] = ()  # storages that the caller holds meanwhile

    @property
    def touched(self) -> set[int]:
        return {*self.inputs, self.output, *self.held}


class _Pad(NamedTuple):
    """The copy of a map that TensorFlow's "same" padding makes where it pads at all."""


class _Live:
    """Bytes alive, their peak, and how many hold each storage."""

    def __init__(self):
        self.bytes = self.peak = 0
        self.holders: Counter = Counter()
        self.sizes: dict[Any, int] = {}

    def hold(self, key: Any, size: int = 0, scratch: int = 0) -> None:
        if key not in self.sizes:
            self.sizes[key] = size
            self.bytes += size
            self.peak = max(self.peak, self.bytes + scratch)
        self.holders[key] += 1

    def release(self, key: Any) -> None:
        self.holders[key] -= 1
        if self.holders[key] == 0:
            self.bytes -= self.sizes.pop(key)


def _is_view(op: Any, training: bool, rate: float, contiguous: bool) -> bool:
    return (
        isinstance(op, VIEWS)
        or (isinstance(op, ops.Flatten) and contiguous)
        or (isinstance(op, ops.Dropout) and not training)
        or (isinstance(op, ops.DropPath) and not (training and rate))
    )


def _same_padded(op: Any, shape: Shape) -> int:
    """Elements of the padded copy that TensorFlow's "same" padding makes."""
    if getattr(op, "padding", None) != "same":
        return 0
    dilation = getattr(op, "dilation", (1, 1))
    pads = [
        max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        for n, k, s, d in zip(shape[1:], op.kernel, op.stride, dilation)
    ]
    return shape[0] * (shape[1] + pads[0]) * (shape[2] + pads[1]) if any(pads) else 0


class _Steps:
    """The network as steps over storages, and the spans `(first step, last step, storage)` that callers hold."""

    def __init__(self, graph: Graph, batch: int, training: bool):
        self.batch, self.training, self.rate = batch, training, graph.arch.drop_path
        self.steps: list[_Step] = []
        self.spans: list[tuple[int, int, int]] = []
        self.fresh = 1
        kept = {-1: self.sequence(graph.stem, (0,))}
        sources = graph.arch.sources
        for i, stage in enumerate(graph.stages):
            kept[i] = self.sequence(stage, tuple(kept[j] for j in sources[i]))
        heads = [(graph.head, sources[-1])]
        heads += [(b, (aux.after,)) for b, aux in zip(graph.auxiliary, graph.arch.auxiliary)] if training else []
        self.outputs = [key for head, taps in heads for key in self.block(head, tuple(kept[j] for j in taps))]

    def sequence(self, blocks: Sequence[BlockGraph], inputs: tuple[int, ...]) -> int:
        start, outer = len(self.steps), inputs
        for block in blocks:
            inputs = self.block(block, inputs)
        self.spans += [(start, len(self.steps), key) for key in outer]
        return inputs[0]

    def block(self, block: BlockGraph, inputs: tuple[int, ...]) -> tuple[int, ...]:
        storages, start = {-1 - i: key for i, key in enumerate(inputs)}, len(self.steps)
        contiguous = dict.fromkeys(storages, True)
        for i, layer in enumerate(block.layers):
            contiguous[i] = _is_contiguous(layer, contiguous)
            storages[i] = self.layer(i, block, storages, all(contiguous[j] for j in layer.inputs))
        self.spans += [(start, len(self.steps), key) for key in inputs]
        return tuple(storages[i] for i in block.outputs)

    def layer(self, index: int, block: BlockGraph, storages: dict[int, int], contiguous: bool) -> int:
        layer = block.layers[index]
        inputs = tuple(storages[j] for j in layer.inputs)
        if _is_view(layer.op, self.training, self.rate, contiguous):
            return inputs[0]
        held = inputs if (padded := _same_padded(layer.op, block.shape_of(layer.inputs[0]))) else ()
        if padded:
            self.steps.append(_Step(_Pad(), inputs, self.new(), FLOAT * self.batch * padded))
            inputs = (self.fresh - 1,)
        size = FLOAT * self.batch * prod(layer.shape)
        params = FLOAT * layer_cost(layer, block).params
        scratch = _scratch(layer.op, size, self.training)
        output = inputs[0] if index in block.in_place and not (self.training and layer.op.fn in COPIES) else self.new()
        self.steps.append(_Step(layer.op, inputs, output, size, scratch, params, held))
        return self.steps[-1].output

    def new(self) -> int:
        self.fresh += 1
        return self.fresh - 1


def _is_contiguous(layer: Layer, known: dict[int, bool]) -> bool:
    """Whether the output lies in memory in the order of its dimensions: work by element keeps its input's."""
    if isinstance(layer.op, ops.Permute | ops.Item):
        return False
    return all(known[j] for j in layer.inputs) if isinstance(layer.op, KEEPS_ORDER) else True


def _scratch(op: Any, size: int, training: bool) -> int:
    """Bytes beside the output that a forward call makes and drops: the product before a drop path's division, a max
    pool's indices where no backward pass wants them."""
    if isinstance(op, ops.DropPath):
        return size
    is_max = isinstance(op, (ops.Pool, ops.AdaptivePool)) and op.kind == "max"
    return size * INDEX // FLOAT if is_max and not training else 0


def _inference(made: _Steps) -> int:
    steps = made.steps
    last: dict[int, int] = {}
    for _, end, key in made.spans:
        last[key] = max(end - 1, last.get(key, 0))
    for i, step in enumerate(steps):
        for key in step.touched:
            last[key] = max(i, last.get(key, 0))
    last |= dict.fromkeys(made.outputs, len(steps) - 1)
    ending: dict[int, list[int]] = {}
    for key, i in last.items():
        ending.setdefault(i, []).append(key)
    live = _Live()
    live.hold(0)
    for i, step in enumerate(steps):
        if step.output not in step.inputs:
            live.hold(step.output, step.size, step.scratch)
        for key in ending.get(i, ()):
            live.release(key)
    return live.peak


def _saved(step: _Step, batch: int) -> tuple[tuple[int, ...], int]:
    """Storages the step keeps for its backward pass, and bytes of what it keeps beside them."""
    match step.op:
        case ops.Conv() | ops.Linear() | ops.MatMul() | ops.Mul() | ops.LayerScale():
            return step.inputs, 0
        case ops.LayerNorm(channels):
            return step.inputs, 2 * step.size // channels
        case ops.Reduce("max"):
            return (*step.inputs, step.output), 0
        case ops.Norm(channels, groups):
            return step.inputs, 2 * FLOAT * (batch * groups if groups else channels)
        case ops.Act(fn):
            return ((step.output,) if fn in SAVES_OUTPUT else step.inputs), 0
        case ops.Softmax():
            return (step.output,), 0
        case ops.Pool(kind):
            return step.inputs, step.size * INDEX // FLOAT if kind == "max" else 0
        case ops.AdaptivePool(kind, size):
            if kind == "max":
                return step.inputs, step.size * INDEX // FLOAT
            return ((), 0) if size == (1, 1) else (step.inputs, 0)
        case ops.Dropout():
            return (), step.size
    return (), 0


def _training(steps: list[_Step], outputs: list[int], batch: int) -> int:
    live = _Live()
    live.hold(0)
    kept: list[tuple[int, ...]] = []
    last = {key: i for i, step in enumerate(steps) for key in step.touched}
    for i, step in enumerate(steps):
        if step.output not in step.inputs:
            live.hold(step.output, step.size, step.scratch)
        if step.output in outputs:  # the caller's until the end
            live.hold(step.output)
        saved, beside = _saved(step, batch)
        for key in saved:
            live.hold(key)
        live.hold(("beside", i), beside)
        kept.append(saved)
        for key in step.touched:
            if last[key] == i:
                live.release(key)
    _backward(steps, outputs, kept, live)
    return live.peak


def _backward(steps: list[_Step], outputs: list[int], kept: list[tuple[int, ...]], live: _Live) -> None:
    sizes = {step.output: step.size for step in steps}
    gradient: dict[int, Any] = {key: ("grad", "loss", key) for key in outputs}
    needs = {0: False}
    for step in steps:
        needs[step.output] = bool(step.params) or any(needs[key] for key in step.inputs)
    for key, of_loss in gradient.items():
        live.hold(of_loss, sizes[key])
    for i in reversed(range(len(steps))):
        step = steps[i]
        if step.output not in gradient:
            continue
        incoming = gradient.pop(step.output)
        live.hold(("params", i), step.params)
        sums: list[tuple[int, Any]] = []
        for n, key in enumerate(step.inputs):
            if not needs[key]:
                continue
            if isinstance(step.op, ops.Add):
                new = incoming
                live.hold(new)
            else:
                new = ("grad", i, n)
                wide = step.size if isinstance(step.op, ops.Mul) and sizes[key] < step.size else 0
                live.hold(new, sizes[key], wide)
            sums += [(key, new)] if key in gradient else []
            gradient.setdefault(key, new)
        live.release(incoming)
        for held in (*kept[i], ("beside", i)):
            live.release(held)
        for n, (key, new) in enumerate(sums):  # two gradients of one tensor are added up in a third
            total = ("sum", i, n)
            live.hold(total, sizes[key])
            live.release(new)
            live.release(gradient[key])
            gradient[key] = total


def peak_memory(arch: Arch | Graph, batch: int = 1, training: bool = False) -> int:
    """Peak bytes of one inference, or of one training step (forward, loss, backward), for `batch` images in float32."""
    graph = arch if isinstance(arch, Graph) else expand(arch)
    made = _Steps(graph, batch, training)
    return _training(made.steps, made.outputs, batch) if training else _inference(made)
