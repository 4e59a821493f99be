"""Classes of weights and of data, matched by their names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch

from scalesearch.arch import Arch
from scalesearch.errors import InputError, format_count
from scalesearch.network import Network, build

NUMBER_OR_SYNSET = re.compile(r"\d+|n\d{8}")  # names that are no words: `7`, and WordNet's `n01440764`


class ClassMatch(NamedTuple):
    """The network's class number for every class of the data, and how they were matched."""

    numbers: list[int]
    by: Literal["name", "number"]


def numbers_by_name(names: Sequence[str], sought: Sequence[str]) -> list[int | None]:
    """Returns the position in `names` of every name of `sought`, None where it is not there.

    Names are equal apart from letter case, spaces, hyphens and underscores, unless several are then alike.
    """
    exact = {name: i for i, name in enumerate(names)}
    alike: dict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        alike[_plain(name)].append(i)

    def position(name: str) -> int | None:
        others = alike.get(_plain(name), [])
        return exact.get(name, others[0] if len(others) == 1 else None)

    return [position(name) for name in sought]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def match_classes(
    names: Sequence[str], count: int, network_names: Sequence[str] | None, classes: int, origin: str
) -> ClassMatch:
    """Returns the network's class number for every class of the data.

    Classes are matched by name where the network has all names of the data. They are matched by number where one of
    the two has no names, or names that are numbers, and both have as many classes.

    Args:
        names: The names of the data's classes; empty if it has none.
        count: The number of the data's classes.
        network_names: The names of the network's classes, if known.
        classes: The number of the network's classes.
        origin: How messages name the data.

    Raises:
        InputError: If the classes match neither by name nor by number.
    """
    found = numbers_by_name(network_names or (), names)
    numbers = [number for number in found if number is not None]
    if names and len(numbers) == len(names):
        return ClassMatch(numbers, "name")
    missing = next((name for name, number in zip(names, found) if number is None), "")
    if numbers:
        raise InputError(
            f"has a class {missing!r}, and the network has none of that name (it has {len(numbers)} of the others)",
            origin,
        )
    if count != classes:
        raise InputError(
            f"has {format_count(count, 'class')}{f', such as {missing!r}' if missing else ''}, and "
            f"the network has {classes}, with other names",
            origin,
        )
    if network_names and _are_words(names) and _are_words(network_names):
        raise InputError(
            f"has none of the network's classes: it has {missing!r} and the network {network_names[0]!r}; give --names "
            "FILE with the data's names in the order of the network's classes",
            origin,
        )
    return ClassMatch(list(range(classes)), "number")


def _are_words(names: Sequence[str]) -> bool:
    return bool(names) and not all(NUMBER_OR_SYNSET.fullmatch(name) for name in names)


class HeadRows(NamedTuple):
    """A head's tensors for other classes, and in words where its rows come from; both empty if nothing changes."""

    tensors: dict[str, torch.Tensor]
    origin: str


def head_rows(model: Network, names: Sequence[str] | None, sought: Sequence[str], seed: int) -> HeadRows:
    """Returns the tensors of a head whose rows are those of classes called `sought`.

    Rows of classes that the weights know by name are theirs, others are fresh. Nothing is returned where either side
    has no names, where all are the same in the same order, and where no name is common and the number of classes
    differs: then the whole head is fresh anyway.

    Args:
        model: The network with its weights.
        names: The names of its classes, if known.
        sought: The names of the data's classes.
        seed: Of the fresh rows.
    """
    if not names or not sought or list(names) == list(sought):
        return HeadRows({}, "")
    positions = numbers_by_name(names, sought)
    known = [row for row, position in enumerate(positions) if position is not None]
    if not known and (len(names) != len(sought) or not (_are_words(names) and _are_words(sought))):
        return HeadRows({}, "")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = build(model.arch.with_(classes=len(sought))).state_dict()
    own, tensors = model.state_dict(), {}
    for key in _class_tensors(model.arch, model.arch.classes):
        tensors[key] = fresh[key].clone()
        if len(own[key]) == len(names):
            tensors[key][known] = own[key][[position for position in positions if position is not None]]
    new = [name for name, position in zip(sought, positions) if position is None]
    rows = f"rows of {len(known)} of {format_count(len(sought), 'class')}"
    fresh_rows = f"; fresh ones for {', '.join(new[:5])}{', …' if len(new) > 5 else ''}" if new else ""
    return HeadRows(tensors, f"the head's {rows} by their names{fresh_rows}")


def _class_tensors(arch: Arch, classes: int) -> list[str]:
    """Returns the names of the tensors whose shape depends on the number of classes."""
    with torch.device("meta"):
        smaller, larger = (build(arch.with_(classes=n)).state_dict() for n in (classes, classes + 1))
    return [key for key in smaller if smaller[key].shape != larger[key].shape]
