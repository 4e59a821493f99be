"""A search by itself: a space or a table, an objective, a budget, a searcher; every result in a log as soon as it is known.

Going on after a kill is the same call again: what the log holds is taken as it is. `run` does this for studies that train;
this is for objectives that a person brings, and for published tables.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from scalesearch.arch import Arch
from scalesearch.searchers.asking import ask
from scalesearch.budget import budget_of
from scalesearch.errors import InputError
from scalesearch.space import inside
from scalesearch.statistics import front, ranks, volumes
from scalesearch.searchers.problems import SpaceProblem
from scalesearch.searchers.table import DEFAULT, check_searcher
from scalesearch.searchers.problem import Past
from scalesearch.searchers.problem import Decisions, Problem
from scalesearch.space import Space

MOST_FAILURES = 10  # that many failed trials and none that succeeded end a search: the objective is broken


class SearchFailed(RuntimeError):
    """A search cannot go on; the message says why."""


@dataclass(frozen=True)
class Result:
    """One network asked about: a line of the log. `costs` are the counted objectives beside the score, to be small."""

    number: int
    decisions: Decisions
    identity: str
    score: float | None
    costs: tuple[float, ...] = ()
    reason: str = ""
    rejected: int = 0


@dataclass(frozen=True)
class Found:
    """What a search found. `objectives` names the costs; `exhausted` says that no further network is inside the budget."""

    results: list[Result]
    objectives: tuple[str, ...] = ()
    exhausted: bool = False
    problem: Any = field(default=None, repr=False)

    @property
    def scored(self) -> list[Result]:
        return [r for r in self.results if r.score is not None]

    @property
    def best(self) -> Result:
        """The result with the best score. Raises `SearchFailed` where there is none."""
        if not self.scored:
            reason = next((r.reason for r in self.results if r.reason), "no network was found")
            raise SearchFailed(f"all {len(self.results)} trials failed: {reason}")
        return max(self.scored, key=lambda r: r.score)

    @property
    def front(self) -> list[Result]:
        """The results that none beats in every objective, by the first cost; without counted objectives, the best alone."""
        if not self.objectives:
            return [self.best]
        if len(self.objectives) == 1:
            return front(self.scored, lambda r: r.costs[0], lambda r: r.score)
        rank = ranks([(r.score, *(-c for c in r.costs)) for r in self.scored])
        return sorted((r for r, first in zip(self.scored, rank) if not first), key=lambda r: r.costs)

    def volumes(self) -> list[float]:
        """The hypervolume after every result, over the worst score and the highest costs met; for several objectives."""
        if not self.objectives or not self.scored:
            return []
        points = [None if r.score is None else (r.score, *(-c for c in r.costs)) for r in self.results]
        return volumes(points, tuple(min(p[i] for p in points if p) for i in range(1 + len(self.objectives))))


def search(space: Space | Problem, objective: Callable[[Any], float] | None = None, *, trials: int, with_: str = DEFAULT,
           budget: Mapping[str, Any] | None = None, objectives: Sequence[str] = (), seed: int = 0, log: str | Path | None = None,
           observer: Callable[[Result], None] = lambda result: None) -> Found:
    """Ask `objective(arch)` (a score to be large) about `trials` networks of `space` inside `budget`, chosen by the searcher `with_`.

    `objectives` are counted quantities (`macs`, `params`, …) to be small at the same time. An objective that raises, or whose
    score is no finite number, is a failed trial, and the search goes on; it ends with `SearchFailed` where the first ten all
    fail. With `log`, every result is a synced line of that file, and a search that is called again goes on after them. Raises
    `InputError` for an unknown searcher or quantity, a budget that nothing meets, a missing objective, and a log of another search.
    """
    check_searcher(with_, 1 + len(objectives))
    problem = _problem(space, budget or {}, tuple(objectives))
    if isinstance(problem, SpaceProblem):
        problem.draw(Random(0))  # says what is nearest where nothing is inside
    objective = objective or getattr(problem, "measured", None)
    if objective is None:
        raise InputError("needs a function that scores a network; only tables know their scores", "objective")
    asked = {"with": with_, "seed": seed, "objectives": list(objectives), "budget": {k: str(v) for k, v in (budget or {}).items()},
             "problem": getattr(problem, "digest", None) or _decisions_digest(problem)}
    with _log(log, asked) as (results, write):
        exhausted = _search(problem, objective, trials, with_, seed, results, write, observer, 1 + len(objectives))
    return Found(results[:trials], tuple(objectives), exhausted, problem)


def _problem(space: Any, budget: Mapping[str, Any], objectives: tuple[str, ...]) -> Any:
    if isinstance(space, Space):
        bounds = budget_of(budget)
        with inside("objectives"):
            bounds.check_measurable(objectives)
        return SpaceProblem(space, bounds, objectives)
    if budget:
        raise InputError("is for spaces; a table is made with its bounds", "budget")
    there = tuple(getattr(space, "objectives", objectives))
    if there != objectives:
        raise InputError(f"are {', '.join(objectives) or 'none'}, and of what is searched {', '.join(there) or 'none'}", "objectives")
    return space


def _search(problem: Any, objective: Callable, trials: int, with_: str, seed: int, results: list[Result], write: Callable,
            observer: Callable, objectives: int) -> bool:
    """Whether the search ended because nothing is left."""
    seen, known = {r.identity for r in results}, len(results)
    for number in range(known, trials):
        if number >= known + MOST_FAILURES and all(r.score is None for r in results):
            raise SearchFailed(f"all {number} trials failed: {results[-1].reason}")
        past = Past([(r.decisions, r.score) for r in results])
        asked = ask(problem, with_, past, Random(f"{seed}-{number}"), seen, (), objectives)
        if asked is None:
            return True
        score, reason = _scored(problem, objective, asked.decisions)
        result = Result(number, asked.decisions, asked.identity, score, problem.costs(asked.decisions), reason, asked.rejected)
        write(result)
        seen.add(result.identity)
        results.append(result)
        observer(result)
    return False


def _scored(problem: Any, objective: Callable, decisions: Decisions) -> tuple[float | None, str]:
    try:
        subject: Arch | Decisions = problem.arch(decisions) if type(problem) is SpaceProblem else dict(decisions)
        score = objective(subject)
    except Exception as error:  # whatever goes wrong in an objective is that trial's failure and no other's
        return None, f"{type(error).__name__}: {error}"[:500]
    if score is None:
        return None, "the objective gave no score"
    try:
        value = float(score)
    except (TypeError, ValueError, OverflowError):
        return None, f"the objective gave {score!r}, which is no number"[:500]
    return (value, "") if math.isfinite(value) else (None, f"the score is {value}")


def _decisions_digest(problem: Any) -> str:
    text = repr([(name, d.domain) for name, d in problem.decisions.items()])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def _log(path: str | Path | None, asked: dict[str, Any]) -> Iterator[tuple[list[Result], Callable[[Result], None]]]:
    """The results in a log and what appends to it, the file being this search's alone; a last line cut off by a kill is dropped."""
    if path is None:
        yield [], lambda result: None
        return
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"another search is at work in {path}") from None
        file.seek(0)
        whole = file.read()
        end = whole.rfind(b"\n") + 1
        if end < len(whole):
            file.truncate(end)
        results = _read(whole[:end].splitlines(), asked, path)

        def append(line: dict[str, Any]) -> None:
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

        if not end:
            append({"search": asked})
        yield results, lambda result: append(asdict(result))


def found_in(log: str | Path) -> Found:
    """What a log holds so far, also while its search runs. Raises `InputError` where the file is no search's log."""
    path = Path(log)
    whole = path.read_bytes()
    header, results = _parsed(whole[: whole.rfind(b"\n") + 1].splitlines(), path)
    return Found(results, tuple(header.get("objectives", ())))


def _read(lines: Sequence[bytes], asked: dict[str, Any], path: Path) -> list[Result]:
    there, results = _parsed(lines, path)
    for key, value in asked.items() if lines else ():
        if there.get(key) != value and key == "problem":
            raise InputError(f"{path} holds a search of something else: what is searched has changed since; give another log")
        if there.get(key) != value:
            raise InputError(f'{path} holds another search ("{key}" was {there.get(key)!r}, is {value!r}); give another log')
    return results


def _parsed(lines: Sequence[bytes], path: Path) -> tuple[dict[str, Any], list[Result]]:
    if not lines:
        return {}, []
    try:
        first, *others = (json.loads(line) for line in lines)
        return dict(first["search"]), [Result(**{**line, "costs": tuple(line["costs"])}) for line in others]
    except (ValueError, TypeError, KeyError):
        raise InputError(f"{path} is no search's log, or one of another version") from None
