"""Our cost against fvcore's on a network that is already built, over the whole zoo: `python benchmarks/cost.py`.

Both give the same integers. "warm" is what a search pays: `cost(arch)` again, its blocks remembered; "cold" is the first
time ever, every block recorded anew; "fvcore" is `FlopCountAnalysis(model, x).total()` on a built module, one thread.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from statistics import median

import torch
from fvcore.nn import FlopCountAnalysis

from scalesearch import expand, zoo
from scalesearch.arch import blocks
from scalesearch.counting import counts as counting
from scalesearch.network.modules import build

REMEMBERED = (blocks.record, expand.expand_stage, counting.block_cost, counting._stage)


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
    counting.cost(arch)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("models", nargs="*", default=list(zoo.MODELS))
    torch.set_num_threads(1)
    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
    print("| network | resolution | ours, warm | ours, cold | fvcore | fvcore / warm | fvcore / cold | equal |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.parse_args().models:
        arch = zoo.model(name)
        model, x = build(arch).eval(), torch.zeros(1, arch.channels, arch.resolution, arch.resolution)
        theirs = seconds(lambda: FlopCountAnalysis(model, x).unsupported_ops_warnings(False).total(), 2.0, 15)
        first = seconds(lambda: cold(arch), 0.5, 101)
        ours = seconds(lambda: counting.cost(arch), 0.2, 2001)
        equal = FlopCountAnalysis(model, x).unsupported_ops_warnings(False).total() == counting.cost(arch).fvcore_total
        print(f"| {name} | {arch.resolution} | {ours * 1e6:.1f} µs | {first * 1e3:.2f} ms | {theirs * 1e3:.0f} ms | "
              f"{theirs / ours:,.0f} | {theirs / first:,.0f} | {'yes' if equal else 'NO'} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
