"""The whole loop of a study at scale, its trainings simulated: `python benchmarks/scale.py`.

10,000 trials on 256 workers that answer after a simulated time with a score by a formula. All else is real: searcher,
budget, driver, the log synced to disk line by line, the report. *A trial costs* what the driver does for one:
proposing, counting, logging.
"""

from __future__ import annotations

import argparse
import heapq
import math
import resource
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from random import Random
from statistics import median

from scalesearch import yamlfile
from scalesearch.arch import expand
from scalesearch.runs.artifacts import write_report
from scalesearch.study import Driver, load_study
from scalesearch.trials import Job, TrialLog

SPACE = Path(__file__).parent.parent / "search_spaces" / "mbconv.yaml"
POINTS = (100, 300, 1_000, 3_000, 10_000)


def study_of(folder: Path, searcher: str, trials: int, workers: int):
    path = folder / "scale.yaml"
    path.write_text(
        yamlfile.dump(
            {
                "name": "scale",
                "space": str(SPACE),
                "data": "digits",
                "resolution": 16,
                "budget": {"macs": "20M"},
                "search": {"with": searcher, "trials": trials, "epochs": 2},
                "finalists": {"top": 2, "seeds": [0, 1]},
                "scale": {"with": searcher, "trials": 12, "tolerance": 0.05, "epochs": 2},
                "family": {"phi": [0, 1]},
                "compare": ["resnet20_cifar"],
                "recipe": {"epochs": 4},
                "parallel": workers,
            }
        )
    )
    return load_study(path)


def simulated(job: Job, dice: Random) -> dict:
    """An outcome: better with more MACs, and with what the network's digest is worth."""
    worth = int(expand(job.arch).digest[:6], 16) / 0xFFFFFF
    accuracy = min(0.999, 0.5 + 0.04 * math.log10(job.cost["macs"]) + 0.1 * worth + dice.gauss(0, 0.005))
    history = [{"epoch": i + 1, "train_loss": 2 / (i + 1), "val_accuracy": accuracy} for i in range(job.until)]
    splits = ("val", "test") if job.final else ("val",)
    return {
        "scores": {
            key: value
            for split in splits
            for key, value in ((f"{split}_accuracy", accuracy), (f"{split}_loss", 1 - accuracy))
        },
        "history": history,
        "network": job.network,
        "recipe": job.recipe.digest,
        "built": job.network[:16],
        "seconds": job.cost["macs"] / 1e6,
        "images": 1000,
        "inherited": 0.0,
        "used": {"device": "cpu", "precision": "fp32", "micro_batch": 64, "epochs": job.until, "inherited": 0.0},
    }


def run(driver: Driver, workers: int, dice: Random) -> list[float]:
    """Seconds of driver's work, trial by trial."""
    busy: list[tuple[float, int, Job]] = []
    now, spent, costs = 0.0, 0.0, []
    for number in range(10**9):
        while len(busy) < workers:
            began = time.perf_counter()
            job = driver.next()
            spent += time.perf_counter() - began
            if not isinstance(job, Job):
                break
            heapq.heappush(busy, (now + dice.expovariate(1 / math.sqrt(job.cost["macs"])), number, job))
            number += 1
        if not busy:
            return costs
        now, _, job = heapq.heappop(busy)
        outcome = simulated(job, dice)
        began = time.perf_counter()
        driver.finish(job, outcome)
        costs.append(spent + time.perf_counter() - began)
        spent = 0.0
    return costs


def measured(searcher: str, trials: int, workers: int) -> None:
    """A line for each of the points on the way, and one for the whole."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        driver = Driver(study_of(folder, searcher, trials, workers), TrialLog(folder / "trials.jsonl"))
        costs = run(driver, workers, Random(0))
        for point in [p for p in POINTS if p < len(costs)]:
            last = costs[point // 2 : point]  # long enough that waves of answers level out
            print(f"| {searcher} | {point:,} | {1000 * sum(last) / len(last):.1f} ms | | | | |")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        began = time.perf_counter()
        write_report(driver, folder)
        took = time.perf_counter() - began
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        log_size, page = ((folder / name).stat().st_size / 1e6 for name in ("trials.jsonl", "report.html"))
        print(
            f"| **{searcher}** | {len(costs):,} | {1000 * sum(costs) / len(costs):.1f} ms, median "
            f"{1000 * median(costs):.1f} | {log_size:.1f} MB | {before:.0f} MiB, {memory:.0f} with the report | "
            f"{took:.1f} s | {page:.2f} MB |",
            flush=True,
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=10_000)
    options.add_argument("--workers", type=int, default=256)
    options.add_argument("--with", dest="searchers", nargs="+", default=["predictor", "evolution", "random"])
    payload = options.parse_args()
    print("| searcher | trials | a trial costs, mean of the last half | log | driver's memory | report | its size |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:  # a process each, so that memory is its own
        pool.starmap(measured, [(name, payload.trials, payload.workers) for name in payload.searchers], chunksize=1)


if __name__ == "__main__":
    main()
