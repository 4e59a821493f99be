"""What a block is, where it may stand, and its graph on given shapes.

The table of the package's own blocks is in `blocks/__init__.py`.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

from scalesearch.arch.arch import Arch, BlockSpec
from scalesearch.arch.graph import BlockGraph, ShapeError, without_dead_layers
from scalesearch.arch.operators import Shape
from scalesearch.arch.recording import RecordingTensor, Tape
from scalesearch.arch.symbolic import NO_PREFIX, NullTape, SymTensor
from scalesearch.errors import InputError, unknown_message
from scalesearch.plain_data import PlainDict
from scalesearch.signature import REQUIRED, Field, check_arguments, fields_of

BlockFunction = TypeVar("BlockFunction", bound=Callable[..., Any])

Branches = tuple[tuple[BlockSpec, ...], ...]


@dataclass(frozen=True)
class Block:
    """A row of the block table.

    Args:
        function: The block: a function of symbolic tensors whose keyword arguments are its YAML keys.
        role: Where it may stand: "layer" in stem, stages and branches, "head" as the head, "auxiliary" among the
            auxiliary heads.
        several: Whether it takes a list of maps; such a block may stand in stages and head only.
        task: What a head is for: "classification", "detection", …
        keeps_strides: Whether a head knows its maps by their strides, so that adapting a network leaves them as
            they are.
    """

    function: Callable[..., Any]
    role: str = "layer"
    several: bool = False
    task: str = "classification"
    keeps_strides: bool = False

    @cached_property
    def takes_stride(self) -> bool:
        """Returns whether the block has a stride among its arguments."""
        return "stride" in fields_of(self.function)


BLOCKS: dict[str, Block] = {}
USER_BLOCKS: dict[str, Block] = {}  # those that the user registered; other processes need them sent along


def register_block(function: BlockFunction, name: str | None = None, **row: Any) -> BlockFunction:
    """Registers your own `function` as a block like all others, under its name or `name`; also works as a decorator.

    Args:
        function: Takes a symbolic tensor (or a list of them, with `several=True`); its keyword arguments are its
            YAML keys.
        name: The block's name; the function's own by default.
        **row: Further fields of `Block`, as `role="head"`.

    Returns:
        `function`.

    Raises:
        InputError: If the name is taken.
    """
    name = name or function.__name__
    if name in BLOCKS:
        raise InputError("is a block already; give another name", name)
    # Resolved now: in another process the names of the function's module, which annotations may use, are missing.
    function.__annotations__ = get_type_hints(function, include_extras=True)
    BLOCKS[name] = USER_BLOCKS[name] = Block(function, **row)
    block_fields.cache_clear()
    return function


def load_blocks(path: Path) -> None:
    """Runs a Python file that registers blocks.

    Raises:
        InputError: If the file cannot be run or registers no block.
    """
    count_before, name = len(USER_BLOCKS), f"own_blocks_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError("is no Python file", str(path))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        line = error.lineno if isinstance(error, SyntaxError) else traceback.extract_tb(error.__traceback__)[-1].lineno
        raise InputError(f"{type(error).__name__}: {error}", f"{path}:{line}") from None
    if len(USER_BLOCKS) == count_before:
        raise InputError("registers no block; it calls scalesearch.register_block(FUNCTION)", str(path))


ROLES = {"stem": "layer", "stages": "layer", "branch": "layer", "head": "head", "auxiliary": "auxiliary"}


def allowed_blocks(part: str) -> list[str]:
    """Returns the names of the blocks that may stand in `part`: "stem", "stages", "branch", "head" or "auxiliary"."""
    several = part in ("stages", "head")
    return [name for name, row in BLOCKS.items() if row.role == ROLES[part] and (several or not row.several)]


@cache
def block_fields(kind: str, part: str) -> dict[str, Field]:
    """Returns the arguments that a block of `kind` takes in YAML in `part` of a network.

    A stage or branch sets its block's stride and an arch sets its heads' classes, so these are not among them.

    Raises:
        InputError: If the block is unknown or may not stand in `part`.
    """
    if kind not in allowed_blocks(part):
        what = f"block for {part}" if kind in BLOCKS else "block"
        raise InputError(unknown_message(what, kind, allowed_blocks(part)))
    supplied = {"stages": "stride", "branch": "stride", "head": "classes", "auxiliary": "classes"}.get(part)
    return {name: field for name, field in fields_of(BLOCKS[kind].function).items() if name != supplied}


def is_branches(field: Field) -> bool:
    """Returns whether the argument holds branches: lists of layers that are blocks themselves."""
    return field.types == (Branches,)


def normal_form(kind: str, args: PlainDict) -> BlockSpec:
    """Returns the `BlockSpec` of arguments that are already checked.

    They are put in the order of the signature, and defaults are left out. Layers of branches come as one dotted
    key per leaf: `branches.0.1` is a layer's kind, `branches.0.1.conv.width` an argument of it.
    """
    fields = fields_of(BLOCKS[kind].function)
    plain = {name: value for name, value in args.items() if "." not in name}
    plain |= {name: _branches_of(name, args) for name in dict.fromkeys(n.split(".")[0] for n in args if "." in n)}
    return BlockSpec(kind, tuple((n, plain[n]) for n, f in fields.items() if n in plain and plain[n] != f.default))


def _branches_of(name: str, args: PlainDict) -> Branches:
    kinds = {
        tuple(map(int, key.split(".")[1:])): kind
        for key, kind in args.items()
        if key.startswith(name + ".") and key.count(".") == 2
    }
    branches: dict[int, list[BlockSpec]] = {}
    for (b, i), kind in sorted(kinds.items()):
        prefix = f"{name}.{b}.{i}.{kind}."
        layer_args = {key[len(prefix) :]: value for key, value in args.items() if key.startswith(prefix)}
        branches.setdefault(b, []).append(normal_form(kind, layer_args))
    return tuple(map(tuple, branches.values()))


def leaf_value(spec: BlockSpec, names: list[str]) -> Any:
    """Returns the value of a leaf of `spec`, stated or by default; None where the spec has no such leaf.

    Args:
        spec: A block.
        names: The parts of the leaf's dotted key, as `["branches", "0", "1", "conv", "width"]`.
    """
    if len(names) == 1:
        return spec.get(names[0], fields_of(BLOCKS[spec.kind].function)[names[0]].default)
    name, b, i, *rest = names
    branches = spec.get(name, ())
    if int(b) >= len(branches) or int(i) >= len(branches[int(b)]):
        return None
    layer = branches[int(b)][int(i)]
    if not rest:
        return layer.kind
    return leaf_value(layer, rest[1:]) if layer.kind == rest[0] else None


def map_arguments(spec: BlockSpec, change: Callable[[Field, Any], Any]) -> BlockSpec:
    """Returns `spec` with every argument, stated or default, replaced by `change(field, value)`.

    Blocks inside branches are changed too; a head's classes are left out, since the arch sets them.
    """
    args = {}
    for name, field in fields_of(BLOCKS[spec.kind].function).items():
        value = spec.get(name, field.default)
        if value is REQUIRED:  # a head's classes, which the arch sets
            continue
        if is_branches(field):
            args[name] = tuple(tuple(map_arguments(layer, change) for layer in branch) for branch in value)
        else:
            args[name] = change(field, value)
    return normal_form(spec.kind, args)


def block(kind: str, part: str = "stages", **args: object) -> BlockSpec:
    """Returns a checked block spec.

    Args:
        kind: The block's name.
        part: Where it is to stand: "stem", "stages", "branch", "head" or "auxiliary".
        **args: Its arguments.

    Raises:
        InputError: If the block or an argument is unknown, an argument is missing, has a wrong type or breaks its
            rule.
    """
    fields = block_fields(kind, part)
    refuse_keys_of_others(kind, fields, args)
    return normal_form(kind, check_arguments(f'block "{kind}"', fields, args))


def refuse_keys_of_others(kind: str, fields: Mapping[str, Field], names: Iterable[str]) -> None:
    """Raises `InputError`, placed at the key, for an argument that the block lacks and others have; names these.

    Args:
        kind: The block's name.
        fields: What it takes.
        names: The arguments that came.
    """
    for name in names:
        if name in fields:
            continue
        if others := [other for other, entry in BLOCKS.items() if name in fields_of(entry.function)]:
            shown = ", ".join(others[:6])
            raise InputError(
                f'unknown key for block "{kind}"; takes {", ".join(fields)}. Blocks with this key: {shown}', name
            )


def layer(kind: str, **args: object) -> BlockSpec:
    """Returns a checked block spec for a branch."""
    return block(kind, "branch", **args)


def head_task(arch: Arch) -> str:
    """Returns the name of the task that a network's head is for: `classification`, `detection`, …"""
    return BLOCKS[arch.head.kind].task


def _arguments(row: Block, spec: BlockSpec, stride: int) -> PlainDict:
    if row.takes_stride:
        return dict(spec.args, stride=stride)
    if stride != 1:
        raise ShapeError(f"{spec.kind} takes no stride, got {stride}")
    return dict(spec.args)


def apply_block(spec: BlockSpec, x: SymTensor, stride: int, *names: str | int) -> SymTensor:
    """Runs the block `spec` on a tensor inside another block, its layers' names prefixed by `names`."""
    row = BLOCKS[spec.kind]
    prefix, arguments = x.inside(*names), _arguments(row, spec, stride)
    if prefix is NO_PREFIX:  # entering an empty context would cost time
        return cast(SymTensor, row.function(x, **arguments))
    with prefix:
        return cast(SymTensor, row.function(x, **arguments))


def run_block(
    spec: BlockSpec, inputs: Sequence[SymTensor], stride: int | None = None, classes: int | None = None
) -> tuple[SymTensor, ...]:
    """Runs one block on symbolic tensors of any kind and returns its outputs.

    Args:
        spec: The block.
        inputs: One tensor, or several for blocks that take several.
        stride: Overrides the spec's; None leaves it.
        classes: For heads, the number of classes.

    Raises:
        ShapeError: If shapes do not fit together.
    """
    row = BLOCKS[spec.kind]
    if len(inputs) > 1 and not row.several:
        raise ShapeError(f"{spec.kind} takes one input, got {len(inputs)}; concat or add joins them")
    arguments = dict(spec.args) if stride is None else _arguments(row, spec, stride)
    if classes is not None:
        arguments["classes"] = classes
    output = row.function(list(inputs) if row.several else inputs[0], **arguments)
    return tuple(output) if isinstance(output, (tuple, list)) else (output,)


@lru_cache(maxsize=1 << 16)
def record_block(
    spec: BlockSpec,
    in_shapes: tuple[Shape, ...],
    same: bool = False,
    stride: int | None = None,
    classes: int | None = None,
) -> BlockGraph:
    """Returns the graph of one block on the shapes of its inputs, without layers whose output nothing takes.

    Results are cached. `same` is whether the arch pads as TensorFlow's "same"; for `stride` and `classes` see
    `run_block`.

    Raises:
        ShapeError: If shapes do not fit together.
    """
    tape = Tape(same)
    inputs = [RecordingTensor(tape, shape, -1 - i) for i, shape in enumerate(in_shapes)]
    outputs = run_block(spec, inputs, stride, classes)
    indices = tuple(o.index for o in cast(tuple[RecordingTensor, ...], outputs))
    return without_dead_layers(BlockGraph(spec.kind, in_shapes, tuple(tape.layers), indices))


@lru_cache(maxsize=1 << 17)
def out_shape(
    spec: BlockSpec,
    in_shapes: tuple[Shape, ...],
    same: bool = False,
    stride: int | None = None,
    classes: int | None = None,
) -> Shape:
    """Returns the shape of the first output of one block, without recording its layers.

    Results are cached; arguments are those of `record_block`.

    Raises:
        ShapeError: If shapes do not fit together.
    """
    tape = NullTape(same)
    return run_block(spec, [SymTensor(tape, shape) for shape in in_shapes], stride, classes)[0].shape
