"""Random faults against one study, again and again until there were so many: `python benchmarks/chaos.py -n 100`.

Every round runs the same study anew, hit by faults at random moments until it has ended, and resumed after those that
end it; what stands in its log then must be what a run left alone has logged. *Recovered*: seconds from the fault to the
next trial that is logged, the start of a new driver included.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from scalesearch import yamlfile
from scalesearch.trials.log import TrialLog

STUDY = {
    "name": "chaos",
    "data": "digits",
    "resolution": 16,
    "budget": {"macs": 500_000},
    "parallel": 2,
    "space": {
        "name": "tiny",
        "resolution": 16,
        "classes": 10,
        "stem": {"conv": {"width": 8, "stride": 2}},
        "stages": [
            {"depth": {"range": [1, 2]}, "mbconv": {"width": {"choice": [8, 16]}, "expand": {"choice": [1, 3]}}},
            {"depth": {"range": [1, 2]}, "stride": 2, "mbconv": {"width": {"choice": [16, 24, 32]}}},
        ],
        "head": {"classifier": {}},
    },
    "search": {"with": "evolution", "trials": 12, "epochs": 2},
    "scale": {"with": "tpe", "trials": 6, "epochs": 2, "tolerance": 0.05},
    "family": {"phi": [0, 1]},
    "compare": ["shufflenet_v2_x0_5", "resnet20_cifar"],
    "recipe": {"epochs": 6},
    "ray": {"save_every": 0.1},
}
GRACE = 20  # seconds that what a killed driver had started has to go
LONGEST = 300  # seconds without a new trial, after which a run is taken for hung


class Round:
    """A run of the study in a folder of its own, as often as it has to be started."""

    def __init__(self, study: Path, folder: Path):
        self.study, self.folder, self.log = study, folder, folder / "trials.jsonl"
        self.process: subprocess.Popen | None = None
        self.seen: list[bytes] = []
        self.helpers: list[psutil.Process] = []

    def start(self) -> None:
        resumed = ["--resume"] if (self.folder / "study.yaml").exists() else []
        command = [sys.executable, "-m", "scalesearch", "run", str(self.study), "--out", str(self.folder), *resumed]
        self.process = subprocess.Popen(
            command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def children(self) -> list[psutil.Process]:
        assert self.process is not None
        with suppress(psutil.Error):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def named(self, words: str) -> list[psutil.Process]:
        found = []
        for process in self.children():
            with suppress(psutil.Error):
                if words in process.name() or words in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def end(self, number: int) -> None:
        """Send a signal to the driver; what it started is to go too."""
        assert self.process is not None
        children = self.children()
        self.process.send_signal(number)
        self.ended(children)

    def ended(self, children: list[psutil.Process]) -> None:
        assert self.process is not None
        self.process.communicate(timeout=LONGEST)
        self.helpers += children

    def lines(self) -> list[bytes]:
        return self.log.read_bytes().split(b"\n")[1:-1] if self.log.exists() else []

    def compare(self) -> int:
        """How many trials that were in the log are there no more."""
        now = self.lines()
        lost = len(set(self.seen) - set(now))
        self.seen = now
        return lost


# Faults: each does harm to a round that is running, and says whether it could.


def driver_killed(round: Round, dice: random.Random) -> bool:
    round.end(signal.SIGKILL)
    return True


def interrupted(round: Round, dice: random.Random) -> bool:
    round.end(signal.SIGINT)
    return True


def terminated(round: Round, dice: random.Random) -> bool:
    round.end(signal.SIGTERM)
    return True


def worker_killed(round: Round, dice: random.Random) -> bool:
    at_work = round.named("Train")
    for process in at_work[:1]:
        process.kill()
    return bool(at_work)


def node_killed(round: Round, dice: random.Random) -> bool:
    return _part_killed(round, "raylet")


def head_killed(round: Round, dice: random.Random) -> bool:
    return _part_killed(round, "gcs_server")


def _part_killed(round: Round, name: str) -> bool:
    children = round.children()
    there = [p for p in round.named(name) if p.name() == name]
    for process in there:
        process.kill()
    if there:
        round.ended(children)
    return bool(there)


def line_cut(round: Round, dice: random.Random) -> bool:
    """A kill in the middle of writing a trial: part of its line is there."""
    round.end(signal.SIGKILL)
    if not round.lines():
        return False
    with open(round.log, "ab") as file:
        file.write(round.lines()[-1][: dice.randrange(1, 200)])
    return True


def checkpoint_cut(round: Round, dice: random.Random) -> bool:
    """A kill, and a file system that has lost the end of what was saved."""
    round.end(signal.SIGKILL)
    saved = list(round.folder.glob("checkpoints/unfinished-*.pt"))
    for path in saved:
        with open(path, "r+b") as file:
            file.truncate(path.stat().st_size * dice.randrange(100) // 100)
    return bool(saved)


def disk_full(round: Round, dice: random.Random) -> bool:
    """The driver's files may grow no more, so that the next trial is logged in part; then there is room again."""
    assert round.process is not None
    if not round.log.exists():
        return False
    children, most = round.children(), round.log.stat().st_size + dice.randrange(300)
    psutil.Process(round.process.pid).rlimit(psutil.RLIMIT_FSIZE, (most, most))
    round.ended(children)
    return True


FAULTS: dict[str, Callable[[Round, random.Random], bool]] = {
    "driver killed": driver_killed,
    "Ctrl-C": interrupted,
    "SIGTERM": terminated,
    "worker killed": worker_killed,
    "node (raylet) killed": node_killed,
    "head (GCS) killed": head_killed,
    "log line cut": line_cut,
    "checkpoint cut": checkpoint_cut,
    "disk full": disk_full,
}


def essence(log: Path) -> dict[Any, Any]:
    """What must not depend on faults: everything but the times."""
    return {
        t.key: (t.name, t.network, t.decisions, t.scores, t.history, t.rejected, t.state, t.reason)
        for t in TrialLog(log, repair=False)
    }


def wait(round: Round, more: int, seconds: float) -> None:
    """Until so many more trials are logged, and so many seconds after that, or the end."""
    before, deadline = len(round.lines()), time.monotonic() + LONGEST
    while round.running and len(round.lines()) < before + more:
        if time.monotonic() > deadline:
            raise SystemExit("it hangs")
        time.sleep(0.02)
    rest = time.monotonic() + seconds
    while round.running and time.monotonic() < rest:
        time.sleep(0.02)


@dataclass
class Tally:
    """What the faults of all rounds did, beside the run left alone."""

    expected: dict
    pending: list[str]
    deadline: float
    total: int
    counts: Counter[str] = field(default_factory=Counter)
    recovered: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in FAULTS})
    rounds: int = 0
    trials: int = 0
    lost: int = 0
    doubled: int = 0
    different: int = 0
    orphans: int = 0

    def play(self, round: Round, dice: random.Random) -> None:
        """One run to its end, with a fault at a time while any is pending."""
        self.rounds += 1
        round.start()
        while True:
            wait(round, dice.choice((0, 1, 1, 2)), dice.uniform(0, 8))
            if not round.running and round.process and round.process.returncode == 0:
                break
            if not self.pending or time.monotonic() > self.deadline:
                self.pending.clear()
                wait(round, 10_000, 0)
                if round.process and round.process.returncode:
                    round.start()
            else:
                self.inject(round, dice)
        self.close(round)

    def inject(self, round: Round, dice: random.Random) -> None:
        """The next pending fault if it can happen now, and how long the run takes to its next trial."""
        round.compare()
        began, length = time.monotonic(), len(round.seen)
        name = self.pending[-1]
        happened = round.running and FAULTS[name](round, dice)
        if happened:
            self.pending.pop()
            self.counts[name] += 1
            done = sum(self.counts.values())
            print(f"{done}/{self.total} {name}, round {self.rounds}, {length} trials", file=sys.stderr)
            self.lost += round.compare()
        else:  # another one first
            self.pending.insert(0, self.pending.pop())
        if not round.running:
            round.start()
        wait(round, 1, 0)
        if happened and len(round.lines()) > length:
            self.recovered[name].append(time.monotonic() - began)

    def close(self, round: Round) -> None:
        """Compare the finished round's log with that of the run left alone."""
        self.lost += round.compare()
        found, keys = essence(round.log), Counter(_key(line) for line in round.lines())
        different = sum(found[key] != self.expected.get(key) for key in found)
        self.trials += len(self.expected)
        self.lost += len(self.expected.keys() - found.keys())
        self.doubled += sum(keys.values()) - len(keys)
        self.different += different
        self.orphans += len(psutil.wait_procs(round.helpers, timeout=GRACE)[1])
        report = (round.folder / "report.html").exists()
        print(
            f"round {self.rounds}: {len(found)} trials, {different} other than alone, report {report}", file=sys.stderr
        )

    def print(self, folders_left: int) -> None:
        print("| fault | injected | seconds to recover, median | at most |\n|---|---|---|---|")
        for name, times in self.recovered.items():
            middle, longest = (f"{median(times):.1f}", f"{max(times):.1f}") if times else ("–", "–")
            print(f"| {name} | {self.counts[name]} | {middle} | {longest} |")
        print(
            f"\n{self.rounds} runs of {len(self.expected)} trials; {self.different} trials other than those of the run "
            f"left alone, {self.orphans} processes and {folders_left} folders in /tmp left behind"
        )
        faults = sum(self.counts.values())
        print(f"faults {faults}, trials {self.trials}, lost {self.lost}, doubled {self.doubled}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("-n", type=int, default=100, help="how many faults")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--minutes", type=float, default=1e9, help="after which there are no more faults")
    args = options.parse_args()
    dice, temporary = random.Random(args.seed), Path(tempfile.mkdtemp(prefix="chaos-"))
    study = temporary / "chaos.yaml"
    study.write_text(yamlfile.dump(STUDY))
    alone = Round(study, temporary / "alone")
    alone.start()
    wait(alone, 10_000, 0)
    names = [name for _ in range(-(-args.n // len(FAULTS))) for name in FAULTS][: args.n]
    dice.shuffle(names)
    tally = Tally(essence(alone.log), names, time.monotonic() + 60 * args.minutes, args.n)
    before = {p.name for p in Path(tempfile.gettempdir()).glob("scalesearch-*")}
    while tally.pending:
        tally.play(Round(study, temporary / f"round-{tally.rounds + 1}"), dice)
    left = {p.name for p in Path(tempfile.gettempdir()).glob("scalesearch-*")} - before
    shutil.rmtree(temporary)
    tally.print(len(left))


def _key(line: bytes) -> tuple:
    payload = json.loads(line)
    return payload["step"], payload["fidelity"]["seed"], payload["number"]


if __name__ == "__main__":
    main()
