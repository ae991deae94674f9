"""``textgen plugins``: cells, readers, tokenizers, samplers and corpora, from metadata alone."""

from __future__ import annotations

from typing import Any

import click

from textgen.commands.parameters import debug_option, json_option, with_registry


@click.group(invoke_without_command=True)
@json_option
@with_registry
@click.pass_context
def command(ctx: click.Context, registry: Any, as_json: bool) -> None:
    """List plugins, importing none of them."""
    ctx.obj = registry
    if ctx.invoked_subcommand is None:
        _list(registry, as_json)


@command.command()
@click.argument("name")
@click.option("--kind", help="cell, reader, tokenizer, sampler or corpus, where a name is shared.")
@json_option
@debug_option
@click.pass_obj
def show(registry: Any, name: str, kind: str | None, as_json: bool) -> None:
    """Tell what the plugin NAME is: its options, where it comes from."""
    from textgen.screen import tables

    for word in _kinds_of(registry, name, kind):
        entry, plugin = registry.find(word, name), registry.load(word, name)
        details = _details(entry, plugin)
        if as_json:
            tables.show_json({**details, "options": _options_json(plugin)})
            continue
        tables.show_details({**details, **_options(plugin)})


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


def _kinds_of(registry: Any, name: str, kind: str | None) -> list[str]:
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
    from pathlib import Path

    from textgen.contracts.hooks import CONTRACT

    is_class = inspect.isclass(plugin)
    file = inspect.getsourcefile(plugin) if is_class else str(plugin)
    return {
        "name": entry.name,
        "kind": entry.kind,
        "from": f"{entry.distribution} {entry.version}".strip(),
        "file": str(Path(file)) if file else "",
        "contract": str(CONTRACT),
        "about": " ".join((inspect.getdoc(plugin) or "").split()) if is_class else "a recipe",
    }


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
