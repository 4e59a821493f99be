"""`Space`: an `Arch` with some leaves left open. It knows its decisions and no algorithm.

Decisions are one flat mapping from a decision's name or path (`stages.2.mbconv.kernel`) to its value. A decision that
does not exist under the others' values (its condition fails, its stage is absent) is not in the mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random
from typing import Any

from scalesearch.arch import Arch, Auxiliary, Resolution, Stage, Strides, expand, has_valid_shapes, normal_form
from scalesearch.errors import InputError
from scalesearch.notebook import html_table
from scalesearch.plain_data import PlainMapping
from scalesearch.space.adapting import adapted_units
from scalesearch.space.decisions import (
    Decision,
    Decisions,
    Leaf,
    Unit,
    check_decisions,
    may_coincide,
    resolve_decisions,
)
from scalesearch.space.domains import Condition, Domain, OpenLeaf, Tie, canonical_value, contains, draw, first_value
from scalesearch.space.matching import Part, layouts, read_leaf, spec_of
from scalesearch.space.size import Components, count_ambiguous

MAX_REJECTED_DRAWS = 5_000  # draws in a row whose shapes do not fit together
MAX_MUTATION_ATTEMPTS = 200
# Optional stages that can stand in for each other; with more, most draws would be rejected.
MAX_INTERCHANGEABLE_STAGES = 10


@dataclass(frozen=True, eq=False, repr=False)
class Space:
    """A set of architectures that differ in some decisions; `space_from_dict` and `load_space` make one.

    Args:
        name: Of the space and its architectures.
        settings: Resolution, classes and the other fields of `Arch`, any of which may be open.
        units: Stem blocks, stages, head and auxiliary heads.
    """

    name: str
    settings: Mapping[str, Leaf]  # resolution, classes and the other fields of `Arch`
    units: tuple[Unit, ...]
    _unit_cache: dict[tuple[object, ...], Part | None] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        try:
            size = f"{self.size:,}" if isinstance(self.size, int) else "infinitely many"
        except InputError:  # too many combinations to count
            size = "uncounted"
        return f"<Space {self.name}: {size} architectures, {len(self.decisions)} decisions>"

    def _repr_html_(self) -> str:
        rows = [{"decision": name, "takes": str(decision.domain)} for name, decision in self.decisions.items()]
        return html_table(repr(self)[1:-1], rows)

    def _leaves(self) -> Iterator[tuple[str, Leaf, tuple[Condition, ...]]]:
        yield from ((key, leaf, ()) for key, leaf in self.settings.items())
        for unit in self.units:
            yield from unit.leaves()

    @cached_property
    def decisions(self) -> dict[str, Decision]:
        """Returns every decision by name, those that others depend on first.

        Raises:
            InputError: If ties or conditions name nothing, contradict each other or form a circle.
        """
        return resolve_decisions(list(self._leaves()))

    @cached_property
    def _name_at_path(self) -> dict[str, str]:
        return {path: decision.name for decision in self.decisions.values() for path, _ in decision.places}

    @cached_property
    def unit_keys(self) -> list[tuple[Unit, tuple[str, ...]]]:
        """Returns the units, each with the names of the decisions that it depends on."""
        entries = []
        for unit in self.units:
            keys: dict[str, None] = {}
            for path, leaf, unit_conditions in unit.leaves():
                conditions = unit_conditions + (leaf.when if isinstance(leaf, OpenLeaf) else ())
                keys |= dict.fromkeys(key for key, _ in conditions)
                if path in self._name_at_path:
                    keys[self._name_at_path[path]] = None
            entries.append((unit, tuple(keys)))
        return entries

    @cached_property
    def setting_keys(self) -> list[str]:
        """Returns the names of the decisions that fill the settings."""
        return [key for key, d in self.decisions.items() if any(path in self.settings for path, _ in d.places)]

    @cached_property
    def _components(self) -> Components:
        return Components(self.decisions)

    def leaf_value(self, path: str, leaf: Leaf, decisions: Decisions) -> Any:
        """Returns the value of the leaf at `path`: its own, or what the decisions say; None if they do not."""
        if isinstance(leaf, OpenLeaf) and any(decisions.get(k) not in v or k not in decisions for k, v in leaf.when):
            return leaf.otherwise
        return decisions.get(self._name_at_path[path]) if isinstance(leaf, (OpenLeaf, Tie)) else leaf

    def _build_unit(self, unit: Unit, decisions: Decisions) -> Part | None:
        if not self.leaf_value(f"{unit.path}.present", unit.present, decisions):
            return None
        kind = self.leaf_value(f"{unit.path}.block", unit.kind, decisions)
        args = {n: self.leaf_value(f"{unit.path}.{kind}.{n}", leaf, decisions) for n, leaf in unit.blocks[kind].items()}
        spec = normal_form(kind, args)
        if unit.part == "auxiliary":
            return Auxiliary(spec, unit.inputs[0], unit.weight)
        if unit.part != "stages":
            return spec
        return Stage(
            spec,
            self.leaf_value(f"{unit.path}.depth", unit.depth, decisions),
            self.leaf_value(f"{unit.path}.stride", unit.stride, decisions),
            unit.inputs,
        )

    def build_unit(self, unit: Unit, keys: tuple[str, ...], decisions: Decisions) -> Part | None:
        """Returns the unit as `decisions` make it; None for an absent stage. Results are cached.

        `keys` are the decisions that the unit depends on, as in `unit_keys`.
        """
        cache_key = (unit.path, *map(decisions.get, keys))
        cache = self._unit_cache
        if cache_key not in cache:
            if len(cache) > 1 << 17:
                cache.clear()
            cache[cache_key] = self._build_unit(unit, decisions)
        return cache[cache_key]

    def at_unchecked(self, decisions: Decisions) -> Arch:
        """Returns the architecture of `decisions`, which must be complete and valid."""
        parts: dict[str, list[Any]] = {"stem": [], "stages": [], "head": [], "auxiliary": []}
        numbers: list[int] = []  # unit number -> stage number, absent stages counted in the former only
        for unit, keys in self.unit_keys:
            part = self.build_unit(unit, keys, decisions)
            if unit.part == "stages":
                numbers.append(len(parts["stages"]))
            if part is not None:
                parts[unit.part].append(part)
        settings = {key: self.leaf_value(key, leaf, decisions) for key, leaf in self.settings.items()}
        arch = Arch(
            self.name,
            stem=tuple(parts["stem"]),
            stages=tuple(parts["stages"]),
            head=parts["head"][0],
            auxiliary=tuple(parts["auxiliary"]),
            **settings,
        )
        return arch if len(arch.stages) == len(numbers) else _renumber_stages(arch, numbers)

    def at(self, decisions: PlainMapping) -> Arch:
        """Returns the architecture of `decisions`.

        Raises:
            InputError: If a decision is unknown, missing, outside its domain or does not exist under the others.
        """
        check_decisions(self.decisions, decisions)
        return self.at_unchecked(
            {key: canonical_value(self.decisions[key].domain, value) for key, value in decisions.items()}
        )

    @cached_property
    def size(self) -> int | float:
        """Returns the exact number of distinct architectures; infinite with a range of decimals without a step.

        Those whose shapes do not fit together are counted too, though they are not networks: `certify` tells how many
        are.

        Raises:
            InputError: If optional stages can stand in for each other and ties or conditions join too many
                combinations to count.
        """
        return count_ambiguous(self) if self._is_ambiguous else self._components.size

    @cached_property
    def _is_ambiguous(self) -> bool:
        """Returns whether two settings of optional stages may give the same sequence of stages.

        Where two readings of a sequence first differ, one takes a stage that the other skips, together with all
        stages up to the one that it takes instead.
        """
        stages = [u for u in self.units if u.part == "stages"]
        coincide = False
        for i, a in enumerate(stages):
            for before, b in zip(stages[i:], stages[i + 1 :]):
                if before.present is True:
                    break
                coincide = coincide or may_coincide(a, b)
        if coincide and sum(u.present is not True for u in stages) > MAX_INTERCHANGEABLE_STAGES:
            raise InputError(
                f"more than {MAX_INTERCHANGEABLE_STAGES} optional stages, some of which can stand in for each "
                "other; let their choices differ",
                "stages",
            )
        return coincide

    def sample(self, rng: Random | int | None = None) -> tuple[Decisions, Arch]:
        """Returns random decisions and their network, every distinct network as likely as every other.

        Args:
            rng: A generator or a seed.

        Raises:
            InputError: If shapes hardly ever fit together; the message says why.
        """
        rng = rng if isinstance(rng, Random) else Random(rng)
        for _ in range(MAX_REJECTED_DRAWS):
            decisions, arch = self.sample_unchecked(rng)
            if has_valid_shapes(arch):
                return decisions, arch
        expand(arch)
        raise AssertionError("expand accepts shapes that were rejected")

    def sample_unchecked(self, rng: Random) -> tuple[Decisions, Arch]:
        """Returns random decisions and their architecture, each as likely; its shapes may not fit together."""
        while True:
            decisions = self._components.draw(rng)
            arch = self.at_unchecked(decisions)
            if not self._is_ambiguous or self.decisions_of(arch) == decisions:
                return decisions, arch

    def _is_network(self, decisions: Decisions) -> bool:
        return has_valid_shapes(self.at_unchecked(decisions))

    def __iter__(self) -> Iterator[Decisions]:
        """Yields the decisions of every distinct network; for finite spaces that are small enough to list."""
        return (decisions for decisions, _ in self.networks())

    def networks(self) -> Iterator[tuple[Decisions, Arch]]:
        """Yields decisions and architecture of every distinct network, as iterating yields the decisions alone."""
        for decisions in self._components.walk():
            arch = self.at_unchecked(decisions)
            if has_valid_shapes(arch) and (not self._is_ambiguous or self.decisions_of(arch) == decisions):
                yield decisions, arch

    def completed(self, decisions: PlainMapping, pick: Callable[[Domain], object] = first_value) -> Decisions:
        """Returns `decisions` without those that do not exist and with the missing ones picked.

        `pick` chooses a value of a domain, by default the first.
        """
        result: Decisions = {}
        for key, decision in self.decisions.items():
            if decision.exists(result):
                result[key] = decisions[key] if key in decisions else pick(decision.domain)
        return result

    def neighbours(self, decisions: PlainMapping, keys: Iterable[str] | None = None) -> Iterator[Decisions]:
        """Yields the decisions of all networks that differ in one decision: another option, or one step along a range.

        What exists anew takes its first value.

        Args:
            decisions: Of a network.
            keys: The decisions that may differ; all by default.
        """
        for key in decisions if keys is None else keys:
            for option in self.decisions[key].domain.neighbours(decisions[key]):
                if self._is_network(neighbour := self.completed({**decisions, key: option})):
                    yield neighbour

    def mutate(self, decisions: PlainMapping, rng: Random) -> Decisions:
        """Returns `decisions` with one of them, each as likely, drawn anew from its other values.

        What exists anew is drawn too. Draws that are not networks are repeated; where none is found, nothing changes.
        """
        mutable = [k for k in decisions if (v := self.decisions[k].domain.values) is None or len(v) > 1]
        for _ in range(MAX_MUTATION_ATTEMPTS if mutable else 0):
            key = rng.choice(mutable)
            value = decisions[key]
            while value == decisions[key]:
                value = draw(self.decisions[key].domain, rng)
            mutant = self.completed({**decisions, key: value}, lambda domain: draw(domain, rng))
            if self._is_network(mutant):
                return mutant
        return dict(decisions)

    def decisions_of(self, arch: Arch) -> Decisions | None:
        """Returns the decisions that give `arch`, whatever its name, or None where it is not in the space."""
        return next(self._matching_decisions(arch), None)

    def contains(self, arch: Arch) -> bool:
        """Returns whether `arch`, whatever its name, is in the space."""
        return self.decisions_of(arch) is not None

    def _matching_decisions(self, arch: Arch) -> Iterator[Decisions]:
        target = arch.with_(name=self.name)
        for layout in layouts(self.units, arch):
            decisions: Decisions = {}
            for key, decision in self.decisions.items():
                if decision.exists(decisions):
                    value = self._read_decision(decision, decisions, layout, arch)
                    if not contains(decision.domain, value):
                        break
                    decisions[key] = value
            else:
                if self._has_known_blocks(layout) and self.at_unchecked(decisions) == target:
                    yield decisions

    def _has_known_blocks(self, layout: PlainMapping) -> bool:
        """Returns whether the block of every part is one of its unit's alternatives."""
        return all(
            part is None or spec_of(part).kind in unit.blocks for unit in self.units for part in [layout[unit.path]]
        )

    def _read_decision(self, decision: Decision, decisions: Decisions, layout: PlainMapping, arch: Arch) -> Any:
        for path, conditions in decision.places:
            if all(decisions.get(key) in allowed for key, allowed in conditions):
                return read_leaf(path, layout, arch)
        return None

    def adapted(
        self,
        *,
        resolution: Resolution,
        classes: int | None = None,
        channels: int | None = None,
        strides: Strides = "fitted",
    ) -> Space:
        """Returns the space for images of another size, by the same rule as `arch.adapt`.

        Classes and channels that are not given stay as they are.

        Raises:
            InputError: If a stride is open and strides are to be fitted, since the rule works on strides.
        """
        given = {"resolution": resolution, "classes": classes, "channels": channels}
        settings = {**self.settings, **{key: value for key, value in given.items() if value is not None}}
        units = self.units if strides == "native" else adapted_units(self.units, resolution)
        return Space(self.name, settings, units)


def _renumber_stages(arch: Arch, numbers: Sequence[int]) -> Arch:
    """Returns `arch` with numbers of units replaced by numbers of stages, some optional stages being absent."""

    def sources(units: tuple[int, ...], before: int) -> tuple[int, ...]:
        stage_numbers = tuple(numbers[n] for n in units)
        return () if stage_numbers == (before - 1,) else stage_numbers

    stages = tuple(replace(s, inputs=sources(s.inputs, i)) if s.inputs else s for i, s in enumerate(arch.stages))
    auxiliary = tuple(replace(a, after=numbers[a.after]) for a in arch.auxiliary)
    return arch.with_(stages=stages, taps=sources(arch.taps, len(stages)), auxiliary=auxiliary)
