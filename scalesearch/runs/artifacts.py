"""What a run leaves behind: the family's files, the tables, the report; written from the log, as often as one likes."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

from scalesearch.arch import Arch, format_sides
from scalesearch.errors import InputError, numbered
from scalesearch.export import to_python
from scalesearch.files import save_text
from scalesearch.plain_data import PlainDict
from scalesearch.report import gather
from scalesearch.runs.folder import trained_arch
from scalesearch.runs.images import kept_health
from scalesearch.runs.ledger import elapsed
from scalesearch.space import arch_to_yaml
from scalesearch.study import ComparedRow, Driver, Info, by_class, members
from scalesearch.zoo import WEIGHTS


def emit(driver: Driver, folder: Path) -> PlainDict:
    """Writes `family/`, `trials.csv`, `summary.json` and `report.html` of a run that has ended; returns the summary.

    Raises:
        WorkFailed: If a search found nothing.
    """
    for step in driver.study.steps:
        step.settle(driver)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return write_report(driver, folder)


def write_report(driver: Driver, folder: Path) -> PlainDict:
    """Writes all that can be said of the log as it stands; returns the summary.

    Raises:
        InputError: For a search of a table without results, and for trials that the study can't have tried.
    """
    import pandas

    from scalesearch.report import page

    driver.check()
    info = gather(driver, elapsed(folder).seconds, kept_health(folder), partial(by_class, folder))
    if not info.data and not info.found["rows"]:
        raise InputError("holds no results yet", str(folder))
    if driver.log.of("family"):
        for member in members(driver).values():
            row = next((r for r in info.found["rows"] if r.name == member.arch.name), None)
            if row is not None:
                _member(folder / "family" / member.arch.name, member.arch, row, info)
    save_text(pandas.DataFrame(info.trials).to_csv(index=False), folder / "trials.csv")
    summary = info.summary()
    save_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", folder / "summary.json")
    save_text(page(info), folder / "report.html")
    return summary


def _member(folder: Path, arch: Arch, row: ComparedRow, info: Info) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    arch = trained_arch(folder / WEIGHTS, arch)
    save_text(arch_to_yaml(arch), folder / "arch.yaml")
    save_text(to_python(arch), folder / "model.py")
    save_text(card(row, info), folder / "card.md")


def card(row: ComparedRow, info: Info) -> str:
    """Returns the model card of a family member."""
    name, shown = info.axis.name, info.axis.shown
    data, recipe = info.data or {}, info.recipe or {}
    scores = (
        "Training failed."
        if row.test is None
        else (f"| test {name} | {shown(row.test)} |\n| validation {name} | {shown(row.val)} |")
    )
    best, seeds = info.found["scaling"], ", ".join(map(str, info.document.get("seeds", [0])))
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

Trained for {numbered(recipe["final"]["epochs"], "epoch")}, seeds {seeds}; the weights are the
first seed's. Their file says how images are prepared, and what classes are called.

```python
from model import build                      # needs torch alone
from safetensors.torch import load_file

network = build()
network.load_state_dict(load_file("weights.safetensors"))
network.eval()
```
"""
