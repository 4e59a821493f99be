"""Networks that a study names by their files: taken into its document, so that a run needs the files no more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from scalesearch.errors import inside
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.zoo import SUFFIXES, load

MULTIPLE = re.compile(rf"(?P<times>[x×]\s*)(?P<file>\S+(?:{'|'.join(map(re.escape, SUFFIXES))}))(?=\s|$|±|\+)", re.I)


def with_models(data: PlainMapping, folder: Path) -> PlainDict:
    """A study's data with every architecture's YAML, Darknet's .cfg and trained network's folder that `compare` or a
    budget names as one of its `models`, by its own name. Paths are relative to `folder`.

    Raises `InputError` for a file that is no network.
    """
    models = dict(data["models"]) if isinstance(data.get("models"), dict) else {}

    def named(file: str, place: str) -> str:
        with inside(place):
            arch = load(folder / file)
        models[arch.name] = {key: value for key, value in arch.to_dict().items() if key != "name"}
        return arch.name

    def listed(names: Any, place: str) -> Any:
        return (
            [named(name, f"{place}[{i}]") if _is_file(name, folder) else name for i, name in enumerate(names)]
            if isinstance(names, list)
            else names
        )

    def bounded(budget: Any, place: str) -> Any:
        if not isinstance(budget, dict):
            return budget
        return {
            key: relative(value, f"{place}.{key}") if isinstance(value, str) and key != "device" else value
            for key, value in budget.items()
        }

    def relative(bound: str, place: str) -> str:
        return MULTIPLE.sub(lambda match: match["times"] + named(match["file"], place), bound)

    found = dict(data)
    compare = data.get("compare")
    if isinstance(compare, dict) and "networks" in compare:
        found["compare"] = {**compare, "networks": listed(compare["networks"], "compare.networks")}
    elif compare is not None:
        found["compare"] = listed(compare, "compare")
    if "budget" in data:
        found["budget"] = bounded(data["budget"], "budget")
    if isinstance(scale := data.get("scale"), dict) and "budget" in scale:
        found["scale"] = {**scale, "budget": bounded(scale["budget"], "scale.budget")}
    return {**found, "models": models} if models else found


def _is_file(name: Any, folder: Path) -> bool:
    return isinstance(name, str) and (name.lower().endswith(SUFFIXES) or (folder / name / "arch.yaml").is_file())
