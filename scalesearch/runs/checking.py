"""What is said of a study or a space before anything starts: the plan and the feasibility certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scalesearch import yamlfile
from scalesearch.budget import Budget
from scalesearch.counting import cost
from scalesearch.budget import Certificate, certify
from scalesearch.space import settings_keys, space_from_dict
from scalesearch.signature import fields_of
from scalesearch.study import Study, load_study, study_keys
from scalesearch.study import is_table_study, load_table_study


def certified(study: Study, path: Path) -> Certificate:
    """The certificate of the study's budget in its space. Raises `InputError`, located in the file, where nothing is inside."""
    with yamlfile.read(path).located():
        return certify(study.adapted_space, study.budget)


def plan(study: Study, certificate: Certificate) -> list[dict[str, Any]]:
    """One row per step: what is trained, how often, for how long, under which bound of MACs."""
    base, factor = min(study.budget.most_macs, certificate.largest), study.scale.factor
    rivals = [cost(arch).macs for arch in study.hand_built.values()]
    search, scale, finalists = study.search, study.scale, study.finalists
    members, seeds, rungs = len(study.family.phi), len(study.seeds), study.rungs
    how = f"{search.with_} in {study.space.name}" + (
        f", {search.halving.with_} over {', '.join(map(str, rungs))} epochs" if len(rungs) > 1 else "")
    larger = [phi for phi in scale.phi if phi != 1]
    rows = [
        ("screen", f"drawn from {study.space.name}, judged by {', '.join(search.proxies)}", search.screen, None, base),
        ("base", how, search.trials, study.recipe_of("base"), base),
        ("control", "networks with inherited weights, from nothing", study.controls, study.recipe_of("control"), base),
        ("finalists", f"the best {finalists.top}, seeds {', '.join(map(str, finalists.seeds))}",
         finalists.top * len(finalists.seeds), study.recipe_of("finalists"), base),
        ("scale", f"{scale.with_} over α, β, γ", scale.trials, study.recipe_of("scale"), base * factor),
        ("transfer", f"choices at φ = {', '.join(f'{phi:g}' for phi in larger)}", scale.transfer * len(larger),
         study.recipe_of("transfer"), base * factor ** max(larger, default=0)),
        ("family", f"φ = {', '.join(f'{phi:g}' for phi in study.family.phi)}", members * seeds, study.recipe_of("family"),
         base * factor ** max(study.family.phi, default=0)),
        ("compare", f"{len(rivals)} hand-built networks", len(rivals) * seeds, study.recipe_of("compare"), max(rivals, default=0)),
    ]
    return [{"step": step, "what": what, "trials": trials, "epochs": recipe.epochs if recipe else 0, "most MACs": round(macs)}
            for step, what, trials, recipe, macs in rows if trials]


def check_file(path: Path, budget: Budget) -> dict[str, Any]:
    """A row about a space or an architecture under `budget`, or about a study under its own. Raises `InputError` with file and line for the first fault."""
    document = yamlfile.read(path)
    if is_table_study(path):
        study = load_table_study(path)
        return {"file": str(path), "kind": "table study", "name": study.name, "architectures": len(study.table)}
    if _is_study(document.data):
        study = load_study(path)
        return _row(path, "study", study.adapted_space.name, certified(study, path))
    with document.located():
        space = space_from_dict(document.data)
        return _row(path, "space" if space.decisions else "architecture", space.name, certify(space, budget))


def _is_study(data: dict[str, Any]) -> bool:
    """Whether a file's keys are more a study's than a space's; one of them may be misspelt."""
    of_studies, of_spaces = set(fields_of(study_keys)), {*fields_of(settings_keys), "stem", "stages", "head"}
    return len((of_studies - of_spaces) & set(data)) > len((of_spaces - of_studies) & set(data))


def _row(path: Path, kind: str, name: str, c: Certificate) -> dict[str, Any]:
    low, high = c.interval
    return {"file": str(path), "kind": kind, "name": name, "architectures": c.to_dict()["size"], "networks": c.networks, "smallest MACs": c.smallest,
            "median MACs": c.median, "largest MACs": c.largest, "share inside": _digits(c.inside),
            "share low": _digits(low), "share high": _digits(high), "exact": c.exact}


def _digits(share: float) -> float:
    return float(f"{share:.6g}")
