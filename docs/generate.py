"""Writes the pages of the site that are made from the package: the reference, the zoo's table, llms.txt, SKILL.md."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import mkdocs_gen_files
import yaml

import scalesearch as ss
from scalesearch.arch import BLOCKS
from scalesearch.cli import main
from scalesearch.counting import cost
from scalesearch.errors import InputError
from scalesearch.study import study_keys
from scalesearch.trials import RECIPES
from scalesearch.zoo import MODELS, load

ROOT = Path(__file__).parent.parent
SITE_NAMES = {
    "benchmarks/README.md": "benchmarks.md",
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
}
PYTHON = {
    "Networks": ("load", "Arch", "cost", "Cost", "peak_memory", "scale", "scale_to", "build", "load_weights"),
    "One network on images": (
        *("train", "Training", "evaluate", "predict", "detect", "export", "dataset", "load_trained", "Trained"),
    ),
    "Spaces and budgets": (
        *("load_space", "space_from_dict", "Space", "choice", "span", "expand", "certify", "Feasible", "ScalingSpace"),
    ),
    "Searching": ("search", "Found", "Function"),
    "Studies": ("load_study", "Study", "run", "Run"),
    "Adding to it": ("register_block", "register_network", "register_searcher", "register_evaluator"),
    "Errors": ("InputError",),
}


def write(path: str, text: str) -> None:
    with mkdocs_gen_files.open(path, "w") as file:
        file.write(text)


def cell(text: object) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def key_table(kind: str) -> str:
    """The keys of a study as tables, one for each section."""
    sections: dict[str, list[str]] = {}
    for key in study_keys(kind):
        section, _, name = key.path.rpartition(".")
        row = f"| `{name}` | {cell(key.takes)} | {cell(key.default)} | {cell(key.meaning)} |"
        sections.setdefault(section, []).append(row)
    return "\n".join(
        f"### {f'`{name}`' if name else 'top level'}\n\n| key | takes | default | meaning |\n|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
        for name, rows in sections.items()
    )


def block_rows() -> str:
    rows = []
    for name, block in BLOCKS.items():
        if block.function is None:
            continue
        doc = (inspect.getdoc(block.function) or "").split("\n\n")[0].replace("\n", " ")
        parameters = [p for p in inspect.signature(block.function).parameters.values() if p.kind == p.KEYWORD_ONLY]
        arguments = ", ".join(
            f"`{p.name}`" if p.default is p.empty else f"`{p.name}` = {p.default}" for p in parameters
        )
        rows.append(f"| `{name}` | {cell(doc)} | {cell(arguments)} |")
    return "\n".join(rows)


def zoo_rows() -> str:
    rows = []
    for name in MODELS:
        try:
            arch = load(name)
            counts = cost(arch)
        except InputError:
            continue
        size = "×".join(map(str, arch.sides))
        rows.append(f"| `{name}` | {size} | {counts.params:,} | {counts.macs:,} |")
    return "\n".join(rows)


def changed_links(text: str, source: str) -> str:
    """Text of a file of the repository as a page of the site: links to its pages stay, others are text."""

    def changed(match: re.Match[str]) -> str:
        target, anchor, label = match["target"], match["anchor"] or "", match["label"]
        path = (ROOT / source).parent.joinpath(target).resolve()
        if not path.is_relative_to(ROOT):
            return match[0]
        relative = str(path.relative_to(ROOT))
        if relative in SITE_NAMES:
            return f"[{label}]({SITE_NAMES[relative]}{anchor})"
        if relative.startswith("docs/") and relative.endswith(".md"):
            return f"[{label}]({relative.removeprefix('docs/')}{anchor})"
        return label

    return re.sub(r"\[(?P<label>[^\]]*)\]\((?P<target>[\w./-]+)(?P<anchor>#[\w-]+)?\)", changed, text)


write(
    "reference/commands.md",
    "# Commands\n\nGenerated from the commands themselves. Every command that prints a table takes `--json`. "
    "Exit codes: 0 "
    'done, 1 the work failed, 2 the input is wrong.\n\nShell completion: `eval "$(_SCALESEARCH_COMPLETE=bash_source '
    'scalesearch)"` in `~/.bashrc` (`zsh_source` and `fish_source` for these).\n\n'
    "::: mkdocs-click\n    :module: scalesearch.cli\n    :command: main\n    :prog_name: scalesearch\n    :depth: 1\n"
    "    :style: table\n    :list_subcommands: true\n",
)
write(
    "reference/study.md",
    "# Keys of a study\n\nGenerated from the package; `scalesearch schema study --explain KEY` prints the same. "
    "`--set KEY=VALUE` changes any of them from the command line.\n\n## A study that trains\n\n"
    f"{key_table('training')}\n## A study of a table\n\n{key_table('table')}",
)
recipe_rows = "\n".join(
    f"| `{option}` | " + " | ".join(cell(getattr(recipe, option)) for recipe in RECIPES.values()) + " |"
    for option in RECIPES["cifar"].__dataclass_fields__
)
write(
    "reference/recipes.md",
    "# Recipes\n\nWhat each shipped recipe sets; the keys are explained in [Keys of a study](study.md#recipe).\n\n| | "
    + " | ".join(f"`{name}`" for name in RECIPES)
    + f" |\n|---|{'---|' * len(RECIPES)}\n{recipe_rows}\n",
)
write(
    "reference/blocks.md",
    "# Blocks\n\nWhat stems, stages and heads are made of. An argument with a value may be left out; any may be a "
    f"choice or a range in a space.\n\n| block | what it does | arguments |\n|---|---|---|\n{block_rows()}\n",
)
write(
    "reference/zoo.md",
    "# The zoo\n\nThe hand-built networks with their counts for one image at their native resolution: one "
    f"multiply-add is one MAC.\n\n| name | pixels | params | MACs |\n|---|---|---|---|\n{zoo_rows()}\n",
)
missing = set(ss.__all__) - {name for names in PYTHON.values() for name in names}
if missing:
    raise SystemExit(f"docs/generate.py: public names without a place in the reference: {', '.join(sorted(missing))}")
write(
    "reference/python.md",
    "# Python\n\n`import scalesearch as ss`; every name is imported when it is first asked for, so counting loads no "
    "torch.\n\n"
    + "\n".join(
        f"## {title}\n\n" + "\n".join(f"::: {getattr(ss, name).__module__}.{name}\n" for name in names)
        for title, names in PYTHON.items()
    ),
)
for source, page in SITE_NAMES.items():
    write(page, changed_links((ROOT / source).read_text(encoding="utf-8"), source))


def pages(entries: list[object]) -> list[tuple[str, str]]:
    """The pages of the navigation, in its order: title and file."""
    found: list[tuple[str, str]] = []
    for entry in entries:
        assert isinstance(entry, dict)
        for title, target in entry.items():
            found += pages(target) if isinstance(target, list) else [(title, target)]
    return found


def address(path: str) -> str:
    """Where the page of a file lies on the site."""
    return "./" if path == "index.md" else f"{path.removesuffix('.md')}/"


navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
listed = pages(navigation)
index = "\n".join(f"- [{title}]({address(path)})" for title, path in listed)
write("llms.txt", f"# scalesearch\n\n> {' '.join((ss.__doc__ or '').split('.')[:1])}.\n\n## Pages\n\n{index}\n")
commands = "\n".join(
    f"- `scalesearch {name}`: {(command.help or '').strip().splitlines()[0]}"
    for name, command in sorted(main.commands.items())
)
start = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").partition("\n## ")
write(
    "SKILL.md.txt",
    "---\nname: scalesearch\ndescription: Search convolutional networks and scale them into families inside compute "
    "budgets; count, train, score and export single networks.\n---\n\n# Using scalesearch\n\n"
    f"Every command takes `--help`; those that print tables take `--json`. Wrong input exits with 2 and one line that "
    f"says what would work.\n\n## Commands\n\n{commands}\n\n## {start[2]}",
)
