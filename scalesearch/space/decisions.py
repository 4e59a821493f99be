"""What is open in a space: its units with their leaves, and the decisions that ties, names and conditions make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scalesearch.errors import InputError, nearest, shown
from scalesearch.space.domains import Condition, Domain, FloatRange, Open, Tie, contains

Decisions = dict[str, Any]
Leaf = Any  # a value, an `Open` or a `Tie`


@dataclass(frozen=True)
class Unit:
    """A stem block, a stage or the head, any of whose leaves may be open. Several `blocks` are alternatives."""

    part: str
    path: str
    blocks: Mapping[str, Mapping[str, Leaf]]
    kind: Leaf
    depth: Leaf = 1
    stride: Leaf = 1
    present: Leaf = True
    inputs: tuple[int, ...] = ()  # numbers of units among the stages
    weight: float = 0.0  # of an auxiliary head's loss

    def leaves(self) -> Iterator[tuple[str, Leaf, tuple[Condition, ...]]]:
        """`(path, leaf, conditions that its place in the unit puts on it)`."""
        exists: tuple[Condition, ...] = ()
        if isinstance(self.present, Open):
            yield f"{self.path}.present", self.present, ()
            exists = (*self.present.when, (self.present.name or f"{self.path}.present", (True,)))
        yield f"{self.path}.depth", self.depth, exists
        yield f"{self.path}.stride", self.stride, exists
        yield f"{self.path}.block", self.kind, exists
        for kind, args in self.blocks.items():
            chosen = exists
            if isinstance(self.kind, Open):
                chosen += ((self.kind.name or f"{self.path}.block", (kind,)),)
            for name, leaf in args.items():
                yield f"{self.path}.{kind}.{name}", leaf, chosen + self._enclosing(kind, name)

    def _enclosing(self, kind: str, name: str) -> tuple[Condition, ...]:
        """That the open layers of branches around a leaf are of the kind which has that leaf."""
        parts = name.split(".")
        found: tuple[Condition, ...] = ()
        for end in range(3, len(parts), 4):  # argument, branch, place, kind
            key = ".".join(parts[:end])
            if isinstance(layer := self.blocks[kind][key], Open):
                found += ((layer.name or f"{self.path}.{kind}.{key}", (parts[end],)),)
        return found


@dataclass(frozen=True)
class Decision:
    """One thing to decide: its domain, and the places it fills, each with the conditions under which it is open."""

    name: str
    domain: Domain
    places: tuple[tuple[str, tuple[Condition, ...]], ...]

    def exists(self, decisions: Mapping[str, Any]) -> bool:
        return any(
            all(decisions.get(key) in allowed and key in decisions for key, allowed in conditions)
            for _, conditions in self.places
        )

    @property
    def controllers(self) -> set[str]:
        return {key for _, conditions in self.places for key, _ in conditions}


def check_decisions(known: Mapping[str, Decision], decisions: Mapping[str, Any]) -> None:
    """Raises `InputError` for one that is unknown, missing, out of its domain or that does not exist here."""
    for key, value in decisions.items():
        decision = known.get(key)
        if decision is None:
            raise InputError(f"is no decision of this space.{nearest(key, known)}", key)
        if not contains(decision.domain, value):
            raise InputError(f"takes {decision.domain}, got {shown(value)}", key)
    for key, decision in known.items():
        if decision.exists(decisions) != (key in decisions):
            state = "is missing" if key not in decisions else "does not exist under the other decisions"
            raise InputError(state, key)


def resolved(leaves: Sequence[tuple[str, Leaf, tuple[Condition, ...]]]) -> dict[str, Decision]:
    """Every decision by name, those that others depend on first, of `(path, leaf, conditions of its place)`.

    Raises `InputError` for ties and conditions that name nothing, contradict each other or go in a circle.
    """
    keys = _keys({path: leaf for path, leaf, _ in leaves})
    domains: dict[str, Domain] = {}
    places: dict[str, list] = {}
    for path, leaf, implied in leaves:
        if not isinstance(leaf, (Open, Tie)):
            continue
        key = keys[path]
        if isinstance(leaf, Open):
            if domains.setdefault(key, leaf.domain) != leaf.domain:
                raise InputError(f'two choices named "{key}" offer different values; one name is one decision', path)
            implied += leaf.when
        places.setdefault(key, []).append((path, implied))
    for path, leaf, _ in leaves:
        if isinstance(leaf, (Open, Tie)):
            _check_fits(leaf, domains[keys[path]], path)
    found = {key: Decision(key, domains[key], tuple(places[key])) for key in places}
    _check_conditions(found)
    return _dependents_last(found)


def _keys(leaves: Mapping[str, Leaf]) -> dict[str, str]:
    """The decision's name behind every open leaf, ties followed."""
    named = {leaf.name: path for path, leaf in leaves.items() if isinstance(leaf, Open) and leaf.name}

    def key(path: str, seen: tuple[str, ...] = ()) -> str:
        leaf = leaves[path]
        if isinstance(leaf, Open):
            return leaf.name or path
        if path in seen:
            raise InputError(f"ties go in a circle: {' → '.join((*seen, path))}", path)
        target = named.get(leaf.path, leaf.path)
        if not isinstance(leaves.get(target), (Open, Tie)):
            opened = [p for p, other in leaves.items() if isinstance(other, Open)]
            raise InputError(
                f'tied to "{leaf.path}", which is no decision of this space.{nearest(leaf.path, [*opened, *named])}',
                path,
            )
        return key(target, (*seen, path))

    return {path: key(path) for path, leaf in leaves.items() if isinstance(leaf, (Open, Tie))}


def _check_conditions(found: Mapping[str, Decision]) -> None:
    for decision in found.values():
        for path, conditions in decision.places:
            for key, allowed in conditions:
                if key not in found:
                    raise InputError(
                        f'has a condition on "{key}", which is no decision of this space.{nearest(key, found)}', path
                    )
                wrong = [v for v in allowed if not contains(found[key].domain, v)]
                if wrong:
                    raise InputError(f'has a condition on "{key}" being {wrong[0]!r}, which it never is', path)


def _check_fits(leaf: Leaf, domain: Domain | None, path: str) -> None:
    """Every value of a decision must be one that each of its leaves takes, in the leaf's own kind of number."""
    if leaf.field is None or domain is None:
        return
    values = (domain.low, domain.high) if isinstance(domain, FloatRange) and domain.values is None else domain.values
    for value in values or ():
        try:
            fits = type(leaf.field.check(value)) is type(value)
        except InputError:
            fits = False
        if not fits:
            raise InputError(f"takes {leaf.field.wanted}, and the decision it shares offers {shown(value)}", path)


def _dependents_last(found: Mapping[str, Decision]) -> dict[str, Decision]:
    ordered: dict[str, Decision] = {}

    def place(key: str, seen: tuple[str, ...]) -> None:
        if key in seen:
            circle = " → ".join((*seen[seen.index(key) :], key))
            raise InputError(f"conditions go in a circle: {circle}", found[key].places[0][0])
        if key not in ordered:
            for controller in sorted(found[key].controllers):
                place(controller, (*seen, key))
            ordered[key] = found[key]

    for key in found:
        place(key, ())
    return ordered


def may_coincide(a: Unit, b: Unit) -> bool:
    """Whether one stage could be read as the other: a shared block, and shared values for each of its leaves."""

    def values(leaf: Leaf) -> set | None:
        if isinstance(leaf, Tie):
            return None
        if isinstance(leaf, Open):
            return {*leaf.domain.values, leaf.otherwise} if leaf.domain.values else None
        return {leaf}

    def meet(x: Leaf, y: Leaf) -> bool:
        p, q = values(x), values(y)
        return p is None or q is None or bool(p & q)

    return (
        a.inputs == b.inputs
        and meet(a.depth, b.depth)
        and meet(a.stride, b.stride)
        and any(
            all(meet(leaf, b.blocks[kind].get(name, leaf)) for name, leaf in args.items())
            for kind, args in a.blocks.items()
            if kind in b.blocks
        )
    )
