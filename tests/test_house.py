"""The house: imports run only downward and through what a room hands on, heavy libraries each have one door, commands
stay light."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "scalesearch"
FILES = sorted(PACKAGE.rglob("*.py"))
DOORS = {
    "ray": {"runs/ray_tune.py", "runs/ray_jobs.py"},
    "optuna": {"searchers/bayes.py"},
    "fvcore": {"counting/measuring.py"},
    "plotly": {"report/figures.py"},
    "yaml": {"yamlfile.py"},
    "sklearn": {"data/digits.py"},
    "pandas": {"notebook.py", "searchers/tables.py"},
    "PIL": {"data/images.py", "data/drawing.py"},
    "av": {"data/video.py"},
    "pyarrow": {"data/columns.py"},
    "fsspec": {"runs/mirror.py"},
    "sqlalchemy": {"searchers/optuna_storage.py"},
    "psutil": {"machine.py", "runs/ray_cleanup.py"},
    "filelock": {"files.py"},
    "platformdirs": {"files.py"},
    "onnx": {"exporting/files.py"},
    "pydantic": {"typed_json.py"},
    "huggingface_hub": {"hub.py"},
}


def rows() -> list[list[str]]:
    """The rooms from the top down, those of a row beside each other: the first column of the table in
    docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return [re.findall(r"`(\w+)(?:/|\.py)`", cell) for cell in cells]


LEVEL = {room: level for level, row in enumerate(reversed(rows())) for room in row}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[tuple[str, str]]:
    """Returns pairs of a module and a name that a file imports from it, wherever in it.

    What only types need is left out where both sides are in one room, and of other libraries.
    """
    tree = ast.parse(path.read_text())
    typed = {
        n
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for n in ast.walk(node)
    }
    pairs = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and node not in typed:
            pairs += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node not in typed or leaves_room(node.module or "", path)):
            pairs += [(node.module, alias.name) for alias in node.names]
    return pairs


def leaves_room(module: str, path: Path) -> bool:
    parts = module.split(".")
    return parts[0] == "scalesearch" and len(parts) > 1 and parts[1] != room(path)


def handed_on(name: str) -> dict[str, str]:
    """What a room hands on, and the module that it comes from."""
    tree = ast.parse((PACKAGE / name / "__init__.pyi").read_text())
    return {
        alias.name: f"scalesearch.{name}.{node.module or alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_every_room_is_in_the_table():
    assert {room(path) for path in FILES} - {"__init__", "__main__"} == LEVEL.keys()
    verbs = {"run", "cost", "search", "scale", "build", "train", "export", "evaluate", "predict", "detect"}
    assert not verbs & LEVEL.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downward_and_take_what_a_room_hands_on(path):
    if path.parent == PACKAGE and path.stem in ("__init__", "__main__"):
        return
    for module, name in imports(path):
        parts = module.split(".")
        if parts[0] != "scalesearch":
            continue
        target = parts[1] if len(parts) > 1 else name
        if target in (room(path), "__version__"):
            continue
        assert LEVEL[target] < LEVEL[room(path)], f"{path} imports {module}, which does not lie below it"
        if (PACKAGE / target).is_dir():
            known = len(parts) == 2 and name in handed_on(target)
            assert known, f"{path} takes {module}.{name}, which {target}/ does not hand on"


@pytest.mark.parametrize("name", sorted(r for r in LEVEL if (PACKAGE / r).is_dir()))
def test_a_room_says_what_it_is_for_and_hands_on_what_is_used(name):
    package = importlib.import_module(f"scalesearch.{name}")
    assert "In: " in package.__doc__
    assert "Out: " in package.__doc__
    stub = handed_on(name)
    taken = {
        n for path in FILES if room(path) != name for module, n in imports(path) if module == f"scalesearch.{name}"
    }
    public = ast.parse((PACKAGE / "__init__.pyi").read_text())
    taken |= {
        a.name for node in public.body if isinstance(node, ast.ImportFrom) and node.module == name for a in node.names
    }
    assert stub.keys() == taken | ({"main"} if name == "cli" else set())
    assert all(getattr(package, n) is not None for n in stub)


def test_no_module_is_in_a_circle():
    graph: dict[str, set[str]] = {}
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in FILES}
    for path in FILES:
        me = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        graph[me] = set()
        for module, name in imports(path):
            target = f"{module}.{name}" if f"{module}.{name}" in names else module
            parts = target.split(".")
            if len(parts) == 2 and (PACKAGE / parts[1]).is_dir():
                target = handed_on(parts[1])[name]
            if target in names - {me}:
                graph[me].add(target)
    assert len(list(TopologicalSorter(graph).static_order())) >= len(FILES) - 1


@pytest.mark.parametrize("library", DOORS)
def test_heavy_libraries_have_one_door(library):
    users = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        if any(m and m.split(".")[0] == library for m, _ in imports(path))
    }
    assert users == DOORS[library]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["cost", "efficientnet_b0"],
        ["zoo"],
        ["run", "studies/effnet_phi.yaml", "--dry-run"],
        ["check", "search_spaces/mbconv.yaml"],
    ],
    ids=lambda a: a[0],
)
def test_light_commands_import_neither_torch_nor_ray(arguments):
    code = (
        "import sys; from scalesearch.cli import main\ntry: main(sys.argv[1:])\nexcept SystemExit as e: assert not "
        "e.code, e.code\n"
        "heavy = {'torch', 'ray', 'optuna', 'plotly', 'pandas', 'scipy', 'sklearn', 'fvcore'} & set(sys.modules)\n"
        "if sys.argv[1] not in ('run', 'check'): heavy |= {'numpy'} & set(sys.modules)  # a certificate counts with "
        "arrays\n"
        "if sys.argv[1] == 'run': heavy -= {'torch'}  # which times a few steps, after the plan is printed\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_runs_code_from_files():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                assert name not in ("exec", "__import__"), path
                assert not (isinstance(node.func, ast.Name) and name == "eval"), path


def public_objects():
    """Yields every public function, class, method and property of the package, with its name."""
    for path in FILES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] in ("__init__", "__main__"):
            continue
        module = importlib.import_module(".".join(parts))
        for name, thing in vars(module).items():
            if name.startswith("_") or getattr(thing, "__module__", "") != module.__name__:
                continue
            if inspect.isfunction(thing) or inspect.isclass(thing):
                yield f"{module.__name__}.{name}", thing
            if inspect.isclass(thing):
                for attribute, member in vars(thing).items():
                    described = inspect.isfunction(member) or isinstance(
                        member, property | cached_property | classmethod | staticmethod
                    )
                    if described and not attribute.startswith("_"):
                        yield f"{module.__name__}.{name}.{attribute}", getattr(thing, attribute)


def test_public_names_have_docstrings():
    """Their own, or those of what they override."""
    assert not [name for name, thing in public_objects() if not inspect.getdoc(thing)]


def test_functions_over_tensors_give_shapes():
    """As `(N, 4)`, or that something is a scalar."""
    shape = re.compile(r"`\([^`]*\)`|\bscalar\b|\bshape")
    faults = []
    for name, thing in public_objects():
        if inspect.isfunction(thing) and "." not in thing.__qualname__:
            over_tensors = any("torch.Tensor" in str(kind) for kind in thing.__annotations__.values())
            if over_tensors and not shape.search(inspect.getdoc(thing) or ""):
                faults.append(name)
    assert not faults
