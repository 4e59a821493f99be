"""Plain data to and from `Arch` and `Space`; errors say where the fault is.

An arch is a space with nothing left open.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from scalesearch import yamlfile
from scalesearch.arch import Arch, allowed_blocks, block_fields, is_branches, refuse_keys_of_others
from scalesearch.errors import Faults, InputError, check_known, errors_at, format_value, suggestion
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.signature import (
    REQUIRED,
    Count,
    Depth,
    Field,
    Natural,
    Rate,
    Ratio,
    Rule,
    Sides,
    Stride,
    check_arguments,
    check_keys,
    fields_of,
)
from scalesearch.space.decisions import Leaf, Unit
from scalesearch.space.domains import OpenLeaf, Tie
from scalesearch.space.leaves import parse_leaf
from scalesearch.space.space import Space

# `resnet18`, and `resnet18 (stem stride 1)` as `arch.adapt` names a network that it changes
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}( \([a-z0-9 .,-]{1,100}\))?")


def settings_keys(
    *,
    name: str = "arch",
    resolution: Sides = 224,
    classes: Count = 1000,
    channels: Count = 3,
    padding: Literal["symmetric", "same"] = "symmetric",
    norm_eps: Annotated[float, Rule(low=0)] = 1e-5,
    norm_momentum: Rate = 0.1,
    drop_path: Rate = 0.0,
    taps: tuple[int, ...] = (),
) -> None:
    """Declares the YAML keys of an architecture beside its blocks."""


def stage_keys(*, depth: Depth = 1, stride: Stride = 1, present: bool = True, inputs: tuple[int, ...] = ()) -> None:
    """Declares the YAML keys of a stage beside its block."""


def auxiliary_keys(*, after: Natural, weight: Ratio = 0.3) -> None:
    """Declares the YAML keys of an auxiliary head beside its block."""


def space_from_dict(data: PlainMapping) -> Space:
    """Returns the space that `data` describes.

    Raises:
        InputError: With the place of the fault: unknown keys and blocks, wrong types, broken rules, empty or
            backward domains, ties and conditions that do not fit together. Shapes are not checked here.
    """
    settings = fields_of(settings_keys)
    known_keys = [*settings, "stem", "stages", "head", "auxiliary"]
    faults, name = Faults(), ""
    stem: list[Unit] = []
    stages: list[Unit] = []
    head: list[Unit] = []
    auxiliary: list[Unit] = []
    with faults.part():
        check_known("key", data, known_keys)
    with faults.part():
        name = check_name(settings["name"].check(data.get("name", "arch")))
    leaves = {key: field.default for key, field in settings.items() if key in ("resolution", "classes")}
    for key, field in settings.items():
        with faults.part():
            if key != "name" and key in data:
                leaves[key] = parse_leaf(data[key], field, key)
    with faults.part():
        stem = _stem(data.get("stem", []))
    with faults.part():
        stages = _stages(_required(data, "stages"))
    with faults.part():
        head = [_unit(_required(data, "head"), "head", "head", "head")]
    with faults.part():
        if "taps" in leaves and stages:
            leaves["taps"] = _stage_numbers(leaves["taps"], stages, len(stages), "taps")
    with faults.part():
        auxiliary = _auxiliaries(data.get("auxiliary", []), stages)
    faults.check()
    space = Space(name, leaves, (*stem, *stages, *head, *auxiliary))
    assert space.decisions is not None  # ties and conditions are checked here
    return space


def _required(data: PlainMapping, key: str) -> object:
    if key not in data:
        raise InputError(f'an architecture needs "{key}"')
    return data[key]


def check_name(name: str) -> str:
    """Returns `name` if it can be a file's name and part of one.

    Raises:
        InputError: If it has other characters than letters, digits and `. _ + -`, starts with one of `. + -`, or
            is longer than 100.
    """
    if not NAME.fullmatch(name):
        raise InputError(f"takes a name of letters, digits and . _ + - (at most 100), got {format_value(name)}", "name")
    return name


def _stem(data: object) -> list[Unit]:
    if not isinstance(data, list):
        return [_unit(data, "stem", "stem.0", "stem")]
    faults, units = Faults(), []
    for i, item in enumerate(data):
        with faults.part():
            units.append(_unit(item, "stem", f"stem.{i}", f"stem[{i}]"))
    faults.check()
    return units


def _unit(data: object, part: str, path: str, place: str) -> Unit:
    kind, args = _block(data, part, place)
    return Unit(part, path, {kind: args}, kind)


def _stages(data: object) -> list[Unit]:
    if not isinstance(data, list) or not data:
        raise InputError(f"takes a list of stages, got {format_value(data)}", "stages")
    faults, stages = Faults(), []
    for i, item in enumerate(data):
        with faults.part():
            unit = _stage(item, i)
            if unit.present is not False:
                stages.append(unit)
    faults.check()
    if all(unit.present is not True for unit in stages):
        raise InputError("needs at least one stage that is always present", "stages")
    for i, unit in enumerate(stages):
        with faults.part():
            if unit.inputs:
                stages[i] = replace(unit, inputs=_stage_numbers(unit.inputs, stages, i, f"stages[{i}].inputs"))
    faults.check()
    return stages


def _stage_numbers(numbers: Leaf, stages: list[Unit], before: int, place: str) -> tuple[int, ...]:
    """Returns stage numbers counted from 0, those below 0 being counted back from `before`.

    The number just before alone is the default and gives `()`. A stage with `present: false` has no number.
    """
    if isinstance(numbers, (OpenLeaf, Tie)):
        raise InputError("cannot be left open", place)
    resolved = tuple(n + before if n < 0 else n for n in numbers)
    for n, number in zip(numbers, resolved):
        if not 0 <= number < before:
            raise InputError(
                f"takes numbers of earlier stages, "
                f"{f'0 to {before - 1}' if before else 'of which there is none'} "
                f"or -1, -2, … counted back from here; got {n}",
                place,
            )
        if stages[number].present is not True:
            raise InputError(f"stage {number} may be absent, so nothing else can take its output", place)
    return () if resolved == (before - 1,) else resolved


def _auxiliaries(data: object, stages: list[Unit]) -> list[Unit]:
    """Returns the units of auxiliary heads; their numbers of stages are not looked at where `stages` is empty."""
    if not isinstance(data, list):
        raise InputError(f"takes a list of auxiliary heads, got {format_value(data)}", "auxiliary")
    faults, units = Faults(), []
    for i, item in enumerate(data):
        with faults.part():
            units.append(_auxiliary(item, i, stages))
    faults.check()
    return units


def _auxiliary(item: object, index: int, stages: list[Unit]) -> Unit:
    fields, place, faults = fields_of(auxiliary_keys), f"auxiliary[{index}]", Faults()
    if not isinstance(item, dict):
        raise InputError(f"takes a mapping of an auxiliary head, got {format_value(item)}", place)
    arguments = {key: item[key] for key in item if key in fields}
    with faults.part(place):
        arguments = check_arguments("an auxiliary head", fields, arguments)
    with faults.part():
        block = {key: value for key, value in item.items() if key not in fields}
        unit = _unit(block, "auxiliary", f"auxiliary.{index}", place)
    faults.check()
    if not stages:
        return unit
    after = _stage_numbers((arguments["after"],), stages, len(stages), f"{place}.after") or (len(stages) - 1,)
    return replace(unit, inputs=after, weight=arguments.get("weight", 0.3))


def _stage(data: object, index: int) -> Unit:
    place, fields = f"stages[{index}]", fields_of(stage_keys)
    if not isinstance(data, dict):
        raise InputError(f"takes a mapping of a stage, got {format_value(data)}", place)
    faults, leaves = Faults(), {}
    for key, field in fields.items():
        with faults.part():
            if key in data:
                leaves[key] = parse_leaf(data[key], field, f"{place}.{key}")
    with faults.part():
        _check_present(leaves.get("present"), f"{place}.present")
    blocks: dict[str, dict[str, Leaf]] = {}
    kind: Leaf = None
    with faults.part():
        blocks, kind = _stage_blocks({key: value for key, value in data.items() if key not in fields}, place)
    faults.check()
    return Unit("stages", f"stages.{index}", blocks, kind, **leaves)


def _stage_blocks(data: PlainDict, place: str) -> tuple[dict[str, dict[str, Leaf]], Leaf]:
    """Returns the alternatives of a stage's block, and which of them it is, from the stage's other keys."""
    fields, block_names, kinds = fields_of(stage_keys), allowed_blocks("stages"), list(data)
    if kinds == ["block"]:
        return _alternatives(data["block"], f"{place}.block")
    if len(kinds) == 1:
        with errors_at(place):
            name, args = _block(data, "stages", "", [*fields, "block"])
        return {name: args}, name
    faults = Faults()
    for key in kinds:
        with faults.part():
            if key not in block_names:
                expected = f"unknown key; takes {', '.join(fields)} and one block."
                raise InputError(expected + suggestion(key, [*fields, *block_names]), f"{place}.{key}")
    faults.check()
    raise InputError(f"takes one block, got {', '.join(kinds) or 'none'}; blocks are {', '.join(block_names)}", place)


def _check_present(leaf: Leaf, place: str) -> None:
    if isinstance(leaf, Tie):
        raise InputError("cannot be a tie; give both choices one name", place)
    if isinstance(leaf, OpenLeaf) and leaf.when and leaf.otherwise is not False:
        raise InputError('with "when" needs "else: false"', place)


def _alternatives(data: object, place: str, part: str = "stages") -> tuple[dict[str, dict[str, Leaf]], Leaf]:
    """Parses `block: {choice: [{mbconv: …}, {fused_mbconv: …}]}`, a decision between blocks."""
    if not isinstance(data, dict) or not isinstance(data.get("choice"), list) or not data["choice"]:
        raise InputError("takes {choice: [{BLOCK: {…}}, …]}", place)
    if "when" in data:
        raise InputError('takes no "when"; a stage takes the condition on its "present"', place)
    blocks: dict[str, dict[str, Leaf]] = {}
    faults = Faults()
    for i, item in enumerate(data["choice"]):
        with faults.part():
            kind, args = _block(item, part, f"{place}.choice[{i}]")
            if kind in blocks:
                raise InputError(f'offers the block "{kind}" twice; open its leaves instead', f"{place}.choice[{i}]")
            blocks[kind] = args
    faults.check()
    names = {**data, "choice": list(blocks)}
    return blocks, parse_leaf(names, Field("block", (str,), Rule(), REQUIRED), place)


def _block(data: object, part: str, place: str, other_keys: list[str] | None = None) -> tuple[str, dict[str, Leaf]]:
    if not isinstance(data, dict) or len(data) != 1:
        raise InputError(
            f"takes one block with its arguments, as {{conv: {{width: 32}}}}; got {format_value(data)}", place
        )
    ((kind, arguments),) = data.items()
    with errors_at(place):
        known_keys = [*(other_keys or []), *allowed_blocks(part)]
        check_known("block or key", [kind], known_keys)
        fields = block_fields(kind, part)
        arguments = {} if arguments is None else arguments
        if not isinstance(arguments, dict):
            raise InputError(f"takes a mapping of arguments, got {format_value(arguments)}", kind)
    block_place = f"{place}.{kind}" if place else kind
    leaves: dict[str, Leaf] = {}
    faults = Faults()
    with faults.part(block_place):
        refuse_keys_of_others(kind, fields, arguments)
        check_keys(f'block "{kind}"', fields, arguments)
    for name, value in arguments.items():
        with faults.part():
            if name in fields and is_branches(fields[name]):
                leaves |= _branches(value, name, f"{block_place}.{name}")
            elif name in fields:
                leaves[name] = parse_leaf(value, fields[name], f"{block_place}.{name}")
    faults.check()
    return kind, leaves


def _branches(data: object, name: str, place: str) -> dict[str, Leaf]:
    """Returns the leaves of branches by dotted key.

    `branches.0.1` is a layer's kind, `branches.0.1.conv.width` an argument of it.
    """
    if not isinstance(data, list) or not data or not all(isinstance(branch, list) and branch for branch in data):
        raise InputError(f"takes a list of branches, each a list of layers; got {format_value(data)}", place)
    leaves: dict[str, Leaf] = {}
    faults = Faults()
    for b, branch in enumerate(data):
        for i, item in enumerate(branch):
            key, item_place = f"{name}.{b}.{i}", f"{place}[{b}][{i}]"
            with faults.part():
                if isinstance(item, dict) and "choice" in item:
                    blocks, leaves[key] = _alternatives(item, item_place, "branch")
                else:
                    kind, args = _block(item, "branch", item_place)
                    blocks, leaves[key] = {kind: args}, kind
                leaves |= {f"{key}.{kind}.{arg}": leaf for kind, args in blocks.items() for arg, leaf in args.items()}
    faults.check()
    return leaves


def arch_from_dict(data: PlainMapping) -> Arch:
    """Returns the architecture that `data` describes; reads back exactly what `Arch.to_dict` wrote.

    Raises:
        InputError: As `space_from_dict` does, and if a leaf is open.
    """
    space = space_from_dict(data)
    if space.decisions:
        raise InputError(
            f"is still open, so this is a space of {space.size:,} architectures; sample one",
            next(iter(space.decisions.values())).places[0][0],
        )
    return space.at({})


def load_space(path: str | Path) -> Space:
    """Returns the space in a YAML file.

    Raises:
        InputError: With file and line.
    """
    document = yamlfile.read(path)
    with document.errors_located():
        return space_from_dict(document.data)


def load_arch(path: str | Path) -> Arch:
    """Returns the architecture in a YAML file.

    Raises:
        InputError: With file and line.
    """
    document = yamlfile.read(path)
    with document.errors_located():
        return arch_from_dict(document.data)


def arch_to_yaml(arch: Arch) -> str:
    """Returns `arch` as the text of a YAML file that `load_arch` reads."""
    return yamlfile.dump(arch.to_dict())
