"""Device profiles: the measured latency of blocks on a device, from which that of networks is predicted.

A profile is a JSON file that `scalesearch profile` makes by measuring; reading one and predicting from it
needs no torch.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path

import numpy as np

from scalesearch.arch import BlockGraph, Graph
from scalesearch.counting.counts import block_cost
from scalesearch.errors import InputError, format_value
from scalesearch.files import save_text
from scalesearch.plain_data import PlainDict
from scalesearch.signature import is_number
from scalesearch.typed_json import load_json

VERSION = 1
MOST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class DeviceProfile:
    """Holds the median seconds per block on a device, and predicts the latency of whole networks.

    `blocks` are keyed by the digest of the recorded block (operators, wiring and shapes). The latency of a block
    that was not measured is estimated from measured blocks of its kind by its MACs, activations and layers. A
    network takes `overhead` + `slope` × the sum of its blocks, both fitted to networks that were measured whole.
    `error` is that of `held_out` networks, which took no part in the fit: median and largest deviation as shares,
    and Spearman's rank correlation.
    """

    device: str
    threads: int
    batch: int
    blocks: dict[str, PlainDict]
    overhead: float = 0.0
    slope: float = 1.0
    error: dict[str, float] = field(default_factory=dict)
    environment: PlainDict = field(default_factory=dict)

    def predict(self, graph: Graph) -> float:
        """Returns the predicted seconds of one forward pass on `batch` images."""
        return self.overhead + self.slope * sum(self.block(b) for _, b in graph.blocks())

    def block(self, block: BlockGraph) -> float:
        """Returns the seconds of `block`: measured, else estimated; 0 for a block without layers."""
        if not block.layers:
            return 0.0
        measured = self.blocks.get(block.digest)
        return measured["seconds"] if measured else self._estimate(block)

    def measured_share(self, graph: Graph) -> float:
        """Returns the share in [0, 1] of a network's blocks that were measured."""
        blocks = [b for _, b in graph.blocks() if b.layers]
        return sum(b.digest in self.blocks for b in blocks) / max(1, len(blocks))

    @cached_property
    def _fits(self) -> dict[str, np.ndarray]:
        """Returns linear fits of log seconds to `features`, by kind of block; the key "" is the fit over all kinds."""
        by_kind: dict[str, list[tuple[list[float], float]]] = defaultdict(list)
        for row in self.blocks.values():
            for kind in (row["kind"], ""):
                by_kind[kind].append((row["features"], math.log(row["seconds"])))
        return {kind: _ridge(rows) for kind, rows in by_kind.items() if kind == "" or len(rows) >= 12}

    def _estimate(self, block: BlockGraph) -> float:
        weights = self._fits.get(block.kind, self._fits.get(""))
        return 0.0 if weights is None else float(np.exp(np.dot(weights, [1.0, *features(block)])))

    def to_dict(self) -> PlainDict:
        """Returns the profile as JSON holds it, with its format's version."""
        return {"version": VERSION, **asdict(self)}

    def save(self, path: str | Path) -> None:
        """Writes the profile to a JSON file."""
        save_text(json.dumps(self.to_dict(), indent=1) + "\n", Path(path))


def features(block: BlockGraph) -> list[float]:
    """Returns the predictors of a block's latency.

    They are log(1 + n) of its MACs, of the output elements of its layers, and of the number of its layers.
    """
    elements = sum(math.prod(layer.shape) for layer in block.layers if isinstance(layer.shape[0], int))
    return [math.log(1 + block_cost(block).macs), math.log(1 + elements), math.log(1 + len(block.layers))]


def _ridge(rows: Sequence[tuple[Sequence[float], float]], weight: float = 1e-2) -> np.ndarray:
    x = np.array([[1.0, *f] for f, _ in rows])
    y = np.array([value for _, value in rows])
    mean = y.mean()
    coefficients = np.linalg.solve(x.T @ x + weight * np.eye(x.shape[1]), x.T @ (y - mean))
    coefficients[0] += mean
    return coefficients


def read_profile(device: object, folder: str | Path | None = None) -> DeviceProfile:
    """Returns the profile that a budget's `device` names.

    Args:
        device: The path of a profile's JSON file, or the content of such a file.
        folder: What a relative path is relative to.

    Raises:
        InputError: If `device` is neither, or the file holds no profile.
    """
    if isinstance(device, Mapping):
        return profile_from_dict(device)
    if not isinstance(device, str):
        raise InputError(f"takes the file of a device profile, got {format_value(device)}", "device")
    return load_profile(device, folder)


def load_profile(path: str | Path, folder: str | Path | None = None) -> DeviceProfile:
    """Reads the profile in the JSON file at `path`, relative to `folder`.

    Raises:
        InputError: If the file cannot be read, is larger than `MOST_BYTES`, or holds no profile.
    """
    file = Path(folder or ".") / str(path)
    try:
        if file.stat().st_size > MOST_BYTES:
            raise InputError(f"is larger than {MOST_BYTES:,} bytes").in_file(str(file))
        data = load_json(file.read_bytes())
    except OSError as error:
        message = f"cannot be read: {error.strerror}; `scalesearch profile` makes one"
        raise InputError(message, "device").in_file(str(file)) from None
    except ValueError:
        raise InputError("is no JSON").in_file(str(file)) from None
    return profile_from_dict(data, str(file))


def profile_from_dict(data: object, file: str = "") -> DeviceProfile:
    """Builds a profile from its plain data.

    Args:
        data: What a profile's file holds.
        file: The file, for messages; empty for a profile that stands in a study.

    Raises:
        InputError: If `data` is no profile; located in the file, else at `device`.
    """
    problem = _profile_problem(data)
    if problem:
        error = InputError(problem, "" if file else "device")
        raise error.in_file(file) if file else error
    assert isinstance(data, Mapping)
    return DeviceProfile(**{key: value for key, value in data.items() if key != "version"})


def _profile_problem(data: object) -> str:
    """Returns in words why `data` is no profile; empty if it is one."""
    if not isinstance(data, Mapping) or not isinstance(data.get("blocks"), Mapping):
        return "is no device profile; `scalesearch profile` makes one"
    if data.get("version") != VERSION:
        version = format_value(data.get("version"))
        return f"is a device profile of version {version}, not {VERSION}; make it again with `scalesearch profile`"
    if not data["blocks"]:
        return "is no device profile: it has no blocks"
    for digest, row in data["blocks"].items():
        if not _is_block_row(row):
            needs = "needs a kind, seconds above 0 and 3 finite features"
            return f"is no device profile: block {format_value(digest)} {needs}"
    known = {entry.name: entry for entry in fields(DeviceProfile)}
    if unknown := next((key for key in data if key not in (*known, "version")), None):
        return f"is no device profile: unknown key {unknown}"
    required = [name for name, entry in known.items() if entry.default is entry.default_factory is MISSING]
    if missing := [name for name in required if name not in data]:
        return f"is no device profile: it lacks {', '.join(missing)}"
    for key in ("overhead", "slope"):
        if not _is_finite(data.get(key, 0.0)) or data.get(key, 0.0) < 0:
            return f"is no device profile: {key} takes a number of at least 0, got {format_value(data[key])}"
    return ""


def _is_block_row(row: object) -> bool:
    return (
        isinstance(row, Mapping)
        and isinstance(row.get("kind"), str)
        and _is_finite(row.get("seconds"))
        and row["seconds"] > 0
        and isinstance(row.get("features"), list)
        and len(row["features"]) == 3
        and all(map(_is_finite, row["features"]))
    )


def _is_finite(value: object) -> bool:
    return is_number(value) and abs(value) < math.inf
