"""Our cost against fvcore's on a network that is already built, over the whole zoo: `python benchmarks/cost.py`.

Both give the same integers. "warm" is what a search pays: `cost(arch)` again, its blocks remembered; "cold" is the
first time ever, every block recorded anew; "fvcore" is `FlopCountAnalysis(model, x).total()` on a built module, one
thread.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from statistics import median

import torch
from fvcore.nn import FlopCountAnalysis

from scalesearch import cost, zoo
from scalesearch.arch.blocks.registry import record
from scalesearch.arch.expansion import expand, expand_stage
from scalesearch.counting.counts import block_cost, stage_cost
from scalesearch.network.modules import build

REMEMBERED = [f for f in (record, expand, expand_stage, block_cost, stage_cost) if hasattr(f, "cache_clear")]


def seconds(run: Callable[[], object], least: float, most: int) -> float:
    """Median time of a call, over `most` calls or as many as fit into `least` seconds, three at least."""
    times: list[float] = []
    while len(times) < 3 or (len(times) < most and sum(times) < least):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return median(times)


def cold(arch) -> None:
    for remembered in REMEMBERED:
        remembered.cache_clear()
    cost(arch)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("models", nargs="*", default=list(zoo.MODELS))
    torch.set_num_threads(1)
    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
    print("| network | resolution | ours, warm | ours, cold | fvcore | fvcore / warm | fvcore / cold | equal |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.parse_args().models:
        print(row(name), flush=True)


def row(name: str) -> str:
    arch = zoo.model(name)
    model, x = build(arch).eval(), torch.zeros(1, arch.channels, arch.resolution, arch.resolution)
    fvcores = lambda: FlopCountAnalysis(model, x).unsupported_ops_warnings(False).total()
    theirs, first = seconds(fvcores, 2.0, 15), seconds(lambda: cold(arch), 0.5, 101)
    ours, equal = seconds(lambda: cost(arch), 0.2, 2001), fvcores() == cost(arch).fvcore_total
    return (f"| {name} | {arch.resolution} | {ours * 1e6:.1f} µs | {first * 1e3:.2f} ms | {theirs * 1e3:.0f} ms | "
            f"{theirs / ours:,.0f} | {theirs / first:,.0f} | {'yes' if equal else 'NO'} |")  # fmt: skip


if __name__ == "__main__":
    main()
