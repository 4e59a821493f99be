"""What can be said of a study or a space before it starts: the plan and the feasibility certificate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scalesearch.arch import format_sides, sides
from scalesearch.budget import Budget, Certificate, certify
from scalesearch.errors import InputError, format_count
from scalesearch.plain_data import PlainDict
from scalesearch.searchers import SpaceTableProblem, TableProblem
from scalesearch.signature import fields_of
from scalesearch.space import Space, settings_keys, space_from_dict
from scalesearch.study import Study, load_study, study_fields, study_kind
from scalesearch.yamlfile import read


def certify_study(study: Study) -> Certificate | None:
    """Returns the certificate of a training study's budget in its space; None for a study of a table.

    Raises:
        InputError: Located in the file, if no network is inside the budget.
    """
    if study.training is None:
        return None
    with study.located():
        return certify(study.adapted_space, study.budget)


def plan(study: Study, certificate: Certificate | None) -> list[PlainDict]:
    """Returns one row per step: what is tried, how often, for how many epochs, and the most MACs of a
    network.
    """
    if certificate is None:
        (step,) = study.steps
        trials = len(step.macs(study, 0.0)) // len(study.seeds)
        return [{"step": f"seed {seed}", "what": step.description(study), "trials": trials} for seed in study.seeds]
    base = min(study.budget.max_macs, certificate.largest)
    return [
        {
            "step": step.name,
            "what": step.description(study),
            "trials": step.networks(study),
            "epochs": study.recipe_of(step.name).epochs if step.trains else 0,
            "most MACs": round(max(macs)),
        }
        for step in study.steps
        if (macs := step.macs(study, base))
    ]


def describe_data(study: Study) -> str:
    """Returns in words what a study trains on, and what becomes of the images' size; empty for a table."""
    if study.training is None:
        return ""
    data, resolution = study.training.data, study.training.resolution
    images = ", ".join(f"{count:,} {split}" for split, count in data.sizes.items())
    text = f"data: {data.name} ({data.origin}), {format_count(data.classes, 'class')}; images: {images}"
    side, native = min(sides(resolution)), data.resolution  # at most the side that networks mostly take
    if side == native:
        return f"{text}, at {format_sides(resolution)} pixels"
    change = (
        f"brought down to {format_sides(resolution)} pixels from larger ones (`scalesearch data` says of which size)"
    )
    return f"{text}, " + (change if side < native else f"enlarged from {native} to {format_sides(resolution)} pixels")


def check_file(path: Path, budget: Budget, note: Callable[[str], None] = lambda text: None) -> PlainDict:
    """Returns a row about a space or an architecture under `budget`, or about a study under its own budget.

    Args:
        path: The file.
        budget: The bounds for a space or an architecture.
        note: Called with what is known at once, before the networks are counted, which may take a minute.

    Raises:
        InputError: With file and line, for the first fault.
    """
    document = read(path)
    if _is_study(document.data):
        study = load_study(path)
        if study.training is not None:
            note(_describe_size(study.adapted_space))
        certificate = certify_study(study)
        if certificate is not None:
            return _row(path, "study", study.adapted_space.name, certificate)
        assert isinstance(study.problem, TableProblem | SpaceTableProblem)
        repeated = {"note": study.problem.table.repetition_note} if study.problem.table.repetition_note else {}
        return {
            "file": str(path),
            "kind": "table study",
            "name": study.name,
            "architectures": len(study.problem.table),
            **repeated,
        }
    with document.errors_located():
        space = space_from_dict(document.data)
        note(_describe_size(space))
        try:
            certificate = certify(space, budget)
        except InputError as error:  # `budget` is no part of the file
            raise error.in_file(f"{path}: --budget") if error.place.startswith("budget") else error from None
        return _row(path, "space" if space.decisions else "architecture", space.name, certificate)


def _describe_size(space: Space) -> str:
    size = f"{space.size:,}" if isinstance(space.size, int) else "infinitely many"
    return f"{space.name}: {size} architectures can be written down; counting what they cost"


def _is_study(data: PlainDict) -> bool:
    """Returns whether a file's keys are more a study's than a space's; one of them may be misspelt."""
    space_keys = {*fields_of(settings_keys), "stem", "stages", "head"}
    study_keys = study_fields(study_kind(data)).keys()
    return "table" in data or len((study_keys - space_keys) & set(data)) > len((space_keys - study_keys) & set(data))


def _row(path: Path, kind: str, name: str, certificate: Certificate) -> PlainDict:
    low, high = certificate.interval
    return {
        "file": str(path),
        "kind": kind,
        "name": name,
        "architectures": certificate.to_dict()["size"],
        "networks": certificate.networks,
        "smallest MACs": certificate.smallest,
        "median MACs": certificate.median,
        "largest MACs": certificate.largest,
        "share inside": _round_share(certificate.inside),
        "share low": _round_share(low),
        "share high": _round_share(high),
        "exact": certificate.exact,
    }


def _round_share(share: float) -> float:
    return float(f"{share:.6g}")
