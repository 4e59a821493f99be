"""What a block is, where it may stand, and its graph on given shapes. The rows are in the table beside."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, cast, get_type_hints

from scalesearch.arch.arch import Arch, BlockSpec
from scalesearch.arch.graph import BlockGraph, ShapeError, live
from scalesearch.arch.operators import Shape
from scalesearch.arch.recording import Recorded, Tape
from scalesearch.arch.symbolic import NOT_NAMED, Padding, SymTensor
from scalesearch.errors import InputError, unknown
from scalesearch.signature import REQUIRED, Field, check_arguments, fields_of

Branches = tuple[tuple[BlockSpec, ...], ...]


@dataclass(frozen=True)
class Block:
    """A row of the table.

    `role` "layer" stands in stem and stages, "head" in the head, "auxiliary" among the auxiliary heads; all but heads
    stand in branches too. `several`: it takes a list of maps. `task` is what a head is for. `keeps_strides`: a head
    that knows its maps by their strides, so that a network's strides stay as they are on small images.
    """

    function: Callable
    role: str = "layer"
    several: bool = False
    task: str = "classification"
    keeps_strides: bool = False

    @cached_property
    def strided(self) -> bool:
        """Whether it takes a stride."""
        return "stride" in fields_of(self.function)


BLOCKS: dict[str, Block] = {}
OWN: dict[str, Block] = {}  # those of them that a person registered, which other processes must be told


def register_block(function: Callable, name: str | None = None, **row: Any) -> Callable:
    """Make a person's own `function` a block like all others, by its name or by `name`; also as a decorator.

    Its keyword arguments are its keys in YAML; `row` is what a row of the table says beside the function, as
    `role="head"`. Raises `InputError` for a name that is taken.
    """
    name = name or function.__name__
    if name in BLOCKS:
        raise InputError("is a block already; give another name", name)
    # Where the function is sent to another process its module's names stay behind, which its annotations may hang on.
    function.__annotations__ = get_type_hints(function, include_extras=True)
    BLOCKS[name] = OWN[name] = Block(function, **row)
    block_fields.cache_clear()
    return function


def load_blocks(path: Path) -> None:
    """Run a Python file that registers blocks. Raises `InputError` where it cannot be run, or registers none."""
    before, name = len(OWN), f"own_blocks_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError("is no Python file", str(path))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        at = error.lineno if isinstance(error, SyntaxError) else traceback.extract_tb(error.__traceback__)[-1].lineno
        raise InputError(f"{type(error).__name__}: {error}", f"{path}:{at}") from None
    if len(OWN) == before:
        raise InputError("registers no block; it calls scalesearch.register_block(FUNCTION)", str(path))


ROLES = {"stem": "layer", "stages": "layer", "branch": "layer", "head": "head", "auxiliary": "auxiliary"}


def allowed(part: str) -> list[str]:
    """The blocks that may stand in `part` of a network: "stem", "stages", "branch", "head" or "auxiliary"."""
    several = part in ("stages", "head")
    return [name for name, row in BLOCKS.items() if row.role == ROLES[part] and (several or not row.several)]


@cache
def block_fields(kind: str, part: str) -> dict[str, Field]:
    """What a block of `kind` takes where it stands in `part` of a network.

    A stage or a branch gives its block the stride, an arch gives its heads the classes, so these are no keys of the
    block there.
    """
    if kind not in allowed(part):
        raise InputError(unknown(f"block for {part}" if kind in BLOCKS else "block", kind, allowed(part)))
    given = {"stages": "stride", "branch": "stride", "head": "classes", "auxiliary": "classes"}.get(part)
    return {name: field for name, field in fields_of(BLOCKS[kind].function).items() if name != given}


def is_branches(field: Field) -> bool:
    """Whether a keyword takes branches: lists of layers that are blocks themselves."""
    return field.types == (Branches,)


def normal_form(kind: str, args: dict[str, Any]) -> BlockSpec:
    """The `BlockSpec` of arguments already checked: signature order, defaults left out.

    Layers of branches come as one dotted key per leaf: `branches.0.1` their kind, `branches.0.1.conv.width` an
    argument.
    """
    fields = fields_of(BLOCKS[kind].function)
    plain = {name: value for name, value in args.items() if "." not in name}
    plain |= {name: _nested(name, args) for name in dict.fromkeys(n.split(".")[0] for n in args if "." in n)}
    return BlockSpec(kind, tuple((n, plain[n]) for n, f in fields.items() if n in plain and plain[n] != f.default))


def _nested(name: str, args: dict[str, Any]) -> Branches:
    kinds = {
        tuple(map(int, key.split(".")[1:])): kind
        for key, kind in args.items()
        if key.startswith(name + ".") and key.count(".") == 2
    }
    branches: dict[int, list[BlockSpec]] = {}
    for (b, i), kind in sorted(kinds.items()):
        prefix = f"{name}.{b}.{i}.{kind}."
        own = {key[len(prefix) :]: value for key, value in args.items() if key.startswith(prefix)}
        branches.setdefault(b, []).append(normal_form(kind, own))
    return tuple(map(tuple, branches.values()))


def value_at(spec: BlockSpec, names: list[str]) -> Any:
    """What `spec` says at a leaf, given as the parts of its dotted key; None where the leaf does not exist in it."""
    if len(names) == 1:
        return spec.get(names[0], fields_of(BLOCKS[spec.kind].function)[names[0]].default)
    name, b, i, *rest = names
    branches = spec.get(name, ())
    if int(b) >= len(branches) or int(i) >= len(branches[int(b)]):
        return None
    layer = branches[int(b)][int(i)]
    if not rest:
        return layer.kind
    return value_at(layer, rest[1:]) if layer.kind == rest[0] else None


def with_leaves(spec: BlockSpec, change: Callable[[Field, Any], Any]) -> BlockSpec:
    """`spec` with `change(field, value)` for every value that it, or a block in its branches, states or defaults to."""
    args = {}
    for name, field in fields_of(BLOCKS[spec.kind].function).items():
        value = spec.get(name, field.default)
        if value is REQUIRED:  # the classes, which a head is given
            continue
        nested = is_branches(field)
        args[name] = (
            tuple(tuple(with_leaves(layer, change) for layer in b) for b in value) if nested else change(field, value)
        )
    return normal_form(spec.kind, args)


def block(kind: str, part: str = "stages", **args: Any) -> BlockSpec:
    """A checked block spec.

    Raises `InputError` for an unknown block or key, a wrong type, a broken rule or a missing argument.
    """
    return normal_form(kind, check_arguments(f'block "{kind}"', block_fields(kind, part), args))


def layer(kind: str, **args: Any) -> BlockSpec:
    """A checked block spec for a branch."""
    return block(kind, "branch", **args)


def head_task(arch: Arch) -> str:
    """Returns the name of the task that a network's head is for: `classification`, `detection`, …"""
    return BLOCKS[arch.head.kind].task


def _given(row: Block, spec: BlockSpec, stride: int) -> dict[str, Any]:
    if row.strided:
        return dict(spec.args, stride=stride)
    if stride != 1:
        raise ShapeError(f"{spec.kind} takes no stride, got {stride}")
    return dict(spec.args)


def apply(spec: BlockSpec, x: SymTensor, stride: int, *names: str | int) -> SymTensor:
    """Record one block on a tensor of another block, inside `names`."""
    row = BLOCKS[spec.kind]
    place, given = x.inside(*names), _given(row, spec, stride)
    if place is NOT_NAMED:  # which takes its time too
        return row.function(x, **given)
    with place:
        return row.function(x, **given)


def run(
    spec: BlockSpec, inputs: Sequence[SymTensor], stride: int | None = None, classes: int | None = None
) -> tuple[SymTensor, ...]:
    """The outputs of one block on its inputs, whatever kind of tensors they are.

    Raises `ShapeError` where shapes don't meet.
    """
    row = BLOCKS[spec.kind]
    if len(inputs) > 1 and not row.several:
        raise ShapeError(f"{spec.kind} takes one input, got {len(inputs)}; concat or add joins them")
    given = dict(spec.args) if stride is None else _given(row, spec, stride)
    if classes is not None:
        given["classes"] = classes
    out = row.function(list(inputs) if row.several else inputs[0], **given)
    return tuple(out) if isinstance(out, (tuple, list)) else (out,)


@lru_cache(maxsize=1 << 16)
def record(
    spec: BlockSpec,
    in_shapes: tuple[Shape, ...],
    same: bool = False,
    stride: int | None = None,
    classes: int | None = None,
) -> BlockGraph:
    """The graph of one block on the shapes of its inputs; remembered, since networks and spaces repeat themselves."""
    tape = Tape(same)
    outputs = run(spec, [Recorded(tape, shape, -1 - i) for i, shape in enumerate(in_shapes)], stride, classes)
    indices = tuple(o.index for o in cast(tuple[Recorded, ...], outputs))
    return live(BlockGraph(spec.kind, in_shapes, tuple(tape.layers), indices))


@lru_cache(maxsize=1 << 17)
def out_shape(
    spec: BlockSpec,
    in_shapes: tuple[Shape, ...],
    same: bool = False,
    stride: int | None = None,
    classes: int | None = None,
) -> Shape:
    """The shape of the first output of one block, nothing recorded. Raises `ShapeError` where shapes don't meet."""
    padding = Padding(same)
    return run(spec, [SymTensor(padding, shape) for shape in in_shapes], stride, classes)[0].shape
