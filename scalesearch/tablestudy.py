"""A study on a published table: the search alone, nothing trained. What `scalesearch run` does with a file that has `table`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from scalesearch import yamlfile
from scalesearch.budget import bound, budget_of
from scalesearch.correlation import interval
from scalesearch.errors import InputError, shown
from scalesearch.leaves import inside
from scalesearch.pareto import hypervolume
from scalesearch.problems import SpaceProblem
from scalesearch.schema import named, space_from_dict
from scalesearch.searchers import DEFAULT, check_searcher
from scalesearch.searching import Found, Result, search
from scalesearch.signature import Count, Natural, check_arguments, fields_of
from scalesearch.study import distinct, document_difference, document_digest, override, section
from scalesearch.tabular import Table, TableProblem, read_table


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
        if self.space is None:
            bounds = {key: bound(value, key) for key, value in self.budget.items()}
            source = self.source
            return TableProblem(self.table, source.decisions, source.score, self.search.objective, source.numbers, bounds, source.same)
        return SpaceTableProblem(self.space, self.table, self.source, self.search.objective, self.budget)


class SpaceTableProblem(SpaceProblem):
    """Networks of a space whose scores stand in a table with a column for each decision."""

    def __init__(self, space: Any, table: Table, source: Source, objectives: tuple[str, ...], budget: Mapping[str, Any]):
        super().__init__(space, budget_of(budget), objectives)
        self.table, self.names = table, [name for name in space.decisions if name in table.columns]
        if not self.names:
            raise InputError(f"{table.path} has a column for none of the space's decisions: {', '.join(space.decisions)[:200]}", "table.file")
        columns = table.decisions(self.names, "table.file")
        self._rows = {tuple(_plain(v) for v in key): row for row, key in enumerate(zip(*columns.values()))}
        self._scores = table.column(source.score, "table.score")

    def row(self, decisions: Mapping[str, Any]) -> int:
        """Raises `KeyError` where the table lacks the network."""
        key = tuple(_plain(decisions.get(name)) for name in self.names)
        if key not in self._rows:
            raise KeyError(f"no row of {self.table.path} has {shown(dict(decisions))}")
        return self._rows[key]

    def measured_at(self, decisions: Mapping[str, Any]) -> float:
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
        if isinstance(space, str):
            space = yamlfile.read(document.path.parent / space).data
        with inside("table"):
            table = read_table(source.file, document.path.parent)
        study = TableStudy(named(given.get("name") or document.path.stem), source, table, searching, seeds, given.get("budget") or {},
                           {**document.data, "name": given.get("name") or document.path.stem},
                           space_from_dict(space) if space is not None else None)
        with inside("table"):
            for place in ("score", "final"):
                if getattr(source, place):
                    table.column(getattr(source, place), place)
        study.problem()
        return study


def run_table_study(study: TableStudy, folder: Path, resume: bool = False,
                    observer: Callable[[int, Result], None] = lambda seed, result: None) -> dict[str, Any]:
    """Search the table with every seed and leave logs, `summary.json`, `trials.csv` and `report.html` in `folder`.

    Raises `InputError` where the folder holds another study, or this one without `resume`.
    """
    _claim(folder, study, resume)
    found: dict[int, Found] = {}
    for seed in study.seeds:
        problem = study.problem()
        found[seed] = search(problem, _objective(study, problem), trials=study.search.trials, with_=study.search.with_,
                             objectives=study.search.objective, seed=seed, log=folder / f"seed{seed}.jsonl",
                             observer=lambda result, seed=seed: observer(seed, result))
    summary = summarised(study, found)
    _write(folder, study, found, summary)
    return summary


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


def _objective(study: TableStudy, problem: Any) -> Callable[[Any], float | None]:
    return problem.measured if study.space is None else problem.measured_at


def _claim(folder: Path, study: TableStudy, resume: bool) -> None:
    file = folder / "study.yaml"
    if file.exists():
        there = yamlfile.read(file).data
        if document_digest(there) != document_digest(study.document):
            raise InputError(f"{folder} holds another study's run ({document_difference(there, study.document)}); give another folder "
                             "with --out")
        if not resume:
            raise InputError(f"{folder} holds a run of this study; go on with it by --resume, or give another folder with --out")
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and holds something else; give another folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(yamlfile.dump(study.document), encoding="utf-8")


def summarised(study: TableStudy, found: Mapping[int, Found]) -> dict[str, Any]:
    """Per seed the network that the search ends with, its final score, and over the seeds their mean with its interval."""
    rows = []
    problem = study.problem()
    final = study.table.column(study.source.final or study.source.score, "table.final")
    for seed, one in found.items():
        best = one.best
        row = {"seed": seed, "queries": len(one.results), "failed": len(one.results) - len(one.scored), "score": best.score,
               "final": float(final[problem.row(best.decisions)]), "decisions": best.decisions, "exhausted": one.exhausted}
        if one.objectives:
            row |= {"on front": len(one.front), "hypervolume": one.volumes()[-1]} | _share(problem, one)
        rows.append(row)
    finals = [row["final"] for row in rows]
    return {"name": study.name, "searcher": study.search.with_, "rows": rows, "mean": mean(finals), "interval": interval(finals)}


def _share(problem: Any, found: Found) -> dict[str, float]:
    """The front's hypervolume as a share of the whole table's, over the table's worst in everything."""
    if not isinstance(problem, TableProblem):
        return {}
    points = [(problem.measured(d), *(-c for c in problem.costs(d))) for d in map(problem.at_row, problem.rows)]
    points = [p for p in points if p[0] is not None]
    reference = tuple(min(p[i] for p in points) for i in range(len(points[0])))
    mine = [(r.score, *(-c for c in r.costs)) for r in found.scored]
    return {"hypervolume share": hypervolume(mine, reference) / hypervolume(points, reference)}


def _flat(result: Result) -> dict[str, Any]:
    """A result as one row of a table."""
    row = {key: value for key, value in asdict(result).items() if key not in ("decisions", "costs")}
    return row | {f"decision.{key}": value for key, value in result.decisions.items()}
