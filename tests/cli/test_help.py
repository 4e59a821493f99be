"""What `--help` shows: commands in groups, whole first sentences, examples that are right; tables that fit."""

from __future__ import annotations

import shlex

import pytest
from click.testing import CliRunner

from scalesearch.cli import main
from scalesearch.cli.examples import EXAMPLES, GROUPS
from scalesearch.cli.printing import _tables

NAMES = [name for names in GROUPS.values() for name in names]


def test_every_command_is_in_one_group_with_its_first_sentence():
    assert sorted(NAMES) == sorted(main.commands)
    text = CliRunner().invoke(main, ["--help"], terminal_width=100).output
    assert "..." not in text.partition("Studies:")[2]
    assert all(f"{title}:" in text for title in GROUPS)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_two_examples_that_it_takes(name):
    assert len(EXAMPLES[name]) == 2
    for example in EXAMPLES[name]:
        program, command, *arguments = shlex.split(example.partition(" > ")[0])
        assert (program, command) == ("scalesearch", name)
        main.commands[name].make_context(name, arguments)
    shown = CliRunner().invoke(main, [name, "--help"]).output
    assert all(example in shown for example in EXAMPLES[name])


def test_a_narrow_terminal_shows_what_decides_first_and_cuts_nothing():
    keys = ["name", "resolution", "acts", "macs", "params", "test_accuracy", "seconds"]

    def fits(most: int):
        return lambda columns: len(columns) <= most

    assert _tables(keys, fits(7)) == [keys]
    parts = _tables(keys, fits(4))
    assert parts == [["name", "macs", "params", "test_accuracy"], ["name", "resolution", "acts", "seconds"]]
    assert _tables(keys, fits(1)) is None
