"""What is said of a study or a space before anything starts: the plan and the feasibility certificate."""

from __future__ import annotations

from pathlib import Path

from scalesearch.budget import Budget, Certificate, certify
from scalesearch.plain_data import PlainDict
from scalesearch.searchers import SpaceTableProblem, TableProblem
from scalesearch.signature import fields_of
from scalesearch.space import settings_keys, space_from_dict
from scalesearch.study import Study, kind_of, load_study, study_fields
from scalesearch.yamlfile import read


def certified(study: Study) -> Certificate | None:
    """Returns the certificate of a training study's budget in its space; None for a study of a table.

    Raises:
        InputError: Located in the file, if no network is inside the budget.
    """
    if study.training is None:
        return None
    with study.located():
        return certify(study.adapted_space, study.budget)


def plan(study: Study, certificate: Certificate | None) -> list[PlainDict]:
    """Returns one row per step: what is tried, how often, for how long, under which bound of MACs."""
    if certificate is None:
        (step,) = study.steps
        each = len(step.macs(study, 0.0)) // len(study.seeds)
        return [{"step": f"seed {seed}", "what": step.what(study), "trials": each} for seed in study.seeds]
    base = min(study.budget.max_macs, certificate.largest)
    rows = []
    for step in study.steps:
        macs = step.macs(study, base)
        if macs:
            rows.append(
                {
                    "step": step.name,
                    "what": step.what(study),
                    "trials": step.networks(study),
                    "epochs": study.recipe_of(step.name).epochs if step.trains else 0,
                    "most MACs": round(max(macs)),
                }
            )
    return rows


def check_file(path: Path, budget: Budget) -> PlainDict:
    """Returns a row about a space or an architecture under `budget`, or about a study under its own.

    Raises `InputError` with file and line for the first fault.
    """
    document = read(path)
    if _is_study(document.data):
        study = load_study(path)
        certificate = certified(study)
        if certificate is not None:
            return _row(path, "study", study.adapted_space.name, certificate)
        assert isinstance(study.problem, TableProblem | SpaceTableProblem)
        note = {"note": study.problem.table.repetition_note} if study.problem.table.repetition_note else {}
        return {
            "file": str(path),
            "kind": "table study",
            "name": study.name,
            "architectures": len(study.problem.table),
            **note,
        }
    with document.located():
        space = space_from_dict(document.data)
        return _row(path, "space" if space.decisions else "architecture", space.name, certify(space, budget))


def _is_study(data: PlainDict) -> bool:
    """Whether a file's keys are more a study's than a space's; one of them may be misspelt."""
    of_spaces = {*fields_of(settings_keys), "stem", "stages", "head"}
    of_studies = study_fields(kind_of(data)).keys()
    return "table" in data or len((of_studies - of_spaces) & set(data)) > len((of_spaces - of_studies) & set(data))


def _row(path: Path, kind: str, name: str, c: Certificate) -> PlainDict:
    low, high = c.interval
    return {
        "file": str(path),
        "kind": kind,
        "name": name,
        "architectures": c.to_dict()["size"],
        "networks": c.networks,
        "smallest MACs": c.smallest,
        "median MACs": c.median,
        "largest MACs": c.largest,
        "share inside": _digits(c.inside),
        "share low": _digits(low),
        "share high": _digits(high),
        "exact": c.exact,
    }


def _digits(share: float) -> float:
    return float(f"{share:.6g}")
