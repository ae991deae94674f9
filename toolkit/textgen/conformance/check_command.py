"""The rules every command keeps, as a function to call from a plugin's own tests.

from textgen.conformance.check_command import check_command

def test_conforms():
    check_command(my_command)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click
from click.testing import CliRunner

from textgen.conformance.rules import Finding, Findings, enforce, in_turn
from textgen.contracts.options import NoOptions, build_options


def check_command(command: click.Command) -> None:
    """Asks it for its help. Raises BrokenRuleError for the first broken rule."""
    enforce(examine_command(command))


def examine_command(command: click.Command, options: Mapping[str, Any] | None = None) -> Findings:
    """The same, rule by rule. Raises UserError for ``options``, which a command does not have."""
    build_options(NoOptions, options or {}, f"command {command.name}")
    return in_turn(_parts(command))


def _parts(command: click.Command) -> Iterator[Findings]:
    yield _help(command)


def _help(command: click.Command) -> Findings:
    yield Finding(
        isinstance(command, click.Command),
        "it is a click.Command",
        type(command).__name__,
        "the function itself was given, without @click.command()",
    )
    yield Finding(
        bool(command.help),
        "it says what it does",
        command.get_short_help_str(60),
        "the function has no docstring",
    )
    asked = CliRunner().invoke(command, ["--help"])
    yield Finding(
        asked.exit_code == 0 and "Usage:" in asked.output,
        "--help lists what it takes",
        f"{len(command.params)} options and arguments, exit status {asked.exit_code}",
        "work is done before the arguments are read",
    )
    undescribed = [
        parameter.opts[0]
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    yield Finding(
        not undescribed,
        "every option says what it is for",
        f"without help: {', '.join(undescribed)}" if undescribed else f"{len(command.params)}",
        "click.option(..., help=...) was left out",
    )
