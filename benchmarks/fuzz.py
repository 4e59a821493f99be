"""Mutated files of every kind that strangers bring, and what comes of each: `python benchmarks/fuzz.py -n 20000`.

Promised is that each ends in success (exit code 0) or a located error (2), never in a traceback, in at most two seconds
or with a word that it takes longer, and in at most 1 GiB of memory beside what the process has anyway.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fuzz"))

from fuzzing import KINDS, tried

CHUNK = 50  # inputs of a kind that a process takes at a time
MOST_MEMORY = 1024**3
SHARES = {"space": 0.03, "study": 0.03, "run": 0.08}  # of all inputs, being slowest; the other kinds share the rest


class Told(NamedTuple):
    kind: str
    number: int
    exit: int
    fault: str
    silent: bool
    patient: bool
    seconds: float
    memory: int


def peak() -> int:
    """Bytes that the process has had at most since `forget_peak`."""
    payload = Path("/proc/self/status").read_text()
    return 1024 * int(next(line.split()[1] for line in payload.splitlines() if line.startswith("VmHWM")))


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def try_some(work: tuple[str, range]) -> list[Told]:
    kind, numbers = work
    found = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SCALESEARCH_CACHE"] = f"{folder}/cache"
        # What the first command that succeeds imports is none of the input's.
        any(tried(kind, number, Path(folder)).exit == 0 for number in numbers)
        for number in numbers:
            forget_peak()
            before = peak()
            outcome = tried(kind, number, Path(folder))
            found.append(
                Told(
                    kind,
                    number,
                    outcome.exit,
                    outcome.fault,
                    outcome.silent,
                    outcome.seconds > 2 and not outcome.silent,
                    outcome.seconds,
                    peak() - before,
                )
            )
    return found


def chunks(numbers: range) -> list[range]:
    return [numbers[i : i + CHUNK] for i in range(0, len(numbers), CHUNK)]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("-n", type=int, default=20_000, help="how many inputs, over all kinds")
    options.add_argument("--from", dest="first", type=int, default=0, help="the number of the first input")
    options.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="of these alone their shares")
    options.add_argument("--processes", type=int, default=2)
    payload = options.parse_args()
    rest = (1 - sum(SHARES.values())) / (len(KINDS) - len(SHARES))
    work = [
        (kind, numbers)
        for kind in payload.kinds
        for numbers in chunks(range(payload.first, payload.first + round(payload.n * SHARES.get(kind, rest))))
    ]
    found: list[Told] = []
    began = time.monotonic()
    with get_context("spawn").Pool(payload.processes, maxtasksperchild=8) as pool:
        for done in pool.imap_unordered(try_some, work):
            found += done
            print(f"\r{len(found):,} of {sum(len(numbers) for _, numbers in work):,}", end="", file=sys.stderr)
    print(file=sys.stderr)
    print(
        "| kind | inputs | exit 0 | exit 2 | other, or a traceback | over 2 s without a word | over 2 s, and said | "
        "slowest | most memory |\n|---|---|---|---|---|---|---|---|---|"
    )
    for kind in payload.kinds:
        mine = [t for t in found if t.kind == kind]
        exits = Counter(t.exit for t in mine if not t.fault)
        marks = zip(*((t.fault, t.silent, t.patient) for t in mine))
        faults, silent, patient = (sum(map(bool, mark)) for mark in marks)
        print(
            f"| {kind} | {len(mine):,} | {exits[0]:,} | {exits[2]:,} | {faults} | {silent} | {patient} | "
            f"{max(t.seconds for t in mine):.1f} s | {max(t.memory for t in mine) / 2**20:.0f} MiB |"
        )
    bad = [t for t in found if t.fault or t.silent or t.memory > MOST_MEMORY]
    minutes = (time.monotonic() - began) / 60
    print(f"\n{len(found):,} inputs in {minutes:.0f} min, {len(bad)} of them against the promise")
    for one in bad[:40]:
        print(f"{one.kind} {one.number}: {one.fault or f'{one.seconds:.1f} s, {one.memory / 2**20:.0f} MiB'}"[:300])


if __name__ == "__main__":
    main()
