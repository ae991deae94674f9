"""``textgen plugins show``: what a plugin is, its options, where it comes from."""

from __future__ import annotations

from typing import Any

import click

from textgen.commands.parameters import json_option, with_registry

kind_option = click.option("--kind", help="Of the plugin, such as cell, where a name is shared.")


@click.command()
@click.argument("name")
@kind_option
@json_option
@with_registry
def show(registry: Any, name: str, kind: str | None, as_json: bool) -> None:
    """Tell what the plugin NAME is: its options, where it comes from."""
    from textgen.screen import tables

    for word in kinds_of(registry, name, kind):
        entry, plugin = registry.find(word, name), registry.load(word, name)
        details = _details(entry, plugin)
        if as_json:
            tables.show_json({**details, "options": _options_json(plugin)})
            continue
        tables.show_details({**details, **_options(plugin)})


def kinds_of(registry: Any, name: str, kind: str | None) -> list[str]:
    """The kinds that have a plugin ``name``; the one ``kind``, if given. Raises UserError."""
    from textgen.contracts.errors import unknown_name
    from textgen.contracts.hooks import KINDS

    if kind is not None:
        if kind not in KINDS:
            raise unknown_name("kind of plugin", kind, KINDS)
        return [kind]
    entries = registry.entries()
    kinds = [e.kind for e in entries if name in (e.name, e.full_name)]
    if not kinds:
        raise unknown_name("plugin", name, {entry.name for entry in entries})
    return sorted(set(kinds))


def _details(entry: Any, plugin: Any) -> dict[str, str]:
    import inspect
    import sys
    from pathlib import Path

    is_class = inspect.isclass(plugin)
    file = inspect.getsourcefile(plugin) if is_class else str(plugin)
    if isinstance(plugin, click.Command):
        file = getattr(sys.modules[entry.module], "__file__", "")
    return {
        "name": entry.name,
        "kind": entry.kind,
        "from": f"{entry.distribution} {entry.version}".strip(),
        "file": str(Path(file)) if file else "",
        "contract": str(getattr(sys.modules[entry.module], "TEXTGEN_CONTRACT", "")),
        "about": _about(plugin),
    }


def _about(plugin: Any) -> str:
    import inspect

    if isinstance(plugin, click.Command):
        return plugin.get_short_help_str(200)
    if not inspect.isclass(plugin):
        return "a recipe"
    return " ".join((inspect.getdoc(plugin) or "").split())


def _options(plugin: Any) -> dict[str, str]:
    shown = {}
    for option in _options_json(plugin):
        limits = f" ({option['limits']})" if option["limits"] else ""
        text = f"{option['help']}{limits} [{option['default']}]"
        shown[f"option {option['name']}"] = text
    return shown


def _options_json(plugin: Any) -> list[dict[str, Any]]:
    from textgen.contracts.options import describe

    options = getattr(plugin, "Options", None)
    if options is None:
        return []
    return [
        {
            "name": info.name,
            "type": info.type.__name__,
            "default": info.default,
            "help": info.help,
            "limits": info.limits,
        }
        for info in describe(options)
    ]
