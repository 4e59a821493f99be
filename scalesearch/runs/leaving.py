"""What a run leaves behind: the family's files, the tables, the report. Written from the log, so it can be written again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from scalesearch.arch import Arch
from scalesearch.study import Driver
from scalesearch.export import to_python
from scalesearch.searchers import ScaleProblem
from scalesearch.report import Info, Row, gather
from scalesearch.space import arch_to_yaml
from scalesearch.searchers import write_storage


def emit(driver: Driver, folder: Path, seconds: float) -> dict[str, Any]:
    """Write `family/`, `optuna.db`, `trials.csv`, `summary.json` and `report.html`; the summary comes back."""
    driver.best("base")
    driver.best("scale")
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    clock = folder / "seconds.json"
    total = seconds_spent(folder) + seconds
    _write(clock, json.dumps(round(total, 1)))
    return write_report(driver, folder, total)


def seconds_spent(folder: Path) -> float:
    """What finished runs of this folder took together."""
    try:
        return float(json.loads((folder / "seconds.json").read_text()))
    except (OSError, ValueError, TypeError):
        return 0.0


def write_report(driver: Driver, folder: Path, seconds: float) -> dict[str, Any]:
    """All that can be said of the log as it stands."""
    import pandas

    from scalesearch.report import page

    info = gather(driver, seconds)
    if driver.log.of("family"):
        for member in driver.family.values():
            row = next((r for r in info.rows if r.name == member.arch.name), None)
            if row is not None:
                _member(folder / "family" / member.arch.name, member.arch, row, info)
    _storage(driver, folder / "optuna.db")
    _write(folder / "trials.csv", pandas.DataFrame(info.trials).to_csv(index=False))
    summary = info.summary()
    _write(folder / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    _write(folder / "report.html", page(info))
    return summary


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _member(folder: Path, arch: Arch, row: Row, info: Info) -> None:
    _write(folder / "arch.yaml", arch_to_yaml(arch))
    _write(folder / "model.py", to_python(arch))
    _write(folder / "card.md", card(row, info))


def card(row: Row, info: Info) -> str:
    """The model card of a family member."""
    scores = "Training failed." if row.test_accuracy is None else (
        f"| test accuracy | {row.test_accuracy:.2%} |\n| validation accuracy | {row.val_accuracy:.2%} |")
    scaling = f"α = {info.scaling.alpha}, β = {info.scaling.beta}, γ = {info.scaling.gamma}" if info.scaling else ""
    return f"""# {row.name}

φ = {row.phi:g} of the family `{info.name}` ({scaling}), for {info.data["name"]} ({info.data["origin"]}).

| | |
|---|---|
| resolution | {row.resolution} × {row.resolution} |
| parameters | {row.params:,} |
| MACs (multiply-adds, one image) | {row.macs:,} ({row.deviation:+.2%} of the {row.target:,} wanted) |
| activations (outputs of convolution and linear) | {row.acts:,} |
{scores}

Trained for {info.recipe["final"]["epochs"]} epochs, seeds {", ".join(map(str, info.document.get("seeds", [0])))}; the weights are the
first seed's. Images are scaled to [-1, 1].

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
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    problems: dict[str, Any] = {"base": lambda: driver.base_problem, "scale": lambda: ScaleProblem(driver.scaling_space)}
    for step, problem in problems.items():
        if trials := [t for t in driver.log.of(step) if not t.early]:
            results = [(t.decisions, t.scores.get("val_accuracy")) for t in trials]
            write_storage(path, f"{driver.study.name}/{step}", problem(), results)
