"""The top-level command."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from scalesearch import __version__
from scalesearch.cli.examples import GROUPS
from scalesearch.cli.options import PATH
from scalesearch.cli.printing import GuardedCommand, exit_with
from scalesearch.errors import InputError

PACKAGES = ("torch", "ray", "optuna", "fvcore")
# OpenMP's threads, which torch computes with, wait for each other spinning, but for some 30 µs alone: on a machine
# where other work runs, endless spinning makes two threads many times slower than one, and none at all slows small
# networks down. Read when torch is imported; what the user has set stays.
SHORT_WAITING = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"}
for _variable, _value in SHORT_WAITING.items():
    os.environ.setdefault(_variable, _value)


class OneLineGroup(click.Group):
    """A group of commands whose usage errors are one line, as all other errors are."""

    command_class = GuardedCommand

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the commands in groups, each with its whole first sentence."""
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(1_000)) for name in names])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: object,
    ) -> Any:
        """Runs a command and exits; without `standalone_mode` exceptions are the caller's, as click has it."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, **extra)
        try:
            code = super().main(args, prog_name, complete_var, False, **extra)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "scalesearch"
            text = " ".join(error.format_message().split())
            text += "" if text.endswith((".", "?", "!", ")")) else "."
            if isinstance(error, click.NoSuchOption):
                text += _hint_of_setting(error)
            exit_with(error.exit_code, f"{text} See `{command} --help`.")
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except click.Abort:
            exit_with(1, "aborted")
        sys.exit(code if isinstance(code, int) else 0)


def _hint_of_setting(error: click.NoSuchOption) -> str:
    """Returns how `--set` gives what somebody has looked for as an option; empty where it doesn't."""
    if error.ctx is None or not any(option.name == "settings" for option in error.ctx.command.params):
        return ""
    from scalesearch.study import settings_named

    places, owner = settings_named(error.option_name.lstrip("-").replace("-", "_")), "A study's"
    if error.ctx.command.name == "train":  # whose settings are the recipe's alone
        places, owner = [place.removeprefix("recipe.") for place in places if place.startswith("recipe.")], "A recipe's"
    return f" {owner} settings are given by {' or '.join(f'--set {place}=…' for place in places)}." if places else ""


@click.group(
    cls=OneLineGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True},
    invoke_without_command=True,
    no_args_is_help=True,
)
@click.option("--version", is_flag=True, help="Print the versions of scalesearch, Python and the main dependencies.")
@click.option("--json", "as_json", is_flag=True, help="With --version: print JSON.")
@click.option(
    "--blocks",
    metavar="FILE.py",
    multiple=True,
    type=PATH,
    help="Python file that registers blocks of your own; it is run before the command.",
)
@click.pass_context
def main(context: click.Context, version: bool, as_json: bool, blocks: tuple[Path, ...]) -> None:
    """Search convolutional networks and scale them into families, within hard compute budgets.

    A MODEL is a name from the zoo (`scalesearch zoo`), the path of an architecture's YAML file, or a Darknet
    .cfg.
    """
    if as_json and not version:
        raise click.UsageError("--json goes after the command, or with --version.")
    if version:
        from scalesearch.versions import versions

        version_numbers = {"scalesearch": __version__, "python": platform.python_version(), **versions(PACKAGES)}
        lines = "\n".join(f"{name} {number}" for name, number in version_numbers.items())
        click.echo(json.dumps(version_numbers, indent=2) if as_json else lines)
        context.exit()
    if context.invoked_subcommand is None:
        raise click.UsageError("Missing command.")
    context.obj = {"blocks": blocks}
    for path in blocks:  # no other file is ever run as code
        from scalesearch.arch import load_blocks

        try:
            load_blocks(path)
        except InputError as error:
            raise click.UsageError(f"--blocks {error}") from None
