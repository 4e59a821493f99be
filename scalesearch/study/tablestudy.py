"""A study on a published table: the search alone, nothing trained. What `scalesearch run` does with a file that has `table`."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from scalesearch import yamlfile
from scalesearch.budget import bound, budget_of
from scalesearch.statistics import interval
from scalesearch.errors import InputError, nearest, shown
from scalesearch.space import inside
from scalesearch.statistics import hypervolume
from scalesearch.searchers import SpaceProblem
from scalesearch.runs import claimed
from scalesearch.space import named
from scalesearch.searchers import DEFAULT, check_searcher
from scalesearch.searchers import Found, Result, found_in, search
from scalesearch.signature import Count, Natural, check_arguments, fields_of
from scalesearch.study.study import distinct, override, read_space, section
from scalesearch.searchers import Table, TableProblem, read_table

# where a study has what a `TableProblem` is made of
PLACES = {key: f"table.{key}" for key in ("decisions", "score", "numbers", "same")} | {"objective": "search.objective"}


@dataclass(frozen=True)
class Source:
    """The table's `file`, the columns that are `decisions`, and the one that is the `score` to be large.

    `final` scores the network that a search ends with (the same column by default), `numbers` are columns known without
    training, and rows of equal `same` are one network.
    """

    file: str
    score: str
    decisions: tuple[str, ...] = ()
    final: str | None = None
    numbers: tuple[str, ...] = ()
    same: str | None = None


@dataclass(frozen=True)
class Search:
    """`with` which searcher, over how many rows; `objective` are columns to be small beside the score."""

    with_: str = DEFAULT
    trials: Count = 100
    objective: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableStudy:
    """A search of a table, once for each seed."""

    name: str
    source: Source
    table: Table
    search: Search
    seeds: tuple[int, ...]
    budget: dict[str, Any]
    document: dict[str, Any] = field(repr=False)
    space: Any = None

    def problem(self) -> Any:
        """The table's rows inside the budget, or the networks of the study's space whose scores the table holds."""
        if self.space is not None:
            return SpaceTableProblem(self.space, self.table, self.source.score, self.search.objective, self.budget)
        with inside("budget"):
            bounds = {key: bound(value, key) for key, value in self.budget.items()}
        source = self.source
        try:
            return TableProblem(self.table, source.decisions, source.score, self.search.objective, source.numbers, bounds, source.same)
        except InputError as error:
            raise InputError(error.message, PLACES.get(error.place, error.place)) from None


class SpaceTableProblem(SpaceProblem):
    """Networks of a space whose scores stand in a table with a column for each decision."""

    def __init__(self, space: Any, table: Table, score: str, objectives: tuple[str, ...], budget: Mapping[str, Any]):
        with inside("budget"):
            bounds = budget_of(budget)
        with inside("search.objective"):
            bounds.check_measurable(objectives)
        super().__init__(space, bounds, objectives)
        missing = next((name for name in space.decisions if name not in table.columns), None)
        if missing:
            raise InputError(f'lacks a column for the decision "{missing}"; has {", ".join(table.columns)}.{nearest(missing, table.columns)}',
                             "table.file")
        columns = table.decisions(list(space.decisions), "table.file")
        self.table, self._rows = table, {}
        for row, key in enumerate(zip(*columns.values())):
            self._rows.setdefault(tuple(map(_plain, key)), row)
        self._scores = table.column(score, "table.score")

    @property
    def digest(self) -> str:
        table = repr(list(self._rows)).encode() + self._scores.tobytes()
        return hashlib.sha256(super().digest.encode() + table).hexdigest()[:16]

    def row(self, decisions: Mapping[str, Any]) -> int:
        """Raises `KeyError` where the table lacks the network."""
        key = tuple(_plain(decisions.get(name)) for name in self.decisions)
        if key not in self._rows:
            raise KeyError(f"no row of {self.table.path} has {shown(dict(decisions))}")
        return self._rows[key]

    def measured(self, decisions: Mapping[str, Any]) -> float:
        return float(self._scores[self.row(decisions)])


def _plain(value: Any) -> Any:
    """Numbers compare as numbers; what does not exist is an empty cell."""
    if value is None or (isinstance(value, float) and value != value):
        return None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def table_study_keys(*, table: dict, name: str | None = None, search: dict | None = None, budget: dict | None = None,
                     seeds: tuple[Natural, ...] = (0,), space: dict | str | None = None) -> None:
    """The keys of a table study's file."""


def is_table_study(path: Path) -> bool:
    return "table" in yamlfile.read(path).data


def load_table_study(path: str | Path, overrides: Mapping[str, Any] | None = None) -> TableStudy:
    """The table study in the YAML file at `path`, with `overrides` laid over it.

    Raises `InputError` with file and line for anything wrong in it, columns that the table lacks among them.
    """
    document = yamlfile.read(path)
    with document.located():
        for dotted, value in (overrides or {}).items():
            override(document.data, dotted, value)
        given = check_arguments("a table study", fields_of(table_study_keys), document.data)
        source = section(Source, given["table"], "table")
        searching = section(Search, given.get("search"), "search")
        with inside("search.with"):
            check_searcher(searching.with_, 1 + len(searching.objective))
        seeds = given.get("seeds", (0,))
        distinct(seeds, "seeds")
        if not seeds:
            raise InputError("takes a list of at least one seed, got []", "seeds")
        space = given.get("space")
        if space is None and not source.decisions:
            raise InputError("needs the columns that are decisions, or a space whose decisions are columns", "table.decisions")
        written = dict(document.data)
        if space is not None:
            written["space"], space, _ = read_space(space, document.path.parent)
            _check_with_space(source)
        with inside("table"):
            table = read_table(source.file, document.path.parent)
            for place in ("score", "final"):
                if getattr(source, place):
                    table.column(getattr(source, place), place)
        if source.score in searching.objective:
            raise InputError(f'holds the score "{source.score}"; takes the columns that are to be small beside it', "search.objective")
        distinct(searching.objective, "search.objective")
        written |= {"name": given.get("name") or document.path.stem, "table": {**document.data["table"], "file": str(table.path.resolve())}}
        study = TableStudy(named(written["name"]), source, table, searching, seeds, given.get("budget") or {}, written, space)
        study.problem()
        return study


def _check_with_space(source: Source) -> None:
    for place in ("decisions", "numbers", "same"):
        if getattr(source, place):
            raise InputError("is told by the space; leave it out, or leave out the space", f"table.{place}")


def run_table_study(study: TableStudy, folder: Path, resume: bool = False,
                    observer: Callable[[int, Result], None] = lambda seed, result: None) -> dict[str, Any]:
    """Search the table with every seed and leave logs, `summary.json`, `trials.csv` and `report.html` in `folder`.

    Raises `InputError` where the folder holds another study, or this one without `resume`.
    """
    with claimed(folder, study.document, resume):
        found = {seed: _searched(study, seed, folder, observer) for seed in study.seeds}
        summary = summarised(study, found)
        _write(folder, study, found, summary)
    return summary


def report_table_study(folder: Path) -> Path:
    """Write the report of a run's folder again, also while it runs, of the seeds that have results."""
    study = load_table_study(folder / "study.yaml")
    logs = {seed: folder / f"seed{seed}.jsonl" for seed in study.seeds}
    found = {seed: one for seed, log in logs.items() if log.exists() and (one := found_in(log)).scored}
    if not found:
        raise InputError("holds no results yet", str(folder))
    _write(folder, study, found, summarised(study, found))
    return folder / "report.html"


def _searched(study: TableStudy, seed: int, folder: Path, observer: Callable[[int, Result], None]) -> Found:
    problem = study.problem()
    return search(problem, trials=study.search.trials, with_=study.search.with_, objectives=study.search.objective, seed=seed, log=folder / f"seed{seed}.jsonl",
                  observer=lambda result: observer(seed, result))


def _write(folder: Path, study: TableStudy, found: Mapping[int, Found], summary: dict[str, Any]) -> None:
    import pandas

    from scalesearch.report.searched import page

    rows = [{"seed": seed} | _flat(result) for seed, one in found.items() for result in one.results]
    texts = {"summary.json": json.dumps(summary, indent=2, ensure_ascii=False) + "\n", "trials.csv": pandas.DataFrame(rows).to_csv(index=False),
             "report.html": page(study, found, summary)}
    for name, text in texts.items():
        temporary = folder / f"{name}.tmp"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(folder / name)


def summarised(study: TableStudy, found: Mapping[int, Found]) -> dict[str, Any]:
    """Per seed the network that the search ends with, its final score, and over the seeds their mean with its interval."""
    rows = []
    problem = study.problem()
    final = study.table.column(study.source.final or study.source.score, "table.final")
    whole, reference = _whole_volume(problem) if study.search.objective else (0.0, ())
    for seed, one in found.items():
        best = one.best
        told = float(final[problem.row(best.decisions)])
        row = {"seed": seed, "queries": len(one.results), "failed": len(one.results) - len(one.scored), "score": best.score,
               "final": told if math.isfinite(told) else None, "decisions": best.decisions, "exhausted": one.exhausted}
        if one.objectives:
            row |= {"on front": len(one.front), "hypervolume": one.volumes()[-1]}
            row["hypervolume share"] = hypervolume([(r.score, *(-c for c in r.costs)) for r in one.scored], reference) / whole if whole else None
        rows.append(row)
    finals = [row["final"] for row in rows if row["final"] is not None]
    return {"name": study.name, "searcher": study.search.with_, "rows": rows, "mean": mean(finals) if finals else None,
            "interval": interval(finals) if finals else None}


def _whole_volume(problem: Any) -> tuple[float, tuple[float, ...]]:
    """The hypervolume of the whole table's front over the table's worst in everything, and that worst."""
    if not isinstance(problem, TableProblem):
        return 0.0, ()
    points = [(problem.measured(d), *(-c for c in problem.costs(d))) for d in map(problem.at_row, problem.rows)]
    points = [p for p in points if p[0] is not None]
    reference = tuple(map(min, zip(*points)))
    return hypervolume(points, reference), reference


def _flat(result: Result) -> dict[str, Any]:
    """A result as one row of a table."""
    row = {key: value for key, value in asdict(result).items() if key not in ("decisions", "costs")}
    return row | {f"decision.{key}": value for key, value in result.decisions.items()}
