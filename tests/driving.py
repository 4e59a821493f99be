"""A study driven without Ray and without training, its jobs ending in any order."""

from __future__ import annotations

import copy
from pathlib import Path
from random import Random

from helpers import TINY_SPACE

from scalesearch import yamlfile
from scalesearch.arch.expansion import expand
from scalesearch.counting.counts import cost
from scalesearch.study.driver import Driver
from scalesearch.trials.job import WAIT, Job
from scalesearch.trials.log import TrialLog
from scalesearch.trials.recipe import PROXIES

STUDY = {
    "space": TINY_SPACE,
    "data": "digits",
    "resolution": 16,
    "budget": {"macs": 700_000},
    "search": {"with": "evolution", "trials": 12},
    "scale": {"with": "tpe", "trials": 7, "tolerance": 0.3},
    "family": {"phi": [0, 1, 2]},
    "compare": ["mobilenet_v1", "resnet18"],
    "seeds": [0, 1],
    "finalists": {"top": 0},
    "recipe": {"epochs": 1},
}
FULL = {  # changes of it, for every kind of step
    "search": {
        "with": "predictor",
        "trials": 14,
        "epochs": 9,
        "objective": ["accuracy", "params"],
        "screen": 6,
        "inherit": True,
        "scheduler": {"with": "asha", "eta": 3},
    },
    "finalists": {"top": 2, "seeds": [0, 1, 2]},
    "scale": {"trials": 6, "tolerance": 0.3, "phi": [1, 2], "transfer": 4},
}


def write_study(folder: Path, **changes) -> Path:
    path = folder / "study.yaml"
    path.write_text(yamlfile.dump(copy.deepcopy(STUDY) | changes))
    return path


def outcome_of(job: Job) -> dict:
    """A stand-in for training where the order of jobs is what is tested: a score that only the network decides."""
    score = int(expand(job.arch).digest, 16) % 1000 / 1000
    return {"scores": {"val_accuracy": score, "val_loss": 1 - score, "test_accuracy": score}, "seconds": 1.0}


def scored(job: Job) -> dict:
    """As `outcome_of`, with proxies, better the longer the training."""
    message = outcome_of(job)
    message["scores"] = {k: v * (0.5 + 0.05 * job.until) for k, v in message["scores"].items()} if job.until else {}
    message["scores"] |= {
        f"proxy.{name}": float(len(name) + message["seconds"] * cost(job.arch).params) for name in PROXIES
    }
    message["history"] = [
        {"epoch": e, "train_loss": Random(f"{job.name} {e}").random()} for e in range(job.start + 1, job.until + 1)
    ]
    return message


def drive(
    study, path: Path, order: Random, workers: int = 3, stop_after: int | None = None, outcome=outcome_of
) -> TrialLog:
    """Run the driver's jobs, `workers` at a time, ending in random order; stop dead after so many results."""
    driver, running, finished = Driver(study, TrialLog(path)), [], 0
    job = driver.next()
    while job is not None or running:
        while job is not None and job is not WAIT and len(running) < workers:
            running.append(job)
            job = driver.next()
        assert running, "the driver waits for results that nobody works on"
        done = running.pop(order.randrange(len(running)))
        driver.finish(done, outcome(done))
        finished += 1
        if finished == stop_after:
            break
        if job is WAIT:
            job = driver.next()
    return driver.log


def essence(log: TrialLog) -> list:
    return [
        (t.step, t.number, t.name, t.network, t.decisions, t.scores, t.rejected)
        for t in sorted(log, key=lambda t: t.key)
    ]
