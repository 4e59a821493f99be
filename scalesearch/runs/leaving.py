"""What a run leaves behind: the family's files, the tables, the report; written from the log, as often as wanted."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from scalesearch.arch import Arch, sized
from scalesearch.errors import InputError, numbered
from scalesearch.export import to_python
from scalesearch.files import save_text
from scalesearch.report import Info, by_class, gather
from scalesearch.runs.folder import trained_arch
from scalesearch.runs.images import kept_health
from scalesearch.runs.spent import spent
from scalesearch.searchers import write_storage
from scalesearch.space import arch_to_yaml
from scalesearch.study import ComparedRow, Driver, members
from scalesearch.zoo import WEIGHTS


def emit(driver: Driver, folder: Path, storage: str = "") -> dict[str, Any]:
    """Write `family/`, `optuna.db`, `trials.csv`, `summary.json` and `report.html`; the summary comes back. With
    `storage`, the searches lie there too, as Optuna studies.

    Raises `WorkFailed` where a search found nothing.
    """
    for step in driver.study.steps:
        if step.settled:
            step.settled(driver)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    if storage:
        _store(driver, storage, f"{driver.study.name}-{driver.study.digest}")
    return write_report(driver, folder)


def write_report(driver: Driver, folder: Path) -> dict[str, Any]:
    """All that can be said of the log as it stands. Raises `InputError` for a search of a table without results, and
    for trials that the study can't have tried."""
    import pandas

    from scalesearch.report import page

    driver.check()
    info = gather(driver, spent(folder).seconds, kept_health(folder), partial(by_class, folder))
    if not info.data and not info.found["rows"]:
        raise InputError("holds no results yet", str(folder))
    if driver.log.of("family"):
        for member in members(driver).values():
            row = next((r for r in info.found["rows"] if r.name == member.arch.name), None)
            if row is not None:
                _member(folder / "family" / member.arch.name, member.arch, row, info)
    _storage(driver, folder / "optuna.db")
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
    """The model card of a family member."""
    name, shown, data, recipe = info.axis.name, info.axis.shown, info.data or {}, info.recipe or {}
    scores = (
        "Training failed."
        if row.test is None
        else (f"| test {name} | {shown(row.test)} |\n| validation {name} | {shown(row.val)} |")
    )
    found, seeds = info.found["scaling"], ", ".join(map(str, info.document.get("seeds", [0])))
    scaling = f"α = {found.alpha}, β = {found.beta}, γ = {found.gamma}" if found else ""
    return f"""# {row.name}

φ = {row.phi:g} of the family `{info.name}` ({scaling}), for {data["name"]} ({data["origin"]}).

| | |
|---|---|
| resolution | {sized(row.resolution)} |
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


def _storage(driver: Driver, path: Path) -> None:
    """The searches as Optuna studies on SQLite, made anew from the log: `optuna-dashboard sqlite:///optuna.db`.

    Only networks that were trained to the end are in them: Optuna would take an early score for a final one.
    """
    path.unlink(missing_ok=True)
    _store(driver, f"sqlite:///{path}", driver.study.name, fresh=True)


def _store(driver: Driver, storage: str, name: str, fresh: bool = False) -> None:
    score = driver.study.evaluator.score
    for step in driver.study.steps:
        if step.stored and (trials := [t for t in driver.log.of(step.name) if not t.early]):
            results = [(t.decisions, score.of(t.scores)) for t in trials]
            write_storage(storage, f"{name}/{step.name}", step.stored(driver), results, fresh)
