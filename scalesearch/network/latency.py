"""Measures the latency of networks and blocks on this machine's CPU or GPU, and makes device profiles of it."""

from __future__ import annotations

import math
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from scalesearch.arch import Arch, expand
from scalesearch.counting import DeviceProfile, features
from scalesearch.errors import InputError
from scalesearch.network.modules import build
from scalesearch.plain_data import PlainDict
from scalesearch.statistics import spearman

WARM_UP = 3
MIN_RUNS, MAX_RUNS = 7, 200
SECONDS = 0.15  # of measuring, per module
REPEAT_BELOW = 2e-4  # seconds; shorter runs are repeated and timed together
# median absolute deviations (scaled to a normal's) above the median: an interruption, no property of the network
OUTLIER = 3.0


@dataclass(frozen=True)
class Measurement:
    """Holds the measured latency of one forward pass.

    `seconds` is the median of `runs` runs, `spread` their median absolute deviation as a share of the median;
    `outliers` more runs were left out.
    """

    seconds: float
    spread: float
    runs: int
    outliers: int


def measure(
    model: nn.Module, *inputs: torch.Tensor, threads: int | None = None, seconds: float = SECONDS
) -> Measurement:
    """Measures the latency of `model` in eval mode on `inputs` of any shape, on their device.

    After a warm-up, runs are timed for `seconds`: at least 7, at most 200. Runs more than three scaled median
    absolute deviations above the median count as interruptions and are left out.

    Args:
        model: Its training mode is restored afterwards.
        inputs: The arguments of `forward`.
        threads: CPU threads of torch; as many as now if None.
        seconds: How long to measure.
    """
    previous_threads, was_training = torch.get_num_threads(), model.training
    torch.set_num_threads(threads or previous_threads)
    model.eval()
    try:
        with torch.inference_mode():
            return _measure_runs(lambda: model(*inputs), inputs[0].device, seconds)
    finally:
        torch.set_num_threads(previous_threads)
        model.train(was_training)


def _measure_runs(run: Callable[[], object], device: torch.device, seconds: float) -> Measurement:
    synchronise = (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else (lambda: None)

    def once(repeats: int) -> float:
        synchronise()
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        synchronise()
        return (time.perf_counter() - start) / repeats

    for _ in range(WARM_UP):
        first = once(1)
    repeats = max(1, math.ceil(REPEAT_BELOW / max(first, 1e-7)))
    runs: list[float] = []
    started = time.perf_counter()
    while len(runs) < MIN_RUNS or (len(runs) < MAX_RUNS and time.perf_counter() - started < seconds):
        runs.append(once(repeats))
    return summarise(runs)


def summarise(runs: Sequence[float]) -> Measurement:
    """Returns the measurement that runs of so many seconds make up, without outliers."""
    median = statistics.median(runs)
    spread = statistics.median(abs(r - median) for r in runs)
    inliers = [r for r in runs if r <= median + OUTLIER * 1.4826 * max(spread, 0.01 * median)]
    median = statistics.median(inliers)
    relative_spread = statistics.median(abs(r - median) for r in inliers) / median
    return Measurement(median, relative_spread, len(inliers), len(runs) - len(inliers))


def device_name(device: torch.device) -> str:
    """Returns the name of the CPU or GPU, which a profile records."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def gpu_count() -> int:
    """Returns how many GPUs torch sees."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def device_from_name(name: str) -> torch.device:
    """Returns the device `name`, "cpu" or "cuda".

    Raises:
        InputError: If torch does not have it here.
    """
    if name != "cpu" and not (name.startswith("cuda") and torch.cuda.is_available()):
        raise InputError(
            f"takes cpu, or cuda where torch sees a GPU (it sees {torch.cuda.device_count()}); got {name!r}", "--device"
        )
    return torch.device(name)


def measure_arch(arch: Arch, device: torch.device, batch: int = 1, threads: int | None = None) -> Measurement:
    """Measures the latency of a network of `arch` with fresh weights, on a random batch of images."""
    model, images = _network_and_images(arch, device, batch)
    return measure(model, images, threads=threads)


def _network_and_images(arch: Arch, device: torch.device, batch: int) -> tuple[nn.Module, torch.Tensor]:
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
    """Measures a device profile: the latency of every distinct block in `archs`.

    Overhead and slope are fitted to the latency of these networks as a whole; the profile's error is that on
    `held_out`.

    Args:
        archs: Networks whose blocks are measured.
        held_out: Networks that are measured only as a whole.
        device: Where to measure.
        threads: CPU threads of torch.
        batch: Images per forward pass.
        progress: Called with the name of each network before it is measured.
    """
    blocks: dict[str, PlainDict] = {}
    for arch in archs:
        progress(arch.name)
        _measure_blocks(arch, device, batch, threads, blocks)
    raw = DeviceProfile(device_name(device), threads, batch, blocks)
    latencies = {}
    for arch in (*archs, *held_out):
        progress(arch.name)
        latencies[arch] = measure_arch(arch, device, batch, threads).seconds
    sums = np.array([raw.predict(expand(arch)) for arch in archs])
    times = np.array([latencies[arch] for arch in archs])
    overhead, slope = _fit_line(sums, times)
    environment = {"torch": torch.__version__, "python": platform.python_version(), "system": platform.system()}
    fitted = DeviceProfile(raw.device, threads, batch, blocks, overhead, slope, {}, environment)
    error = _prediction_error([fitted.predict(expand(a)) for a in held_out], [latencies[a] for a in held_out])
    return DeviceProfile(raw.device, threads, batch, blocks, overhead, slope, error, environment)


def _measure_blocks(arch: Arch, device: torch.device, batch: int, threads: int, blocks: dict[str, PlainDict]) -> None:
    """Measures each block not yet in `blocks`, on the maps that it takes in the network, and adds it there."""
    graph = expand(arch)
    unmeasured = {path: block for path, block in graph.blocks() if block.layers and block.digest not in blocks}
    if not unmeasured:
        return
    model, images = _network_and_images(arch, device, batch)
    block_inputs: dict[str, tuple[Any, ...]] = {}

    def recorder(path: str) -> Callable[..., Any]:
        return lambda module, inputs: block_inputs.setdefault(path, inputs) and None

    hooks = [model.get_submodule(path).register_forward_pre_hook(recorder(path)) for path in unmeasured]
    with torch.inference_mode():
        model(images)
    for hook in hooks:
        hook.remove()
    for path, block in unmeasured.items():
        if block.digest not in blocks:
            measurement = measure(model.get_submodule(path), *block_inputs[path], threads=threads, seconds=SECONDS / 3)
            blocks[block.digest] = {
                "kind": block.kind,
                "features": [round(f, 6) for f in features(block)],
                "seconds": measurement.seconds,
                "spread": round(measurement.spread, 4),
                "runs": measurement.runs,
            }


def _fit_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Fits y ≈ overhead + slope · x by least squares of relative errors, and returns overhead and slope.

    With fewer than four points, or a fit that makes no sense, the overhead is 0 and the slope the median
    ratio.
    """
    if len(x) >= 4:
        weights = 1 / y
        solution, *_ = np.linalg.lstsq(np.stack([weights, x * weights], 1), np.ones(len(x)), rcond=None)
        if solution[0] >= 0 and solution[1] > 0:
            return float(solution[0]), float(solution[1])
    return 0.0, float(np.median(y / x)) if len(x) else 1.0


def _prediction_error(predicted: Sequence[float], measured: Sequence[float]) -> dict[str, float]:
    """Returns the relative errors of predictions, median and largest, and the rank correlation."""
    if not measured:
        return {}
    deviations = np.abs(np.array(predicted) / np.array(measured) - 1)
    summary = {
        "networks": len(measured),
        "median": round(float(np.median(deviations)), 4),
        "largest": round(float(deviations.max()), 4),
    }
    if len(measured) > 2:
        summary["rank_correlation"] = round(spearman(predicted, measured), 4)
    return summary
