"""The files that a run writes from its log: the family's, the tables and the report. They can be
written at any time.
"""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

from scalesearch.arch import Arch, format_sides
from scalesearch.data import LETTERBOX
from scalesearch.errors import InputError, format_count
from scalesearch.exporting import to_python
from scalesearch.files import save_text
from scalesearch.notebook import frame
from scalesearch.plain_data import PlainDict, rounded
from scalesearch.report import gather
from scalesearch.runs.folder import check_run, trained_arch
from scalesearch.runs.images import saved_health, saved_source
from scalesearch.runs.ledger import elapsed
from scalesearch.space import arch_to_yaml
from scalesearch.study import ComparedRow, Driver, Info, load_study, members, read_class_results
from scalesearch.trials import TrialLog, task_of
from scalesearch.zoo import WEIGHTS


def write_artifacts(driver: Driver, folder: Path) -> PlainDict:
    """Settles every step of a run that has ended, removes its checkpoints, and writes its files as
    `write_report` does.

    Returns:
        The summary.

    Raises:
        WorkFailed: If a search found nothing.
    """
    for step in driver.study.steps:
        step.require_result(driver)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return write_report(driver, folder)


def write_report(driver: Driver, folder: Path) -> PlainDict:
    """Writes what the log has so far: `family/`, `trials.csv`, `summary.json` and `report.html`; returns the
    summary.

    Raises:
        InputError: If a search of a table has no results yet, and for trials that the study can't have tried.
    """
    from scalesearch.report import page

    driver.check()
    info = gather(driver, elapsed(folder).seconds, saved_health(folder), partial(read_class_results, folder))
    if not info.data and not info.conclusions["rows"]:
        raise InputError("holds no results yet", str(folder))
    if driver.log.of("family"):
        for member in members(driver).values():
            row = next((r for r in info.conclusions["rows"] if r.name == member.arch.name), None)
            if row is not None:
                _write_member(folder / "family" / member.arch.name, member.arch, row, info)
    save_text(frame(rounded(info.trials)).to_csv(index=False), folder / "trials.csv")
    summary = info.summary()
    summary |= rounded(summary) | {key: summary[key] for key in ("document", "recipe")}  # what was asked for stays
    save_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", folder / "summary.json")
    save_text(page(info), folder / "report.html")
    return summary


def open_run(folder: Path, name: str) -> Driver:
    """Returns the driver of a run's study and log, as far as it has come.

    Args:
        folder: The run's folder.
        name: What an error calls it.

    Raises:
        InputError: If it is no run's folder.
    """
    if not (folder / "study.yaml").exists():
        raise InputError("is no run's folder: it has no study.yaml", name)
    check_run(folder)
    log = TrialLog(folder / "trials.jsonl", repair=False)
    return Driver(load_study(folder / "study.yaml", known_data=saved_source(folder)), log)


def read_run(folder: Path, name: str) -> Info:
    """Returns the report's data of a run; `open_run` describes the arguments and errors."""
    driver = open_run(folder, name)
    driver.check()
    return gather(driver, elapsed(folder).seconds, saved_health(folder), partial(read_class_results, folder))


def _write_member(folder: Path, arch: Arch, row: ComparedRow, info: Info) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    arch = trained_arch(folder / WEIGHTS, arch)
    save_text(arch_to_yaml(arch), folder / "arch.yaml")
    save_text(to_python(arch), folder / "model.py")
    save_text(card(row, info, _preparation_source(folder / WEIGHTS, arch)), folder / "card.md")


def _preparation_source(weights: Path, arch: Arch) -> str:
    """Returns the lines of Python that bring a photo to the network; empty where the weights do not say how."""
    from scalesearch.weights import file_metadata

    prepared = json.loads(file_metadata(weights).get("preparation", "{}")) if weights.exists() else {}
    if not prepared or arch.channels not in (1, 3):
        return ""
    height, width = arch.sides
    fitted = f"ImageOps.fit(photo, ({width}, {height}), Image.Resampling.BILINEAR)"
    if task_of(arch).letterbox:
        grey = (LETTERBOX,) * arch.channels
        fitted = f"ImageOps.pad(photo, ({width}, {height}), Image.Resampling.BILINEAR, {grey})"
    mode, axes = ("L", "[None, None]") if arch.channels == 1 else ("RGB", ".permute(2, 0, 1)[None]")
    mean, std = (f"torch.tensor({prepared[key]}).view(-1, 1, 1)" for key in ("mean", "std"))
    return f"""
import numpy, torch
from PIL import Image, ImageOps

photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("{mode}")
photo = {fitted}
image = torch.from_numpy(numpy.array(photo) / numpy.float32(255)){axes}
output = network((image - {mean}) / {std})
"""


def card(row: ComparedRow, info: Info, preparation: str = "") -> str:
    """Returns the model card of a family member, with the source that brings a photo to it."""
    name, format_axis = info.axis.name, info.axis.text
    data, recipe = info.data or {}, info.recipe or {}
    scores = "Training failed."
    if row.test is not None:
        scores = f"| test {name} | {format_axis(row.test)} |\n| validation {name} | {format_axis(row.val)} |"
    if row.untrained:
        scores += f"\n| did not train | {row.untrained} |"
    best, seeds = info.conclusions["scaling"], ", ".join(map(str, info.document.get("seeds", [0])))
    scaling = f"α = {best.alpha}, β = {best.beta}, γ = {best.gamma}" if best else ""
    return f"""# {row.name}

φ = {row.phi:g} of the family `{info.name}` ({scaling}), for {data["name"]} ({data["origin"]}).

| | |
|---|---|
| resolution | {format_sides(row.resolution)} |
| parameters | {row.params:,} |
| MACs (multiply-adds, one image) | {row.macs:,} ({row.deviation:+.2%} of the {row.target:,} wanted) |
| activations (outputs of convolution and linear) | {row.acts:,} |
{scores}

Trained for {format_count(recipe["final"]["epochs"], "epoch")}, seeds {seeds}; the weights are the
first seed's. Their file says how images are prepared, and what classes are called.

```python
from model import build  # needs torch; the weights need safetensors
from safetensors.torch import load_file

network = build()
network.load_state_dict(load_file("weights.safetensors"))
network.eval()
{preparation}```
"""
