"""``textgen plugins``: what is installed, from metadata alone; what each is, keeps and lacks; and a
new one to begin with."""

from __future__ import annotations

from typing import Any

import click

from textgen.commands.parameters import json_option, with_registry
from textgen.commands.plugins_check import check
from textgen.commands.plugins_doctor import doctor
from textgen.commands.plugins_new import new
from textgen.commands.plugins_show import show


@click.group(invoke_without_command=True)
@json_option
@with_registry
@click.pass_context
def command(ctx: click.Context, registry: Any, as_json: bool) -> None:
    """List plugins, importing none of them."""
    ctx.obj = registry
    if ctx.invoked_subcommand is None:
        _list(registry, as_json)


for added in (show, check, new, doctor):
    command.add_command(added)


def _list(registry: Any, as_json: bool) -> None:
    from textgen.screen import tables

    rows = []
    for entry in registry.entries():
        off = "off" if registry.disabled(entry) else ""
        clash = "write dist:name" if registry.clash(entry) else ""
        if as_json:
            facts = {"distribution": entry.distribution, "version": entry.version}
            state = {"module": entry.module, "bundled": entry.bundled, "state": off or clash}
            tables.show_json({"kind": entry.kind, "name": entry.name, **facts, **state})
            continue
        version = f"{entry.distribution} {entry.version}".strip()
        rows.append([entry.name, entry.kind, version, off or clash])
    if not as_json:
        tables.show_table(("plugin", "kind", "from", ""), rows, empty="No plugins are installed.")
