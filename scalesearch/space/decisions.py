"""The units of a space with their leaves, and the decisions that its open leaves amount to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scalesearch.errors import Faults, InputError, format_value, suggestion
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.space.domains import Condition, Domain, OpenLeaf, Tie, contains

Decisions = PlainDict
Leaf = Any  # a value, an `Open` or a `Tie`


@dataclass(frozen=True)
class Unit:
    """A stem block, stage, head or auxiliary head, any of whose leaves may be open.

    Args:
        part: "stem", "stages", "head" or "auxiliary".
        path: Its place, as `stages.2`; paths of its leaves begin with it.
        blocks: The alternatives: leaves by argument, for each kind of block.
        kind: Which of `blocks` it is.
        depth: Number of blocks of a stage.
        stride: Of a stage.
        present: Whether the stage is there at all.
        inputs: Numbers of the stages (counting absent ones) whose outputs it takes.
        weight: Of an auxiliary head's loss.
    """

    part: str
    path: str
    blocks: Mapping[str, Mapping[str, Leaf]]
    kind: Leaf
    depth: Leaf = 1
    stride: Leaf = 1
    present: Leaf = True
    inputs: tuple[int, ...] = ()  # numbers of stages, absent ones counted
    weight: float = 0.0  # of an auxiliary head's loss

    def leaves(self) -> Iterator[tuple[str, Leaf, tuple[Condition, ...]]]:
        """Yields `(path, leaf, conditions)`, the conditions being those under which the unit has the leaf."""
        presence: tuple[Condition, ...] = ()
        if isinstance(self.present, OpenLeaf):
            yield f"{self.path}.present", self.present, ()
            presence = (*self.present.when, (self.present.name or f"{self.path}.present", (True,)))
        yield f"{self.path}.depth", self.depth, presence
        yield f"{self.path}.stride", self.stride, presence
        yield f"{self.path}.block", self.kind, presence
        for kind, args in self.blocks.items():
            block_conditions = presence
            if isinstance(self.kind, OpenLeaf):
                block_conditions += ((self.kind.name or f"{self.path}.block", (kind,)),)
            for name, leaf in args.items():
                yield f"{self.path}.{kind}.{name}", leaf, block_conditions + self._branch_conditions(kind, name)

    def _branch_conditions(self, kind: str, name: str) -> tuple[Condition, ...]:
        """Returns the conditions that the open layers around a leaf in a branch are of the kind that has the leaf."""
        parts = name.split(".")
        conditions: tuple[Condition, ...] = ()
        for end in range(3, len(parts), 4):  # argument, branch, place, kind
            key = ".".join(parts[:end])
            if isinstance(layer := self.blocks[kind][key], OpenLeaf):
                conditions += ((layer.name or f"{self.path}.{kind}.{key}", (parts[end],)),)
        return conditions


@dataclass(frozen=True)
class Decision:
    """One thing to decide: its domain and the leaves that it fills.

    `places` pairs each leaf's path with the conditions, all of which must hold for the leaf to be open.
    """

    name: str
    domain: Domain
    places: tuple[tuple[str, tuple[Condition, ...]], ...]

    def exists(self, decisions: PlainMapping) -> bool:
        """Returns whether at least one of its leaves is open under `decisions`."""
        return any(
            all(decisions.get(key) in allowed and key in decisions for key, allowed in conditions)
            for _, conditions in self.places
        )

    @property
    def controllers(self) -> set[str]:
        """Returns the names of the decisions that its conditions depend on."""
        return {key for _, conditions in self.places for key, _ in conditions}


def check_decisions(space_decisions: Mapping[str, Decision], decisions: PlainMapping) -> None:
    """Checks `decisions` against the decisions of a space.

    Raises:
        InputError: If one is unknown, missing, outside its domain, or does not exist under the others.
    """
    for key, value in decisions.items():
        decision = space_decisions.get(key)
        if decision is None:
            raise InputError(f"is no decision of this space.{suggestion(key, space_decisions)}", key)
        if not contains(decision.domain, value):
            raise InputError(f"takes {decision.domain}, got {format_value(value)}", key)
    for key, decision in space_decisions.items():
        if decision.exists(decisions) != (key in decisions):
            state = "is missing" if key not in decisions else "does not exist under the other decisions"
            raise InputError(state, key)


def resolve_decisions(leaves: Sequence[tuple[str, Leaf, tuple[Condition, ...]]]) -> dict[str, Decision]:
    """Returns every decision by name, those that others depend on first.

    Args:
        leaves: `(path, leaf, conditions under which its unit has it)` of all leaves.

    Raises:
        InputError: If ties or conditions name nothing, contradict each other or form a circle.
    """
    keys = _decision_names({path: leaf for path, leaf, _ in leaves})
    unfixed_leaves = [(path, leaf, conditions) for path, leaf, conditions in leaves if path in keys]
    domains: dict[str, Domain] = {}
    places: dict[str, list[tuple[str, tuple[Condition, ...]]]] = {}
    faults = Faults()
    for path, leaf, conditions in unfixed_leaves:
        key = keys[path]
        with faults.part():
            if isinstance(leaf, OpenLeaf):
                if domains.setdefault(key, leaf.domain) != leaf.domain:
                    fault = f'two choices named "{key}" offer different values; one name is one decision'
                    raise InputError(fault, path)
                conditions += leaf.when
            places.setdefault(key, []).append((path, conditions))
    for path, leaf, _ in unfixed_leaves:
        with faults.part():
            _check_fits(leaf, domains[keys[path]], path)
    faults.check()
    decisions = {key: Decision(key, domains[key], tuple(places[key])) for key in places}
    _check_conditions(decisions)
    return _order_by_dependency(decisions)


def _decision_names(leaves: Mapping[str, Leaf]) -> dict[str, str]:
    """Returns, for every open or tied leaf by path, the name of its decision; ties are followed."""
    paths_by_name = {leaf.name: path for path, leaf in leaves.items() if isinstance(leaf, OpenLeaf) and leaf.name}

    def key(path: str, seen: tuple[str, ...] = ()) -> str:
        leaf = leaves[path]
        if isinstance(leaf, OpenLeaf):
            return leaf.name or path
        if path in seen:
            raise InputError(f"ties go in a circle: {' → '.join((*seen, path))}", path)
        target = paths_by_name.get(leaf.path, leaf.path)
        if not isinstance(leaves.get(target), (OpenLeaf, Tie)):
            open_paths = [p for p, other in leaves.items() if isinstance(other, OpenLeaf)]
            raise InputError(
                f'tied to "{leaf.path}", which is no decision of this space.'
                f"{suggestion(leaf.path, [*open_paths, *paths_by_name])}",
                path,
            )
        return key(target, (*seen, path))

    faults, names = Faults(), {}
    for path, leaf in leaves.items():
        with faults.part():
            if isinstance(leaf, (OpenLeaf, Tie)):
                names[path] = key(path)
    faults.check()
    return names


def _check_conditions(decisions: Mapping[str, Decision]) -> None:
    faults = Faults()
    for path, (key, allowed) in (
        (path, condition)
        for decision in decisions.values()
        for path, conditions in decision.places
        for condition in conditions
    ):
        with faults.part(path):
            if key not in decisions:
                raise InputError(
                    f'has a condition on "{key}", which is no decision of this space.{suggestion(key, decisions)}'
                )
            impossible = [v for v in allowed if not contains(decisions[key].domain, v)]
            if impossible:
                raise InputError(f'has a condition on "{key}" being {impossible[0]!r}, which it never is')
    faults.check()


def _check_fits(leaf: OpenLeaf | Tie, domain: Domain, path: str) -> None:
    """Raises `InputError` unless the leaf accepts every value of its decision, in the leaf's own type of number."""
    if leaf.field is None:
        return
    for value in (domain.low, domain.high) if domain.values is None else domain.values:
        try:
            fits = type(leaf.field.check(value)) is type(value)
        except InputError:
            fits = False
        if not fits:
            raise InputError(
                f"takes {leaf.field.description}, and the decision it shares offers {format_value(value)}", path
            )


def _order_by_dependency(decisions: Mapping[str, Decision]) -> dict[str, Decision]:
    ordered: dict[str, Decision] = {}

    def visit(key: str, seen: tuple[str, ...]) -> None:
        if key in seen:
            circle = " → ".join((*seen[seen.index(key) :], key))
            raise InputError(f"conditions go in a circle: {circle}", decisions[key].places[0][0])
        if key not in ordered:
            for controller in sorted(decisions[key].controllers):
                visit(controller, (*seen, key))
            ordered[key] = decisions[key]

    for key in decisions:
        visit(key, ())
    return ordered


def may_coincide(a: Unit, b: Unit) -> bool:
    """Returns whether two stages can be equal: they share a block, and each of its leaves has a value in common."""

    def values(leaf: Leaf) -> set[object] | None:
        if isinstance(leaf, Tie):
            return None
        if isinstance(leaf, OpenLeaf):
            return {*leaf.domain.values, leaf.otherwise} if leaf.domain.values else None
        return {leaf}

    def overlap(x: Leaf, y: Leaf) -> bool:
        p, q = values(x), values(y)
        return p is None or q is None or bool(p & q)

    return (
        a.inputs == b.inputs
        and overlap(a.depth, b.depth)
        and overlap(a.stride, b.stride)
        and any(
            all(overlap(leaf, b.blocks[kind].get(name, leaf)) for name, leaf in args.items())
            for kind, args in a.blocks.items()
            if kind in b.blocks
        )
    )
