"""``textgen plugins new``: a plugin to begin with, as a whole distribution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from textgen.commands.parameters import json_option, with_registry


@click.command()
@click.argument("kind")
@click.argument("name")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where to: a new folder; textgen-NAME when left out.",
)
@json_option
@with_registry
@click.pass_context
def new(
    ctx: click.Context, registry: Any, kind: str, name: str, output: Path | None, as_json: bool
) -> None:
    """Begin a plugin: write one that works, to be changed.

    It is a distribution that installs, with tests that pass, in a folder of its own.

    KIND is cell, reader, tokenizer, sampler, optimizer, tracker or command; NAME is what a person
    will type.
    """
    from textgen.scaffold.new_plugin import new_plugin, write_plugin
    from textgen.screen import console, tables

    plugin = new_plugin(kind, name, registry.entries(), _commands(ctx, registry))
    folder = output or Path(plugin.distribution)
    files = write_plugin(plugin, folder)
    if as_json:
        facts = {"kind": kind, "name": name, "distribution": plugin.distribution}
        tables.show_json({**facts, "folder": str(folder), "files": files})
        return
    console.show_notice(f"{folder}: {', '.join(files)}")
    console.show_notice(f"Next:  pip install -e {folder}, then textgen plugins check {name}")


def _commands(ctx: click.Context, registry: Any) -> set[str]:
    """The names of the toolkit's own commands."""
    root = ctx.find_root()
    listed = root.command.list_commands(root) if isinstance(root.command, click.Group) else []
    # a plugin's has its full name there where ours has the plain one
    added = {e.name for e in registry.entries("command") if e.full_name not in listed}
    return set(listed) - added
