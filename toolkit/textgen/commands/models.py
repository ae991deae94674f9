"""``textgen models``: the models in exported/."""

from __future__ import annotations

from pathlib import Path

import click

from textgen.commands.parameters import believed, debug_option, json_option, word


@click.group(invoke_without_command=True)
@json_option
@debug_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the models in exported/, newest first; textgen show tells more of one."""
    if ctx.invoked_subcommand is None:
        _list(as_json)


@command.command()
@click.argument("model")
@debug_option
def rm(model: str) -> None:
    """Remove MODEL from exported/."""
    from textgen import shelf
    from textgen.contracts.errors import UserError
    from textgen.screen import console

    path = shelf.find(model)
    if path.parent != shelf.EXPORTED:
        raise UserError(f"{path} is not in {shelf.EXPORTED}/.", "Remove it as any other file.")
    path.unlink()
    console.show_notice(f"Removed {path}")


@command.command()
@click.argument("model", required=False)
@json_option
@debug_option
@click.pass_context
def show(ctx: click.Context, model: str | None, as_json: bool) -> None:
    """Tell everything MODEL says of itself."""
    from textgen.commands.show import command as show_command

    ctx.invoke(show_command, model=model, as_json=as_json)


def _list(as_json: bool) -> None:
    from textgen import model_file, shelf
    from textgen.contracts.errors import UserError
    from textgen.screen import console, figures, tables

    rows = []
    for path in shelf.models():
        try:
            with believed(path):
                info = model_file.read(path).info
                nats = info.losses.get("cold", {}).get("nats")
                loss = "" if nats is None else f"{nats:.4f}"
                corpus_name = word(info.corpus["name"])
        except UserError as error:
            console.show_warning(error.problem)
            continue
        if as_json:
            facts = {"cell": info.cell, "layers": info.layers, "hidden_size": info.hidden_size}
            corpus = {"corpus": corpus_name, "losses": info.losses}
            tables.show_json({"model": path.name, "bytes": _bytes(path), **facts, **corpus})
            continue
        shape = f"{info.cell} {info.layers} x {info.hidden_size}"
        rows.append([path.name, shape, corpus_name, loss, figures.size(_bytes(path))])
    if not as_json:
        tables.show_table(
            ("model", "cell", "corpus", "nats", "size"),
            rows,
            empty="No models yet. Train one: textgen train --cell lstm",
        )


def _bytes(path: Path) -> int:
    return path.stat().st_size
