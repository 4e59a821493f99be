"""The house: imports run only downward, heavy libraries each have one door, every command stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "scalesearch"
FLOORS = [
    {"errors", "signature"},
    {"arch", "graph", "trial", "blocks", "domains", "operators", "recipe", "yamlfile", "pareto", "correlation"},
    {"expansion", "halving", "triallog"},
    {"counting", "adapting", "constructors", "proxies"},
    {"decisions", "space_size", "space_reading", "space_adapting", "scaling", "memory", "network", "profiles"},
    {"space", "scaling_space", "measuring", "zoo", "budget", "latency"},
    {"ladder", "band"},
    {"leaves", "schema", "darknet", "weights", "export", "feasibility", "data", "searchers", "train"},
    {"loading", "predicting", "worker", "asking", "problems", "tabular"},
    {"study", "searching"},
    {"driver", "runfolder"},
    {"report", "progress"},
    {"emit", "terminal", "tablestudy"},
    {"checking"},
    {"loop"},
    {"cli"},
    {"__init__", "__main__"},
]
DOORS = {"ray": {"loop.py"}, "optuna": {"searchers/bayes.py"}, "fvcore": {"measuring.py"}, "plotly": {"report/figures.py"},
         "yaml": {"yamlfile.py"}, "sklearn": {"data/digits.py"}, "pandas": {"emit.py", "tabular.py", "tablestudy.py"},
         "PIL": {"predicting.py"}, "onnx": {"export/files.py"}, "huggingface_hub": {"weights/files.py"}}  # fmt: skip


def imports(path: Path) -> set[str]:
    """Modules that a file imports, wherever in it, but for those only types need."""
    tree = ast.parse(path.read_text())
    typed = {n for node in ast.walk(tree) if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
             for n in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if node in typed:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"scalesearch.{a.name}" for a in node.names} if node.module == "scalesearch" else {node.module}
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_file_has_a_floor():
    assert {room(path) for path in FILES} == set().union(*FLOORS)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_only_downward(path):
    level = {name: i for i, floor in enumerate(FLOORS) for name in floor}
    for module in imports(path):
        if module and module.startswith("scalesearch."):
            target = module.split(".")[1]
            if target in level and target != room(path):
                assert level[target] <= level[room(path)], f"{path.name} imports {module}, which lives above it"


@pytest.mark.parametrize("library", DOORS)
def test_heavy_libraries_have_one_door(library):
    users = {str(path.relative_to(PACKAGE)) for path in FILES
             if any(module and module.split(".")[0] == library for module in imports(path))}
    assert users == DOORS[library]


@pytest.mark.parametrize("arguments", [["--help"], ["cost", "efficientnet_b0"], ["zoo"], ["run", "studies/effnet_phi.yaml", "--dry-run"],
                                       ["check", "search_spaces/mbconv.yaml"]], ids=lambda a: a[0])
def test_light_commands_import_neither_torch_nor_ray(arguments):
    code = ("import sys; from scalesearch.cli import main\ntry: main(sys.argv[1:])\nexcept SystemExit as e: assert not e.code, e.code\n"
            "heavy = {'torch', 'ray', 'optuna', 'plotly', 'pandas', 'scipy', 'sklearn', 'fvcore'} & set(sys.modules)\n"
            "if sys.argv[1] not in ('run', 'check'): heavy |= {'numpy'} & set(sys.modules)  # a certificate counts with arrays\n"
            "assert not heavy, heavy")
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_runs_code_from_files():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                assert name not in ("exec", "__import__") and not (isinstance(node.func, ast.Name) and name == "eval"), path
