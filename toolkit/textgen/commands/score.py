"""``textgen score``: how well a model predicts texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from textgen.commands.parameters import json_option, model_option, with_registry


@click.command()
@click.argument("files", nargs=-1, required=True)
@model_option
@click.option("--lines", is_flag=True, help="Score each line by itself.")
@click.option("--encoding", default="utf-8", show_default=True, help="Of the files.")
@json_option
@with_registry
def command(
    registry: Any,
    files: tuple[str, ...],
    model_name: str | None,
    lines: bool,
    encoding: str,
    as_json: bool,
) -> None:
    """Say how well a model predicts the text in FILES, in bits and nats a symbol; - is standard
    input.

    A symbol the model has never seen is left out and named.
    """
    from textgen import api, shelf
    from textgen.screen import console, tables

    path = shelf.find(model_name)
    model = api.load(path, registry=registry)
    if model_name is None:
        console.show_notice(f"Model: {path}")
    rows = []
    for name, texts in _texts(files, encoding, lines, registry):
        for number, (text, score) in enumerate(zip(texts, model.score_all(texts), strict=True), 1):
            where = f"{name}:{number}" if lines else name
            if as_json:
                tables.show_json(
                    {
                        "name": where,
                        "symbols": score.symbols,
                        "nats": score.nats,
                        "bits": score.bits,
                        "nats_per_symbol": score.nats_per_symbol,
                        "bits_per_symbol": score.bits_per_symbol,
                        "unknown": list(score.unknown),
                        **({"text": text} if lines else {}),
                    }
                )
                continue
            if score.unknown:
                shown = ", ".join(map(repr, score.unknown[:8]))
                console.show_warning(f"{where}: the model has never seen {shown}; left out.")
            figures = (score.nats_per_symbol, score.bits_per_symbol, score.bits)
            rows.append([where, f"{score.symbols:,}", *(f"{figure:.4f}" for figure in figures)])
    if not as_json:
        columns = ("text", "symbols", "nats/symbol", "bits/symbol", "bits in all")
        tables.show_table(columns, rows, empty="There is nothing to score.")


def _texts(
    files: tuple[str, ...], encoding: str, lines: bool, registry: Any
) -> Iterator[tuple[str, list[str]]]:
    """Each file's name and its texts, read as a corpus would be."""
    from textgen.contracts.options import build_options

    reader_class = registry.load("reader", "lines" if lines else "text")
    for file in files:
        options = build_options(reader_class.Options, {"encoding": encoding}, "reader")
        reader = reader_class(file, options)  # kept: it owns what standard input is spooled to
        documents = list(reader.documents())
        if lines:
            yield file, ["".join(document.pieces) for document in documents]
        else:
            for document in documents:
                yield document.name, ["".join(document.pieces)]
