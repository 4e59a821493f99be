"""The command that all others stand under."""

from __future__ import annotations

import click

from scalesearch import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="scalesearch")
def main() -> None:
    """Search convolutional networks and scale them into families, inside hard compute budgets.

    A MODEL is a name of the zoo (`scalesearch zoo`), the path of an architecture's YAML file, or a Darknet .cfg.
    """
