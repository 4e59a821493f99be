"""Our cost against fvcore's on a network that is already built: `python benchmarks/cost.py [MODEL…]`.

Both give the same integers. First the zoo: "warm" is what a search pays for blocks that it met before, "cold" the first
time ever. Then searches: a thousand networks drawn from a space, counted one after another with nothing remembered at
the start; fvcore's mean is over every fiftieth of them. "fvcore" is `FlopCountAnalysis(model, x).total()` on a built
module, one thread. Python collects no garbage meanwhile, as in `timeit`: in a process with torch that takes 0.1 s each
time, whoever's turn it is.
"""

from __future__ import annotations

import argparse
import gc
import logging
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median

import torch
from fvcore.nn import FlopCountAnalysis

import scalesearch as ss
from scalesearch import cost, zoo
from scalesearch.arch.blocks.registry import out_shape, record_block
from scalesearch.arch.expansion import expand_stage
from scalesearch.arch.symbolic import window_geometry
from scalesearch.counting.counts import block_cost, stage_cost
from scalesearch.counting.tally import count_block
from scalesearch.network.modules import build

REMEMBERED = [window_geometry, record_block, out_shape, expand_stage, block_cost, stage_cost, count_block]
SPACES = Path(__file__).parents[1] / "search_spaces"
SEARCHED = [
    "mbconv",
    "efficientnet",
    "mnasnet",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenetv4",
    "resnet",
    "regnet",
    "densenet",
    "inception_v3",
    "shufflenet",
    "squeezenet",
    "vgg",
    "yolo",
    "nasbench201",
    "small_images",
]


def seconds(run: Callable[[], object], least: float, most: int) -> float:
    """Median time of a call, over `most` calls or as many as fit into `least` seconds, three at least."""
    gc.collect()
    times: list[float] = []
    while len(times) < 3 or (len(times) < most and sum(times) < least):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return median(times)


def forget() -> None:
    for remembered in REMEMBERED:
        remembered.cache_clear()


def cold(arch: ss.Arch) -> None:
    forget()
    cost(arch)


def fvcores_of(arch: ss.Arch) -> Callable[[], int]:
    model, x = build(arch).eval(), torch.zeros(1, arch.channels, *arch.sides)
    return lambda: int(FlopCountAnalysis(model, x).unsupported_ops_warnings(False).total())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("models", nargs="*", default=list(zoo.MODELS))
    options.add_argument("--spaces", nargs="*", default=SEARCHED)
    options.add_argument("--networks", type=int, default=1000)
    given = options.parse_args()
    torch.set_num_threads(1)
    gc.disable()
    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
    print("| network | resolution | ours, warm | ours, cold | fvcore | fvcore / warm | fvcore / cold | equal |")
    print("|---|---|---|---|---|---|---|---|")
    rows = [row(name) for name in given.models]
    for what, of in (("median", median), ("least", min)) if rows else ():
        warm, first = (of(column) for column in zip(*rows))
        print(f"| {what} | | | | | {warm:,.0f} | {first:,.0f} | |")
    print(f"\n| {given.networks} networks of | ours, mean | fvcore, mean | fvcore / ours | equal |")
    print("|---|---|---|---|---|")
    ratios = [searched(name, given.networks) for name in given.spaces]
    if ratios:
        print(f"| mean of {len(ratios)} spaces | | | {mean(ratios):,.0f} | |\n| least | | | {min(ratios):,.0f} | |")


def row(name: str) -> tuple[float, float]:
    arch = zoo.model(name)
    fvcores = fvcores_of(arch)
    theirs, first = seconds(fvcores, 2.0, 15), seconds(lambda: cold(arch), 0.5, 101)
    ours, equal = seconds(lambda: cost(arch), 0.2, 2001), fvcores() == cost(arch).fvcore_total
    print(
        f"| {name} | {arch.resolution} | {ours * 1e6:.1f} µs | {first * 1e3:.2f} ms | {theirs * 1e3:.0f} ms | "
        f"{theirs / ours:,.0f} | {theirs / first:,.0f} | {'yes' if equal else 'NO'} |",
        flush=True,
    )
    return theirs / ours, theirs / first


def searched(name: str, networks: int) -> float:
    space = ss.load_space(SPACES / f"{name}.yaml")
    archs = [space.sample(seed)[1] for seed in range(networks)]
    forget()
    gc.collect()
    start = time.perf_counter()
    costs = [cost(arch) for arch in archs]
    ours = (time.perf_counter() - start) / networks
    times, equal = [], True
    for arch, counted_ in list(zip(archs, costs))[:: max(1, networks // 20)]:
        fvcores = fvcores_of(arch)
        gc.collect()
        start = time.perf_counter()
        equal &= fvcores() == counted_.fvcore_total
        times.append(time.perf_counter() - start)
    print(
        f"| {name} | {ours * 1e6:.0f} µs | {mean(times) * 1e3:.0f} ms | {mean(times) / ours:,.0f} | "
        f"{'yes' if equal else 'NO'} |",
        flush=True,
    )
    return mean(times) / ours


if __name__ == "__main__":
    main()
