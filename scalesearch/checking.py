"""What is said of a study or a space before anything starts: the plan and the feasibility certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scalesearch import yamlfile
from scalesearch.counting import cost
from scalesearch.feasibility import Certificate, certify
from scalesearch.schema import settings_keys, space_from_dict
from scalesearch.signature import fields_of
from scalesearch.study import Budget, Study, load_study, study_keys


def certified(study: Study, path: Path) -> Certificate:
    """The certificate of the study's budget in its space. Raises `InputError`, located in the file, where nothing is inside."""
    with yamlfile.read(path).located():
        return certify(study.adapted_space, study.budget)


def plan(study: Study, certificate: Certificate) -> list[dict[str, Any]]:
    """One row per step: what is trained, how often, for how long, under which bound of MACs."""
    base, factor = study.budget.macs or certificate.largest, study.scale.factor
    rivals = [cost(arch).macs for arch in study.hand_built.values()]
    members, seeds = len(study.family.phi), len(study.seeds)
    rows = [
        ("base", f"{study.search.with_} in {study.space.name}", study.search.trials, study.recipe_of("base"), base),
        ("scale", f"{study.scale.with_} over α, β, γ", study.scale.trials, study.recipe_of("scale"), base * factor),
        ("family", f"φ = {', '.join(f'{phi:g}' for phi in study.family.phi)}", members * seeds, study.recipe_of("family"),
         base * factor ** max(study.family.phi, default=0)),
        ("compare", f"{len(rivals)} hand-built networks", len(rivals) * seeds, study.recipe_of("compare"), max(rivals, default=0)),
    ]
    return [{"step": step, "what": what, "trials": trials, "epochs": recipe.epochs, "most MACs": round(macs)}
            for step, what, trials, recipe, macs in rows]


def check_file(path: Path) -> dict[str, Any]:
    """A row about a space, an architecture or a study. Raises `InputError` with file and line for the first fault."""
    document = yamlfile.read(path)
    if _is_study(document.data):
        study = load_study(path)
        return _row(path, "study", study.adapted_space.name, certified(study, path))
    with document.located():
        space = space_from_dict(document.data)
        return _row(path, "space" if space.decisions else "architecture", space.name, certify(space, Budget()))


def _is_study(data: dict[str, Any]) -> bool:
    """Whether a file's keys are more a study's than a space's; one of them may be misspelt."""
    of_studies, of_spaces = set(fields_of(study_keys)), {*fields_of(settings_keys), "stem", "stages", "head"}
    return len((of_studies - of_spaces) & set(data)) > len((of_spaces - of_studies) & set(data))


def _row(path: Path, kind: str, name: str, c: Certificate) -> dict[str, Any]:
    low, high = c.interval
    return {"file": str(path), "kind": kind, "name": name, "architectures": c.to_dict()["size"], "smallest MACs": c.smallest,
            "median MACs": c.median, "largest MACs": c.largest, "share inside": round(c.inside, 6),
            "share low": round(low, 6), "share high": round(high, 6)}
