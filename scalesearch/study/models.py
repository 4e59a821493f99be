"""Networks that a study names by file, copied into its document so that a run does not need the files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from scalesearch.errors import errors_at
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.zoo import SUFFIXES, load

MULTIPLE = re.compile(rf"(?P<times>[x×]\s*)(?P<file>\S+(?:{'|'.join(map(re.escape, SUFFIXES))}))(?=\s|$|±|\+)", re.I)


def embed_models(data: PlainMapping, folder: Path) -> PlainDict:
    """Returns a study's data with every network file that `compare` or a budget names replaced by a name in `models`.

    The files are architectures in YAML, Darknet's .cfg, and folders of trained networks.

    Args:
        data: The data of the study's file.
        folder: The folder that paths are relative to.

    Raises:
        InputError: With its place in the study, for a file that holds no network.
    """
    models = dict(data["models"]) if isinstance(data.get("models"), dict) else {}

    def embed(file: str, place: str) -> str:
        with errors_at(place):
            arch = load(folder / file)
        models[arch.name] = {key: value for key, value in arch.to_dict().items() if key != "name"}
        return arch.name

    def embed_list(names: object, place: str) -> Any:
        if not isinstance(names, list):
            return names
        return [embed(name, f"{place}[{i}]") if _is_file(name, folder) else name for i, name in enumerate(names)]

    def embed_bounds(budget: object, place: str) -> Any:
        if not isinstance(budget, dict):
            return budget
        return {
            key: embed_bound(value, f"{place}.{key}") if isinstance(value, str) and key != "device" else value
            for key, value in budget.items()
        }

    def embed_bound(bound: str, place: str) -> str:
        return MULTIPLE.sub(lambda match: match["times"] + embed(match["file"], place), bound)

    embedded = dict(data)
    compare = data.get("compare")
    if isinstance(compare, dict) and "networks" in compare:
        embedded["compare"] = {**compare, "networks": embed_list(compare["networks"], "compare.networks")}
    elif compare is not None:
        embedded["compare"] = embed_list(compare, "compare")
    if "budget" in data:
        embedded["budget"] = embed_bounds(data["budget"], "budget")
    if isinstance(scale := data.get("scale"), dict) and "budget" in scale:
        embedded["scale"] = {**scale, "budget": embed_bounds(scale["budget"], "scale.budget")}
    return {**embedded, "models": models} if models else embedded


def _is_file(name: object, folder: Path) -> bool:
    return isinstance(name, str) and (name.lower().endswith(SUFFIXES) or (folder / name / "arch.yaml").is_file())
