"""``textgen corpora``: what can be trained on by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from textgen.commands.parameters import debug_option, json_option, with_registry


@click.group(invoke_without_command=True)
@json_option
@with_registry
@click.pass_context
def command(ctx: click.Context, registry: Any, as_json: bool) -> None:
    """List the corpora that can be trained on by name. Any file or folder is a corpus too."""
    ctx.obj = registry
    if ctx.invoked_subcommand is None:
        _list(registry, as_json)


@command.command()
@click.argument("corpus")
@json_option
@debug_option
@click.pass_obj
def show(registry: Any, corpus: str, as_json: bool) -> None:
    """Tell where CORPUS comes from."""
    from textgen.screen import figures, tables

    recipe = _recipe(corpus, registry)
    source = recipe.source
    details = {
        "corpus": recipe.name,
        "description": recipe.description,
        "licence": recipe.licence,
        "size": figures.size(recipe.size),
        "source": f"{source.kind} {source.where}",
        "sha256": recipe.sha256 or _unpromised(source),
        "reader": recipe.reader,
        "state": _state(recipe),
    }
    if as_json:
        tables.show_json(details)
    else:
        tables.show_details(details)


@command.command()
@click.argument("corpus", required=False)
@click.option("--packed", "packed_only", is_flag=True, help="Keep what was fetched.")
@debug_option
@click.pass_obj
def rm(registry: Any, corpus: str | None, packed_only: bool) -> None:
    """Remove from the cache what was fetched of CORPUS, and its packed form.

    CORPUS may also be the file or folder that was packed. With --packed and no CORPUS, the packed
    forms of all corpora are removed.
    """
    from textgen.contracts.errors import UserError, unknown_name
    from textgen.corpus.fetching import remove_built
    from textgen.corpus.packed_cache import list_packed, remove_packed
    from textgen.screen import console, figures
    from textgen.sources import find_recipe
    from textgen.storage import cache_folder

    if corpus is None and not packed_only:
        raise UserError("Which corpus is to be removed?", "Name one, or write --packed for all.")
    cache, name, removed = cache_folder(), None, []
    if corpus is not None:
        name, packed = Path(corpus).name, {entry.name for entry in list_packed(cache)}
        if corpus in registry.names("corpus") or name not in packed:
            recipe = find_recipe(corpus, registry)
            if recipe is None:
                raise unknown_name("corpus", corpus, [*registry.names("corpus"), *packed])
            name = recipe.name
            if not packed_only and remove_built(recipe, cache):
                removed.append("what was fetched")
    if entries := remove_packed(cache, name):
        removed.append(f"{figures.size(sum(entry.bytes for entry in entries))} packed")
    of = f" of {corpus}" if corpus else ""
    console.show_notice(
        f"Removed {' and '.join(removed)}{of}." if removed else f"Nothing{of} was in the cache."
    )


def _list(registry: Any, as_json: bool) -> None:
    from textgen.contracts.errors import UserError
    from textgen.corpus.packed_cache import list_packed
    from textgen.corpus.recipe import load_recipe
    from textgen.screen import console, figures, tables
    from textgen.storage import cache_folder

    packed = list_packed(cache_folder())
    rows = []
    for name, place in registry.load_all("corpus").items():
        try:
            recipe = load_recipe(place)
        except UserError as error:
            console.show_warning(f"The recipe {name} is left out: {error.problem}")
            continue
        if as_json:
            facts = {
                "licence": recipe.licence,
                "bytes": recipe.size,
                "state": _state(recipe),
                "packed_bytes": sum(entry.bytes for entry in packed if entry.name == name),
            }
            tables.show_json({"corpus": name, "description": recipe.description, **facts})
            continue
        size = figures.size(recipe.size)
        rows.append([name, recipe.description, size, recipe.licence, _state(recipe)])
    if not as_json:
        columns = ("corpus", "what it is", "size", "licence", "state")
        tables.show_table(columns, rows, empty="No recipes are installed.")
        if packed:
            names = ", ".join(dict.fromkeys(entry.name or "an unknown one" for entry in packed))
            console.show_notice(
                f"Packed in the cache: {names}; {figures.size(sum(e.bytes for e in packed))}. "
                "textgen corpora rm NAME removes one, rm --packed all."
            )


def _recipe(corpus: str, registry: Any) -> Any:
    from textgen.contracts.errors import unknown_name
    from textgen.sources import find_recipe

    recipe = find_recipe(corpus, registry)
    if recipe is None:
        raise unknown_name("corpus", corpus, registry.names("corpus"))
    return recipe


def _unpromised(source: Any) -> str:
    if source.kind == "url":
        return "none promised; that of the first download is kept, and others are refused"
    return "none: a text of this machine"


def _state(recipe: Any) -> str:
    from textgen.corpus.fetching import find_built
    from textgen.storage import cache_folder

    if find_built(recipe, cache_folder()) is not None:
        return "cached"
    return (
        "no network needed" if recipe.source.kind in ("standard_library", "path") else "on demand"
    )
