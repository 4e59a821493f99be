"""The command line as a contract, and as somebody meets it who mistyped."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import FACTS, MBCONV, ROOT
from helpers import TINY_SPACE, invoke, refused

from scalesearch import yamlfile, zoo
from scalesearch.api.trained import splits_file
from scalesearch.counting.counts import cost
from scalesearch.space.schema import arch_from_dict

SPACE = """\
name: s
resolution: 16
classes: 10
stem: {conv: {width: 8, stride: 2}}
stages:
  - depth: {range: [1, 2]}
    mbconv: {width: {choice: [8, 16]}, kernel: 3}
  - depth: 1
    stride: 2
    mbconv:
      width: 16
      expand: {choice: [3, 4], name: e}
head: {classifier: {}}
"""
STUDY = """\
space: space.yaml
data: digits
resolution: 16
budget: {macs: 2M}
search: {with: random, trials: 2}
scale: {trials: 4}
compare: [resnet18]
recipe: quick
"""


# (what is written instead of what, line it is at, what the message must say)
FAULTS_IN_A_SPACE = [
    ("kernel: 3", "kernal: 3", 7, 'unknown key for block "mbconv".*Did you mean "kernel"'),
    ("mbconv:\n      width: 16", "mbconvv:\n      width: 16", 10, 'Did you mean "mbconv"'),
    ("conv: {width: 8, stride: 2}", "conw: {width: 8, stride: 2}", 4, 'Did you mean "conv"'),
    ("classifier", "clasifier", 13, 'Did you mean "classifier"'),
    ("stages:", "stagess:", 5, 'Did you mean "stages"'),
    ("classes: 10", "classes: ten", 3, "takes a whole number, got 'ten'"),
    ("classes: 10", "classes: true", 3, "takes a whole number, got True"),
    ("width: 16", "width: 16.5", 11, "takes a whole number, got 16.5"),
    ("width: 16", "width: -16", 11, "at least 1, got -16"),
    ("width: 16\n", "widht: 16\n", 11, 'Did you mean "width"'),
    ("      width: 16\n", "", 10, 'needs "width"'),
    ("kernel: 3", "kernel: 4", 7, "must be odd, got 4"),
    ("kernel: 3", "kernel: {choice: []}", 7, "at least one option"),
    ("kernel: 3", "kernel: {choice: [3, 3]}", 7, "offers 3 twice"),
    ("kernel: 3", "kernel: {choice: [3, x]}", 7, "choice.1.: takes a whole number, got 'x'"),
    ("kernel: 3", "kernel: {choise: [3, 5]}", 7, "takes a whole number"),
    ("range: [1, 2]", "range: [2, 1]", 6, "low 2 is above high 1"),
    ("range: [1, 2]", "range: [1, 2, 3]", 6, r"takes \[low, high\]"),
    ("range: [1, 2]", "range: [1, 2], stepp: 1", 6, 'Did you mean "step"'),
    (
        "kernel: 3",
        "kernel: {choice: [3, 5], when: {stages.1.mbconv.expandd: 3}}",
        7,
        "no decision of this space. Did you mean",
    ),
    ("kernel: 3", "kernel: {choice: [3, 5], when: {e: 7}}", 7, 'condition on "e" being 7, which it never is'),
    ("kernel: 3", "kernel: {choice: [3, 5], when: {stages.0.mbconv.kernel: 3}}", 7, "conditions go in a circle"),
    ("width: 16", "width: {choice: [16], when: {e: 3}}", 11, 'needs "else"'),
    ("kernel: 3", "kernel: {tie: stages.9.depth}", 7, "which is no decision of this space"),
    (
        "kernel: 3}",
        "kernel: {tie: stages.0.mbconv.expand}, expand: {tie: stages.0.mbconv.kernel}}",
        7,
        "ties go in a circle",
    ),
    ("kernel: 3", "expand: {choice: [3, 5], name: e}", 12, "offer different values"),
    ("stride: 2\n", "stride: 2\n    stride: 1\n", 10, "stands there twice"),
    ("depth: 1\n", "depth: !!python/object:os.system 1\n", 8, "tags are not taken"),
    ("depth: 1\n", "depth: &a 1\n", 8, "anchors and aliases are not taken"),
    ("name: s\n", "name: [s\n", 2, "is not YAML"),
    ("head:", "  - conv: {width: 8, groups: 3}\nhead:", 13, "groups, which don't divide both"),
    ("resolution: 16", "resolution: 2", 2, "too small"),
]


@pytest.mark.parametrize("old, new, line, message", FAULTS_IN_A_SPACE, ids=lambda v: str(v)[:40].replace("\n", " "))
def test_faults_in_a_space_are_located(tmp_path, old, new, line, message):
    path = tmp_path / "space.yaml"
    assert old in SPACE
    path.write_text(SPACE.replace(old, new, 1))
    output = refused("check", str(path))
    assert f"{path}:{line}:" in output, output
    assert re.search(message, output), output
    assert refused("sample", str(path)) == output
    (tmp_path / "study.yaml").write_text(STUDY)
    if "too small" not in message:  # the study brings the space to its own resolution
        assert f"{path}:{line}:" in refused("run", str(tmp_path / "study.yaml"), "--dry-run")


FAULTS_IN_A_STUDY = [
    ("data: digits", "data: digit", 2, 'unknown data set "digit".*Did you mean "digits"'),
    ("data: digits", "dataa: digits", 2, 'Did you mean "data"'),
    ("[resnet18]", "[resnet18, resnet19]", 7, r'compare\[1\]: unknown model "resnet19".*Did you mean "resnet1'),
    ("[resnet18]", "resnet18", 7, "takes a list, each a text"),
    ("with: random", "with: randon", 5, 'unknown searcher "randon".*Did you mean "random"'),
    ("trials: 2", "trials: 0", 5, "at least 1, got 0"),
    ("trials: 2", "trails: 2", 5, 'Did you mean "trials"'),
    ("trials: 4", "trials: 3", 6, "at least 4"),
    ("recipe: quick", "recipe: quik", 8, 'unknown recipe "quik".*Did you mean "quick"'),
    ("recipe: quick", "recipe: {epochs: 0}", 8, "at least 1"),
    ("{macs: 2M}", "{macs: 2X}", 4, "takes 600M, ≤ 600M, .* or 2x NAME ± 2%; got '2X'"),
    ("{macs: 2M}", "{}", 4, "needs a bound"),
    (
        "{macs: 2M}",
        "{macs: 1k}",
        4,
        r"no network of \"s\" has macs ≤ 1,000; the nearest budget that one meets is {macs: \d+}",
    ),
    ("budget: {macs: 2M}\n", "", 1, 'needs "budget"'),
    ("resolution: 16", "resolution: 1", 3, "too small"),
    ("data: digits", "name: ../up", 2, "takes a name of letters"),
    ("data: digits", "name: " + "x" * 5000, 2, "at most 100"),
    ("data: digits", "seeds: [0, -1]", 2, r"seeds\[1\]: must be at least 0"),
    ("data: digits", "seeds: [0, 0]", 2, r"seeds\[1\]: 0 stands there twice"),
    ("data: digits", "family: {phi: [9], }\nscale: {factor: 4, trials: 4}", 7, "stands there twice"),
    ("data: digits", "family: {phi: [10]}\nray: {cpus_per_trial: 0}", 3, "at least 0.1"),
    ("recipe: quick", "recipe: {base: [quick]}", 8, "unknown recipe"),
    ("recipe: quick", "recipe: {epochs: 1e999}", 8, "takes a whole number"),
    ("resolution: 16", "resolution: " + "9" * 400, 3, "takes a whole number or a list of 2"),
    ("space: space.yaml", "space: spice.yaml", 1, "spice.yaml: cannot be read: No such file"),
]


@pytest.mark.parametrize("old, new, line, message", FAULTS_IN_A_STUDY, ids=lambda v: str(v)[:40].replace("\n", " "))
def test_faults_in_a_study_are_located_and_nothing_is_written(tmp_path, old, new, line, message):
    path = tmp_path / "study.yaml"
    (tmp_path / "space.yaml").write_text(SPACE)
    assert old in STUDY
    path.write_text(STUDY.replace(old, new, 1))
    out = tmp_path / "out"
    output = refused("run", str(path), "--out", str(out))
    place = "spice.yaml:" if "spice" in new else f"{path}:{line}:"
    assert place in output, output
    assert re.search(message, output), output
    assert refused("check", str(path)) == output
    assert not out.exists()


SEVERAL_FAULTS = """\
naem: x
space:
  resolutoin: 32
  stem: [{conv: {wdith: 8}}, {conv: {width: 8, kernel: 2}}]
  stages:
    - {depth: 0, mbconv: {width: 8, kernel: 4, expand: {choice: [1, x, 1]}}}
    - {mbcnv: {width: 8}}
    - {block: {choice: [{conv: {width: w}}, {basic: {}}]}}
  head: {classifer: {}}
  auxiliary: [{after: -1, classifier: {}}]
budget: {macs: 6QM, foo: 3}
recipe: {base: quick, epochs: 0, learning_rat: 3}
data: digts
seeds: [0, 0]
search: {trials: x, searchr: tpe}
family: {phi: [0, a]}
"""
THEIR_PLACES = """\
1: naem
3: space.resolutoin
4: space.stem[0].conv.wdith
4: space.stem[1].conv.kernel
6: space.stages[0].depth
6: space.stages[0].mbconv.kernel
6: space.stages[0].mbconv.expand.choice[1]
6: space.stages[0].mbconv.expand.choice[2]
7: space.stages[1].mbcnv
8: space.stages[2].block.choice[0].conv.width
8: space.stages[2].block.choice[1].basic
9: space.head.classifer
10: space.auxiliary[0].after
10: space.auxiliary[0].classifier
11: budget.macs
11: budget.foo
12: recipe.learning_rat
12: recipe.epochs
13: data
14: seeds[1]
15: search.searchr
15: search.trials
16: family.phi[1]
"""


def test_check_tells_all_faults_of_a_file_in_its_order_and_each_once(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(SEVERAL_FAULTS)
    done = invoke("check", str(path))
    assert done.exit_code == 2
    found = [line.split(f"{path}:")[1] for line in done.output.splitlines()]
    assert [re.match(r"\d+: \S+(?=:)", line)[0] for line in found] == THEIR_PLACES.splitlines()
    assert len({line.split(": ", 1)[1] for line in found}) == len(found)


def test_conditions_and_ties_of_a_space_are_told_together(tmp_path):
    path = tmp_path / "space.yaml"
    text = SPACE.replace("kernel: 3", "kernel: {choice: [3, 5], when: {x: 3}}, expand: {choice: [1], when: {e: 9}}")
    path.write_text(text)
    lines = invoke("check", str(path)).output.splitlines()
    assert [line.split(": ")[2] for line in lines] == ["stages.0.mbconv.kernel", "stages.0.mbconv.expand"]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty"),
        (b"# nothing\n", "is empty"),
        (b"- a\n- b\n", "must be a mapping"),
        (b"\xff\xfe\x00a", "is not UTF-8"),
        (b"a: [b", "is not YAML"),
        (b"a: \x00", "is not YAML"),
        (b"a: " + b"[" * 5000 + b"]" * 5000, "nested deeper"),
        (b"- " * 100_000, "nested deeper"),
        (b"a: " + b"x" * (1 << 21), "at most 1,048,576"),
        (b"? [a]\n: b\n", "a key must be a word"),
    ],
    ids=["empty", "comment", "list", "utf-16", "open bracket", "nul", "deep", "deeper", "large", "complex key"],
)
def test_files_that_are_no_study(tmp_path, content, message):
    path = tmp_path / "file.yaml"
    path.write_bytes(content)
    for command in (["check"], ["run"], ["cost"], ["sample"]):
        assert message in refused(*command, str(path))


def test_a_hundred_megabytes_are_refused_unread(tmp_path):
    path = tmp_path / "large.yaml"
    with open(path, "wb") as file:
        file.truncate(100 << 20)
    assert "is 104,857,600 bytes" in refused("check", str(path))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["cost", "resnet51"], 'unknown model "resnet51".*Did you mean "resnet50"'),
        (["cost", "missing.yaml"], "missing.yaml: cannot be read"),
        (["cost", "resnet50", "--resolution", "8"], "smallest that works is 17"),
        (["zoo", "--family", "resnets"], 'Did you mean "resnet"'),
        (["zoo", "--max-macs", "many"], "takes an amount such as 600M"),
        (["scale", "resnet18", "--to", "-3"], "takes an amount"),
        (["scale", "resnet18", "--to", "100T"], "a factor between 1/4096 and 4096"),
        (["scale", "resnet18", "--phi", "nan"], "takes a number between -10 and 10"),
        (["scale", "resnet18", "--to", "1e999"], "takes an amount"),
        (["scale", "resnet18", "--phi"], "requires an argument"),
        (["export", "resnet18", "--to", "py", "-o", "no/where.py"], "no: is no folder"),
        (["check", "/dev/null"], "is no file"),
        (["scale", "resnet18", "--by", "2", "--preset", "depth", "--alpha", "2"], "replaces --alpha"),
        (["scale", "resnet18", "--by", "2", "--published"], "goes with --phi"),
        (["scale", "resnet18"], "takes one of --to MACS, --by FACTOR and --phi N"),
        (["run", "study.yaml"], "study.yaml: cannot be read"),
        (["run", str(ROOT / "studies/effnet_phi.yaml"), "--set", "trials"], "takes KEY=VALUE"),
        (["run", str(ROOT / "studies/effnet_phi.yaml"), "--set", "search.trails=3"], 'Did you mean "trials"'),
        (
            ["run", str(ROOT / "studies/effnet_phi.yaml"), "--set", "search.trials=x"],
            "--set: search.trials: takes a who",
        ),
        (["run", str(ROOT / "studies/effnet_phi.yaml"), "--set", "recipe=fast"], "--set: recipe: unknown recipe"),
        (["run", "study.yaml", "--learning-rate", "1"], "settings are given by --set recipe.learning_rate=…"),
        (["train", "resnet18", "--label-smoothing", "1"], "recipe's settings are given by --set label_smoothing=…"),
        (["report", "nowhere"], "is no run's folder"),
        (["export", "resnet18", "--to", "safetensors"], "give -o"),
    ],
    ids=lambda v: " ".join(v)[:50] if isinstance(v, list) else "",
)
def test_mistyped_arguments(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert re.search(message, refused(*arguments))
    assert not list(tmp_path.iterdir())


def test_cost_and_zoo_print_what_scripts_rely_on():
    rows = json.loads(invoke("cost", "efficientnet_b0", "resnet50", "--json").stdout)
    assert [(r["name"], r["resolution"], r["params"], r["macs"]) for r in rows] == [
        ("efficientnet_b0", 224, 5288548, 385814752),
        ("resnet50", 224, 25557032, 4089184256),
    ]
    assert rows[0]["acts"] == cost(zoo.model("efficientnet_b0")).acts
    assert rows[0]["uncounted"]["silu"] > 0
    models = json.loads(invoke("zoo", "--json").stdout)
    assert {m["name"] for m in models} == set(zoo.MODELS)
    assert {"family", "top1", "top1_resolution", "source", "macs", "acts"} <= set(models[0])
    small = json.loads(invoke("zoo", "--json", "--max-macs", "600M", "--sort", "macs").stdout)
    assert [m["macs"] for m in small] == sorted(m["macs"] for m in small)
    assert small[-1]["macs"] <= 600e6


def test_cost_with_fvcore():
    (row,) = json.loads(invoke("cost", "mobilenet_v2", "--fvcore", "--resolution", "64", "--json").stdout)
    assert row["macs"] == row["fvcore_macs"]
    assert row["acts"] == row["fvcore_acts"]
    assert row["fvcore_total"] == cost(zoo.model("mobilenet_v2").with_(resolution=64)).fvcore_total


def test_scale_and_sample_print_architectures(tmp_path):
    scaled = invoke("scale", "efficientnet_b0", "--to", "600M")
    arch = arch_from_dict(yamlfile.parse(scaled.stdout).data)
    assert abs(cost(arch).macs / 600e6 - 1) <= 0.02
    assert f"{cost(arch).macs:,} MACs" in scaled.stderr
    b1 = invoke("scale", "efficientnet_b0", "--phi", "1", "--published").stdout
    assert arch_from_dict(yamlfile.parse(b1).data).resolution == round(224 * 1.15)
    closed = json.loads(invoke("scale", "efficientnet_b0", "--phi", "1", "--preset", "efficientnet", "--json").stdout)
    assert abs(closed["deviation"]) <= 0.02
    assert abs(closed["cost"]["macs"] / cost(zoo.model("efficientnet_b0")).macs / 2 - 1) <= 0.02
    sampled = invoke("sample", str(MBCONV), "-n", "3", "--budget", "100M", "--budget", "≥ 0.05x resnet18", "--json")
    assert [
        0.05 * cost(zoo.model("resnet18")).macs <= row["cost"]["macs"] <= 100e6 for row in json.loads(sampled.stdout)
    ] == [True] * 3
    documents = invoke("sample", str(MBCONV), "-n", "2", "--seed", "4").stdout.split("---\n")
    path = tmp_path / "arch.yaml"
    path.write_text(documents[1])
    (row,) = json.loads(invoke("cost", str(path), "--json").stdout)
    assert row["macs"] == cost(arch_from_dict(yamlfile.parse(documents[1]).data)).macs


def test_check_and_dry_run_say_what_is_feasible(tmp_path):
    (tmp_path / "space.yaml").write_text(SPACE)
    (tmp_path / "study.yaml").write_text(STUDY)
    rows = json.loads(invoke("check", str(tmp_path / "space.yaml"), str(tmp_path / "study.yaml"), "--json").stdout)
    assert [(r["kind"], r["architectures"], r["share inside"]) for r in rows] == [("space", 8, 1.0), ("study", 8, 1.0)]
    output = invoke(
        "run", str(tmp_path / "study.yaml"), "--dry-run", "--set", "budget.macs=300k", "--out", str(tmp_path / "out")
    )
    space = yamlfile.parse(SPACE).data
    assert "macs ≤ 300,000" in output.stdout
    assert "8 architectures" in output.stdout
    assert space["name"] in output.stdout
    assert not (tmp_path / "out").exists()
    plan = json.loads(invoke("run", str(tmp_path / "study.yaml"), "--dry-run", "--json").stdout)
    assert [step["trials"] for step in plan["steps"]] == [2, 4, 4, 4, 1]


def test_export_writes_a_file_that_runs(tmp_path):
    invoke(
        "export",
        "mobilenet_v2",
        "--to",
        "py",
        "--resolution",
        "32",
        "--classes",
        "10",
        "-o",
        str(tmp_path / "model.py"),
    )
    code = "import torch; from model import build; print(tuple(build()(torch.zeros(2, 3, 32, 32)).shape))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "(2, 10)", done.stderr


@pytest.mark.parametrize(
    "arguments, most", [(["--help"], 0.3), (["cost", "efficientnet_b0"], 0.6)], ids=["help", "cost"]
)
def test_light_commands_take_little_cpu_time(arguments, most):
    def cpu() -> float:
        before = os.times()
        subprocess.run(
            [sys.executable, "-m", "scalesearch", *arguments], stdout=subprocess.DEVNULL, check=True, cwd=ROOT
        )
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(cpu() for _ in range(5)) < most


def test_a_tiny_space_in_python_is_the_same_as_in_yaml():
    from scalesearch import space_from_dict

    written = yamlfile.parse(yamlfile.dump(TINY_SPACE)).data
    assert written == TINY_SPACE
    assert space_from_dict(written).size == space_from_dict(TINY_SPACE).size


# To start from.


def test_version_tells_what_the_package_stands_on():
    import optuna

    payload = json.loads(invoke("--version", "--json").stdout)
    assert payload.keys() == {"scalesearch", "python", "torch", "ray", "optuna", "fvcore"}
    assert payload["optuna"] == optuna.__version__
    assert payload["python"] == ".".join(map(str, sys.version_info[:3]))
    assert f"optuna {optuna.__version__}" in invoke("--version").stdout
    assert "goes" in refused("--json") or "with --version" in refused("--json")


def test_init_writes_what_checks_and_writes_nothing_over(tmp_path):
    folder = tmp_path / "new" / "folder"
    output = invoke("init", str(folder))
    assert output.exit_code == 0
    assert f"scalesearch run {folder / 'study.yaml'} --dry-run" in output.stderr
    rows = json.loads(invoke("check", str(folder / "study.yaml"), str(folder / "space.yaml"), "--json").stdout)
    assert [row["kind"] for row in rows] == ["study", "space"]
    assert all(0 < row["share inside"] <= 1 for row in rows)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    (folder / "space.yaml").unlink()
    assert f"{folder / 'study.yaml'}: exists; nothing is written over" in refused("init", str(folder))
    assert not (folder / "space.yaml").exists()
    assert {p.name: p.read_bytes() for p in folder.iterdir()}.items() < before.items()


def test_a_shipped_study_goes_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "effnet_phi").mkdir()  # a run's folder of that name hides nothing
    assert "predictor in mbconv" in invoke("run", "effnet_phi", "--dry-run").stdout
    output = refused("run", "efnet_phi")
    assert (
        'ship with the package: cifar10_phi, effnet_phi, imagenette_phi, yolo_scale. Did you mean "effnet_phi"?'
        in output
    )


def test_splits_are_looked_for_in_a_networks_folder_and_in_its_run_also_right_under_the_root(tmp_path):
    """As where a network is mounted into a container at /model."""
    assert splits_file(Path("/")) is None
    assert splits_file(next(path for path in Path("/").iterdir() if path.is_dir())) is None
    assert splits_file(tmp_path / "nowhere") is None
    member = tmp_path / "run" / "family" / "phi0"
    member.mkdir(parents=True)
    assert splits_file(member) is None
    (tmp_path / "run" / "splits.parquet").touch()
    assert splits_file(member) == tmp_path / "run" / "splits.parquet"
    (member / "splits.parquet").touch()
    assert splits_file(member) == member / "splits.parquet"


def test_init_makes_a_study_for_the_data_and_the_machine(tmp_path, monkeypatch):
    """The dry run then takes it as it is, and says what it will do and how long that takes."""
    from making import picture

    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(40):
            picture(label, i, (52, 40)).save(tmp_path / "photos" / label / f"{i}.png")
    result = invoke("init", "mine", "--data", "photos")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "mine" / "study.yaml").read_text()
    assert "resolution: 32" in text
    assert "# the images allow 40; for" in text
    assert "# hard limit for the base: 3,000 for each pixel" in text
    dry = invoke("run", "mine/study.yaml", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert " trainings in all" in dry.output
    assert "brought down to 32×32 pixels from larger ones" in dry.output
    assert "on the cores of this machine, by a few timed steps" in dry.output
    assert "data set" in refused("init", "other", "--data", "photoz")
    assert '"photos"' in refused("init", "other", "--data", "photoz")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a pseudo-terminal")
def test_a_terminal_too_narrow_for_a_table_gets_a_line_for_each_cell():
    import fcntl
    import pty
    import struct
    import termios

    def shown(columns: int) -> str:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
        command = [sys.executable, "-m", "scalesearch", "cost", "resnet18", "mobilenet_v2"]
        subprocess.run(command, stdout=theirs, stderr=subprocess.DEVNULL, check=True, env=environment)
        os.close(theirs)
        output = b""
        with suppress(OSError):  # which ends the output of a terminal
            while part := os.read(ours, 4096):
                output += part
        return output.decode()

    narrow = shown(60)
    assert re.search(r"resnet18 .*11,689,512 .*1,814,073,344", narrow)  # what decides; the rest in a second table
    assert re.search(r"resnet18 .*64,107,840", narrow)
    assert "…" not in narrow
    assert max(len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in narrow.splitlines()) <= 60
    assert re.search(r"resnet18 .*11,689,512 .*1,814,073,344", shown(160))


def test_a_misspelt_folder_of_a_network_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "arch.yaml").write_text("name: mine\n")
    assert 'unknown model "mien". Did you mean "mine"?' in refused("cost", "mien")
    assert 'Did you mean "resnet50"' in refused("cost", "resnet51")


def test_several_runs_go_onto_one_page(tmp_path):
    runs = [str(tmp_path / name) for name in ("first", "second")]
    for run in runs:
        shutil.copytree(FACTS / "run_of_version_0_2", run)
    page = tmp_path / "runs.html"
    rows = json.loads(invoke("report", *runs, "-o", str(page), "--json").stdout)
    assert "one study with different seeds" in page.read_text()
    assert all(row[runs[0]] == row[runs[1]] == pytest.approx(row["test"]) for row in rows)
    assert {row["kind"] for row in rows} >= {"family"}
    assert not (tmp_path / "first" / "report.html").exists()
    assert "is given twice" in refused("report", runs[0], runs[0])
    assert "is for several runs" in refused("report", runs[0], "-o", str(page))
    assert "is no run's folder: it has no study.yaml" in refused("report", runs[0], str(tmp_path))
