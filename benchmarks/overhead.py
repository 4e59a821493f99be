"""20 trials that do nothing, through our run loop, against bare Ray Tune with reused actors: `python
benchmarks/overhead.py`.

Both in one Ray session, in turn, several times; each a whole Tune run. Ours logs and syncs every trial to disk,
searches, counts and checks budgets beside.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from scalesearch import yamlfile
from scalesearch.runs import ray_tune
from scalesearch.runs.stopping import Stop
from scalesearch.study.driver import Driver
from scalesearch.study.reading import load_study
from scalesearch.study.steps import base
from scalesearch.trials import Place
from scalesearch.trials.log import TrialLog

TRIALS = 20
SPACE = Path(__file__).parent.parent / "search_spaces" / "mbconv.yaml"


def bare(tune, trainable: type, folder: Path) -> float:
    start = time.perf_counter()
    tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"x": tune.uniform(0, 1)},
        tune_config=tune.TuneConfig(num_samples=TRIALS, reuse_actors=True),
        run_config=tune.RunConfig(
            storage_path=str(folder),
            name="bare",
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    ).fit()
    return time.perf_counter() - start


def ours(folder: Path) -> float:
    study_file = folder / "nothing.yaml"
    study_file.write_text(
        yamlfile.dump(
            {
                "space": str(SPACE),
                "data": "digits",
                "resolution": 16,
                "budget": {"macs": 20_000_000},
                "search": {"with": "random", "trials": TRIALS},
            }
        )
    )
    study = load_study(study_file)
    steps = tuple(step for step in study.steps if step.name == base.NAME)
    driver = Driver(replace(study, steps=steps), TrialLog(folder / "trials.jsonl"))
    start = time.perf_counter()
    ray_tune.tune(driver, driver.next(), Place(folder), Stop(folder), lambda: None)
    took = time.perf_counter() - start
    assert len(driver.log.trials) == TRIALS
    assert all(t.done for t in driver.log)
    return took


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeats", type=int, default=5)
    repeats = options.parse_args().repeats
    import os

    os.environ |= ray_tune.RAY_SETTINGS
    import ray
    from ray import tune

    logging.getLogger("ray").setLevel(logging.CRITICAL)
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
        object_store_memory=ray_tune.OBJECT_STORE,
        configure_logging=False,
    )

    class Nothing(tune.Trainable):
        def setup(self, config, **given):
            pass

        def reset_config(self, new_config):
            return True

        def step(self):
            return {
                "val_accuracy": 0.5,
                "done": True,
                "outcome": '{"scores": {"val_accuracy": 0.5, "val_loss": 1.0}, "seconds": 0.0}',
            }

    ray_tune._trainable = lambda: Nothing
    rows = []
    for _repeat in range(repeats + 1):  # the first warms Ray up
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            rows.append((ours(Path(one)), bare(tune, Nothing, Path(other))))
    ray.shutdown()
    rows = rows[1:]
    print(f"| {TRIALS} trials that do nothing | ours | bare Ray Tune, reused actors | ratio |")
    print("|---|---|---|---|")
    for a, b in rows:
        print(f"| | {a:.2f} s | {b:.2f} s | {a / b:.2f} |")
    print(
        f"| **median** | {median(a for a, _ in rows):.2f} s | {median(b for _, b in rows):.2f} s | "
        f"**{median(a / b for a, b in rows):.2f}** |"
    )


if __name__ == "__main__":
    main()
