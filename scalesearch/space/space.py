"""`Space`: an `Arch` with some leaves left open. It knows its decisions and no algorithm.

Decisions are one flat mapping from a decision's name or path (`stages.2.mbconv.kernel`) to its value. A decision that
does not exist under the others' values (its condition fails, its stage is absent) is not in the mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random
from typing import Any

from scalesearch.arch import Arch, Auxiliary, BlockSpec, Resolution, Stage, expand, meets, normal_form
from scalesearch.errors import InputError
from scalesearch.space.adapting import adapted_units
from scalesearch.space.decisions import Decision, Decisions, Leaf, Unit, check_decisions, may_coincide, resolved
from scalesearch.space.domains import Condition, Domain, Open, Tie, contains, draw, first_value, own
from scalesearch.space.reading import embeddings, read_leaf, spec_of
from scalesearch.space.size import Components, count_ambiguous

MOST_REFUSED = 5_000  # draws in a row that are no networks
MOST_MUTATED = 200
MOST_INTERCHANGEABLE = 10  # optional stages; draws from a space where they coincide are kept with falling probability


@dataclass(frozen=True, eq=False)
class Space:
    """Architectures that differ in some decisions. Made by `schema` from YAML or from the same data in Python."""

    name: str
    settings: Mapping[str, Leaf]  # resolution, classes and the other fields of `Arch`
    units: tuple[Unit, ...]
    _built: dict = field(default_factory=dict, repr=False)

    def _leaves(self) -> Iterator[tuple[str, Leaf, tuple[Condition, ...]]]:
        yield from ((key, leaf, ()) for key, leaf in self.settings.items())
        for unit in self.units:
            yield from unit.leaves()

    @cached_property
    def decisions(self) -> dict[str, Decision]:
        """Every decision by name, those that others depend on first.

        Raises `InputError` for ties and conditions that name nothing, contradict each other or go in a circle.
        """
        return resolved(list(self._leaves()))

    @cached_property
    def _key_of(self) -> dict[str, str]:
        return {path: decision.name for decision in self.decisions.values() for path, _ in decision.places}

    @cached_property
    def _unit_keys(self) -> list[tuple[Unit, tuple[str, ...]]]:
        """Per unit: the decisions it depends on, for looking built units up."""
        found = []
        for unit in self.units:
            keys: dict[str, None] = {}
            for path, leaf, implied in unit.leaves():
                conditions = implied + (leaf.when if isinstance(leaf, Open) else ())
                keys |= dict.fromkeys(key for key, _ in conditions)
                if path in self._key_of:
                    keys[self._key_of[path]] = None
            found.append((unit, tuple(keys)))
        return found

    @cached_property
    def _components(self) -> Components:
        return Components(self.decisions)

    def _value(self, path: str, leaf: Leaf, decisions: Decisions) -> Any:
        if isinstance(leaf, Open) and any(decisions.get(k) not in v or k not in decisions for k, v in leaf.when):
            return leaf.otherwise
        return decisions.get(self._key_of[path]) if isinstance(leaf, (Open, Tie)) else leaf

    def _build_unit(self, unit: Unit, decisions: Decisions) -> Stage | Auxiliary | BlockSpec | None:
        if not self._value(f"{unit.path}.present", unit.present, decisions):
            return None
        kind = self._value(f"{unit.path}.block", unit.kind, decisions)
        args = {n: self._value(f"{unit.path}.{kind}.{n}", leaf, decisions) for n, leaf in unit.blocks[kind].items()}
        spec = normal_form(kind, args)
        if unit.part == "auxiliary":
            return Auxiliary(spec, unit.inputs[0], unit.weight)
        if unit.part != "stages":
            return spec
        return Stage(
            spec,
            self._value(f"{unit.path}.depth", unit.depth, decisions),
            self._value(f"{unit.path}.stride", unit.stride, decisions),
            unit.inputs,
        )

    def unit_at(self, unit: Unit, keys: tuple[str, ...], decisions: Decisions) -> Stage | Auxiliary | BlockSpec | None:
        """The unit as `decisions` have it, remembered by those of `keys` on which it depends."""
        memo = (unit.path, *map(decisions.get, keys))
        built = self._built
        if memo not in built:
            if len(built) > 1 << 17:
                built.clear()
            built[memo] = self._build_unit(unit, decisions)
        return built[memo]

    def _at(self, decisions: Decisions) -> Arch:
        parts: dict[str, list] = {"stem": [], "stages": [], "head": [], "auxiliary": []}
        numbers: list[int] = []  # of the stages by the numbers of their units
        for unit, keys in self._unit_keys:
            part = self.unit_at(unit, keys, decisions)
            if unit.part == "stages":
                numbers.append(len(parts["stages"]))
            if part is not None:
                parts[unit.part].append(part)
        settings = {key: self._value(key, leaf, decisions) for key, leaf in self.settings.items()}
        arch = Arch(
            self.name,
            stem=tuple(parts["stem"]),
            stages=tuple(parts["stages"]),
            head=parts["head"][0],
            auxiliary=tuple(parts["auxiliary"]),
            **settings,
        )
        return arch if len(arch.stages) == len(numbers) else _renumbered(arch, numbers)

    def at(self, decisions: Mapping[str, Any]) -> Arch:
        """The architecture of `decisions`.

        Raises `InputError` for a decision that is unknown, missing, out of its domain or that does not exist here.
        """
        check_decisions(self.decisions, decisions)
        return self._at({key: own(self.decisions[key].domain, value) for key, value in decisions.items()})

    @cached_property
    def size(self) -> int | float:
        """How many distinct architectures can be written down, exactly; infinite with a range of decimals without a
        step. Those whose shapes don't meet are among them and are no networks: `certify` says how many are.

        Raises `InputError` where optional stages can stand in for each other while ties or conditions run across more
        combinations than can be counted.
        """
        if not self._ambiguous:
            return self._components.size
        return count_ambiguous(self)

    @cached_property
    def _ambiguous(self) -> bool:
        """Whether two settings of optional stages may give the same sequence of stages.

        Where two readings of one sequence first part, one takes a stage that the other leaves out together with all
        stages up to the one it takes instead.
        """
        stages = [u for u in self.units if u.part == "stages"]
        coincide = False
        for i, a in enumerate(stages):
            for before, b in zip(stages[i:], stages[i + 1 :]):
                if before.present is True:
                    break
                coincide = coincide or may_coincide(a, b)
        if coincide and sum(u.present is not True for u in stages) > MOST_INTERCHANGEABLE:
            raise InputError(
                f"more than {MOST_INTERCHANGEABLE} optional stages, some of which can stand in for each "
                "other; let their choices differ",
                "stages",
            )
        return coincide

    def sample(self, rng: Random | int | None = None) -> tuple[Decisions, Arch]:
        """Decisions and their network, every distinct one as likely as every other.

        Raises `InputError` where shapes hardly ever meet, saying why.
        """
        rng = rng if isinstance(rng, Random) else Random(rng)
        for _ in range(MOST_REFUSED):
            decisions, arch = self.point(rng)
            if meets(arch):
                return decisions, arch
        expand(arch)
        raise AssertionError("shapes that meet and don't")

    def point(self, rng: Random) -> tuple[Decisions, Arch]:
        """Decisions and their architecture, each as likely; it may be no network."""
        while True:
            decisions = self._components.draw(rng)
            arch = self._at(decisions)
            if not self._ambiguous or self.decisions_of(arch) == decisions:
                return decisions, arch

    def _is_network(self, decisions: Decisions) -> bool:
        return meets(self._at(decisions))

    def __iter__(self) -> Iterator[Decisions]:
        """Every distinct network's decisions; for spaces small enough to walk through."""
        for decisions in self._components.walk():
            if self._is_network(decisions) and (
                not self._ambiguous or self.decisions_of(self._at(decisions)) == decisions
            ):
                yield decisions

    def completed(self, decisions: Mapping[str, Any], pick: Callable[[Domain], Any] | None = None) -> Decisions:
        """`decisions` with what does not exist dropped and what is missing picked (the first value by default)."""
        pick = pick or first_value
        whole: Decisions = {}
        for key, decision in self.decisions.items():
            if decision.exists(whole):
                whole[key] = decisions[key] if key in decisions else pick(decision.domain)
        return whole

    def neighbours(self, decisions: Mapping[str, Any]) -> Iterator[Decisions]:
        """All networks' decisions that differ from `decisions` in one: another option, or one step along a range."""
        for key, value in decisions.items():
            for other in self.decisions[key].domain.near(value):
                if self._is_network(near := self.completed({**decisions, key: other})):
                    yield near

    def mutated(self, decisions: Mapping[str, Any], rng: Random) -> Decisions:
        """One decision, each as likely, drawn anew from its other values; what then exists anew is drawn too. What is
        no network is drawn again; where none is found, nothing changes."""
        free = [k for k in decisions if (v := self.decisions[k].domain.values) is None or len(v) > 1]
        for _ in range(MOST_MUTATED if free else 0):
            key = rng.choice(free)
            value = decisions[key]
            while value == decisions[key]:
                value = draw(self.decisions[key].domain, rng)
            changed = self.completed({**decisions, key: value}, lambda domain: draw(domain, rng))
            if self._is_network(changed):
                return changed
        return dict(decisions)

    def decisions_of(self, arch: Arch) -> Decisions | None:
        """The decisions that give `arch` (whatever its name), or None where it is not in the space."""
        return next(self._readings(arch), None)

    def contains(self, arch: Arch) -> bool:
        return self.decisions_of(arch) is not None

    def _readings(self, arch: Arch) -> Iterator[Decisions]:
        named = arch.with_(name=self.name)
        for placed in embeddings(self.units, arch):
            decisions: Decisions = {}
            for key, decision in self.decisions.items():
                if decision.exists(decisions):
                    read = self._read(decision, decisions, placed, arch)
                    if not contains(decision.domain, read):
                        break
                    decisions[key] = read
            else:
                if self._fits(placed) and self._at(decisions) == named:
                    yield decisions

    def _fits(self, placed: Mapping[str, Any]) -> bool:
        """Whether every part that stands there is one of its unit's alternatives."""
        return all(
            part is None or spec_of(part).kind in unit.blocks for unit in self.units for part in [placed[unit.path]]
        )

    def _read(self, decision: Decision, decisions: Decisions, placed: Mapping[str, Any], arch: Arch) -> Any:
        for path, conditions in decision.places:
            if all(decisions.get(key) in allowed for key, allowed in conditions):
                return read_leaf(path, placed, arch)
        return None

    def adapted(self, *, resolution: Resolution, classes: int, channels: int = 3) -> Space:
        """The space for images of another size, by the rule that `adapting.adapt` has for networks.

        Raises `InputError` where a stride is open, since the rule is about strides.
        """
        settings = {**self.settings, "resolution": resolution, "classes": classes, "channels": channels}
        return Space(self.name, settings, adapted_units(self.units, resolution))


def _renumbered(arch: Arch, numbers: Sequence[int]) -> Arch:
    """Units' numbers turned into stages' numbers where optional stages have fallen away."""

    def sources(units: tuple[int, ...], before: int) -> tuple[int, ...]:
        found = tuple(numbers[n] for n in units)
        return () if found == (before - 1,) else found

    stages = tuple(replace(s, inputs=sources(s.inputs, i)) if s.inputs else s for i, s in enumerate(arch.stages))
    auxiliary = tuple(replace(a, after=numbers[a.after]) for a in arch.auxiliary)
    return arch.with_(stages=stages, taps=sources(arch.taps, len(stages)), auxiliary=auxiliary)
