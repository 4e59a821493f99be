"""What CONTRIBUTING.md says about adding things, done exactly so, from outside the package."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT

BLOCKS = dict(
    re.findall(
        r"^### (.+?)\n.*?^```(?:python|toml)\n(.*?)^```",
        (ROOT / "CONTRIBUTING.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
)
# what to do with each, in a process of its own whose folder holds the snippet as mine.py
USES = {
    "A block": """
import torch
import scalesearch as ss, mine
from scalesearch.counting import fvcore_counts
space = ss.space_from_dict({"name": "s", "resolution": 16, "classes": 10, "stages": [
    {"stride": 2, "pair": {"width": {"choice": [8, 16]}}}], "head": {"classifier": {}}})
arch = space.sample(0)[1]
model = ss.build(arch)
assert model(torch.zeros(2, 3, 16, 16)).shape == (2, 10)
assert fvcore_counts(model, (3, 16, 16))["macs"] == ss.cost(arch).macs and space.size == 2
try: ss.space_from_dict({"stages": [{"pair": {"widht": 8}}], "head": {"classifier": {}}})
except ss.InputError as error: assert 'Did you mean "width"' in str(error)
""",
    "A network": """
import scalesearch as ss, mine
from scalesearch.study import load_study
assert ss.cost(ss.load("tower", resolution=64, classes=10)).params > 0
study = load_study("effnet_phi", {"compare": ["tower", "resnet18"]})
assert study.networks["tower"].resolution == 16
""",
    "A searcher": """
import scalesearch as ss, mine
space = ss.load_space(mine.ROOT + "/search_spaces/mbconv.yaml")
found = ss.search(space, lambda arch: 0.0, trials=6, with_="smallest_of_eight", budget={"macs": "≤ 600M"})
plain = ss.search(space, lambda arch: 0.0, trials=6, with_="random", budget={"macs": "≤ 600M"})
macs = lambda found: sum(ss.cost(space.at(r.decisions)).macs for r in found.results)
assert macs(found) < macs(plain)
""",
    "A step": """
import sys; sys.path.insert(0, mine.ROOT + "/tests") if (mine := __import__("mine")) else None
from pathlib import Path
from random import Random
from driving import drive, write_study
from scalesearch.report import gather, page
from scalesearch.study import Driver, load_study
Path("longer.html.j2").write_text("<section><h2>Longer</h2><p>Twice as long: {{ found.longer | score }}</p></section>")
study = load_study(write_study(Path(".")))
run = Driver(study, drive(study, Path("trials.jsonl"), Random(0)))
(trial,) = run.log.of("longer")
assert trial.fidelity["epochs"] == 2 * study.trained.recipe.epochs
summary = gather(run).summary()
assert summary["trials"]["longer"] == 1 and summary["longer"] == trial.scores["val_accuracy"]
assert f"Twice as long: {trial.scores['val_accuracy']:.2%}" in page(gather(run))
""",
    "An evaluator": """
from pathlib import Path
import scalesearch as ss, mine
from driving import write_study
run = ss.run(write_study(Path("."), evaluator="slimness", finalists={"top": 1}), Path("run"))
assert {t.step for t in run.trials} == {"base", "finalists", "scale", "family", "compare"}
for t in run.trials:
    assert t.scores["val_accuracy"] == 1 / t.cost["params"] and not t.history
row = run.summary["rows"][0]
assert row["test_accuracy"] == round(1 / row["params"], 6)
resumed = ss.run(Path("study.yaml"), Path("run"), resume=True)
assert resumed.trials == run.trials
try: ss.run(write_study(Path("."), evaluator="slimnes"), Path("other"))
except ss.InputError as error: said = str(error)
assert 'evaluator: unknown evaluator "slimnes"' in said and 'Did you mean "slimness"' in said
""",
    "A logger": """
from pathlib import Path
import scalesearch as ss, mine
from driving import write_study
@ss.register_evaluator
def plain(study):
    return ss.Function(lambda arch: 0.5, study.trained.task.searched, final_key=study.trained.task.tested.key)
study = ss.load_study(write_study(Path("."), evaluator="plain"))
run = ss.run(study, Path("run"), observer=mine.logger)
assert sorted(mine.lines) == sorted((t.name, t.state) for t in run.trials)
""",
    "A data source": """
import torch
from driving import write_study
from pathlib import Path
from scalesearch.errors import InputError
from scalesearch.study import load_study
from scalesearch.training.trainer import Trainer
study = load_study(write_study(Path("."), data="noise"))
arch = study.adapted_space.sample(0)[1]
assert (arch.channels, arch.classes) == (3, 4)
trainer = Trainer(arch, study.trained.data, study.trained.recipe, 0)
assert "val_accuracy" in trainer.run_epoch()
try: load_study(write_study(Path("."), data="niose"))
except InputError as error: assert 'noise' in str(error) and 'Did you mean "noise"' in str(error)
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", USES)
def test_adding_it_as_described_works(what, tmp_path):
    code = BLOCKS[what]
    lines = [line for line in code.splitlines() if line.strip() and not line.startswith(("#", "import", "from"))]
    assert len(lines) < 20, f"{what} takes {len(lines)} lines"
    (tmp_path / "mine.py").write_text(f"{code}\nROOT = {str(ROOT)!r}\n")
    installed = tmp_path / "mine-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[scalesearch.data]\nnoise = mine:NOISE\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", USES[what]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr


def test_every_way_to_add_something_is_tested():
    assert USES.keys() == BLOCKS.keys() - {"The entry point"}, json.dumps(list(BLOCKS))
