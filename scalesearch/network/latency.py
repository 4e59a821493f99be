"""Latency, measured: whole networks and single blocks on this machine's CPU or GPU, and profiles made of them."""

from __future__ import annotations

import math
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from scalesearch.arch import Arch, expand
from scalesearch.counting import DeviceProfile, features
from scalesearch.errors import InputError
from scalesearch.network.modules import build
from scalesearch.statistics import spearman

WARM_UP = 3
LEAST_RUNS, MOST_RUNS = 7, 200
SECONDS = 0.15  # of measuring, per module
SHORTEST = 2e-4  # what is shorter than this many seconds is run several times in a row
# median absolute deviations (scaled to a normal's) above the median: an interruption, no property of the network
OUTLIER = 3.0


@dataclass(frozen=True)
class Measurement:
    """Median seconds of a forward pass, the spread of the runs that count (their median absolute deviation as a share
    of the median), how many these were and how many were left out as outliers."""

    seconds: float
    spread: float
    runs: int
    outliers: int


def measure(
    model: nn.Module, *inputs: torch.Tensor, threads: int | None = None, seconds: float = SECONDS
) -> Measurement:
    """The latency of `model` in eval mode on `inputs`, on their device: warm-up, then runs for `seconds`, at least 7.

    Runs more than three scaled median absolute deviations above the median are interruptions and are left out.
    """
    before, was_training = torch.get_num_threads(), model.training
    torch.set_num_threads(threads or before)
    model.eval()
    try:
        with torch.inference_mode():
            return _timed(lambda: model(*inputs), inputs[0].device, seconds)
    finally:
        torch.set_num_threads(before)
        model.train(was_training)


def _timed(run: Callable[[], object], device: torch.device, seconds: float) -> Measurement:
    wait = (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else (lambda: None)

    def once(repeats: int) -> float:
        wait()
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        wait()
        return (time.perf_counter() - start) / repeats

    for _ in range(WARM_UP):
        first = once(1)
    repeats = max(1, math.ceil(SHORTEST / max(first, 1e-7)))
    runs: list[float] = []
    started = time.perf_counter()
    while len(runs) < LEAST_RUNS or (len(runs) < MOST_RUNS and time.perf_counter() - started < seconds):
        runs.append(once(repeats))
    return summarised(runs)


def summarised(runs: Sequence[float]) -> Measurement:
    """The runs as one measurement, outliers left out."""
    middle = statistics.median(runs)
    spread = statistics.median(abs(r - middle) for r in runs)
    kept = [r for r in runs if r <= middle + OUTLIER * 1.4826 * max(spread, 0.01 * middle)]
    middle = statistics.median(kept)
    return Measurement(
        middle, statistics.median(abs(r - middle) for r in kept) / middle, len(kept), len(runs) - len(kept)
    )


def device_name(device: torch.device) -> str:
    """What a profile is of."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def checked_device(name: str) -> torch.device:
    """Raises `InputError` for a device that torch does not have here."""
    if name != "cpu" and not (name.startswith("cuda") and torch.cuda.is_available()):
        raise InputError(
            f"takes cpu, or cuda where torch sees a GPU (it sees {torch.cuda.device_count()}); got {name!r}", "--device"
        )
    return torch.device(name)


def measure_arch(arch: Arch, device: torch.device, batch: int = 1, threads: int | None = None) -> Measurement:
    """The latency of an architecture's network."""
    model, images = _placed(arch, device, batch)
    return measure(model, images, threads=threads)


def _placed(arch: Arch, device: torch.device, batch: int) -> tuple[nn.Module, torch.Tensor]:
    model = build(arch).to(device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    images = torch.randn(batch, arch.channels, *arch.sides, device=device)
    return model, images.contiguous(memory_format=torch.channels_last)


def profile(
    archs: Sequence[Arch],
    held_out: Sequence[Arch],
    device: torch.device,
    *,
    threads: int = 1,
    batch: int = 1,
    progress: Callable[[str], None] = lambda text: None,
) -> DeviceProfile:
    """A profile of every distinct block in `archs`, fitted to those networks whole, its error that on the networks
    `held_out`."""
    blocks: dict[str, dict] = {}
    for arch in archs:
        progress(arch.name)
        _measure_blocks(arch, device, batch, threads, blocks)
    raw = DeviceProfile(device_name(device), threads, batch, blocks)
    whole = {}
    for arch in (*archs, *held_out):
        progress(arch.name)
        whole[arch] = measure_arch(arch, device, batch, threads).seconds
    sums = np.array([raw.predict(expand(arch)) for arch in archs])
    times = np.array([whole[arch] for arch in archs])
    overhead, slope = _line(sums, times)
    environment = {"torch": torch.__version__, "python": platform.python_version(), "system": platform.system()}
    fitted = DeviceProfile(raw.device, threads, batch, blocks, overhead, slope, {}, environment)
    error = _error([fitted.predict(expand(a)) for a in held_out], [whole[a] for a in held_out])
    return DeviceProfile(raw.device, threads, batch, blocks, overhead, slope, error, environment)


def _measure_blocks(arch: Arch, device: torch.device, batch: int, threads: int, blocks: dict[str, dict]) -> None:
    """Each block that is not known yet, on the maps that it meets in the network."""
    graph = expand(arch)
    wanted = {path: block for path, block in graph.blocks() if block.layers and block.digest not in blocks}
    if not wanted:
        return
    model, images = _placed(arch, device, batch)
    met: dict[str, tuple] = {}

    def noted(path):
        return lambda module, inputs: met.setdefault(path, inputs) and None

    hooks = [model.get_submodule(path).register_forward_pre_hook(noted(path)) for path in wanted]
    with torch.inference_mode():
        model(images)
    for hook in hooks:
        hook.remove()
    for path, block in wanted.items():
        if block.digest not in blocks:
            found = measure(model.get_submodule(path), *met[path], threads=threads, seconds=SECONDS / 3)
            blocks[block.digest] = {
                "kind": block.kind,
                "features": [round(f, 6) for f in features(block)],
                "seconds": found.seconds,
                "spread": round(found.spread, 4),
                "runs": found.runs,
            }


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Overhead and slope of y ≈ overhead + slope · x, errors taken as shares; the slope alone for few networks."""
    if len(x) < 4:
        return 0.0, float(np.median(y / x)) if len(x) else 1.0
    weights = 1 / y
    solved, *_ = np.linalg.lstsq(np.stack([weights, x * weights], 1), np.ones(len(x)), rcond=None)
    return (float(solved[0]), float(solved[1])) if solved[0] >= 0 and solved[1] > 0 else (0.0, float(np.median(y / x)))


def _error(predicted: Sequence[float], measured: Sequence[float]) -> dict[str, float]:
    """How far predictions are from what was measured: median and largest as shares, and the rank correlation."""
    if not measured:
        return {}
    off = np.abs(np.array(predicted) / np.array(measured) - 1)
    found = {
        "networks": len(measured),
        "median": round(float(np.median(off)), 4),
        "largest": round(float(off.max()), 4),
    }
    if len(measured) > 2:
        found["rank_correlation"] = round(spearman(predicted, measured), 4)
    return found
