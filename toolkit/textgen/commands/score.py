"""``textgen score``: how well a model predicts texts."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click

from textgen.commands.parameters import (
    assignments,
    json_option,
    model_option,
    provider_option,
    with_registry,
)
from textgen.contracts.errors import UserError


@click.command()
@click.argument("files", nargs=-1, required=True)
@model_option
@click.option("--lines", is_flag=True, help="Score each line by itself.")
@click.option(
    "--windows",
    type=click.IntRange(min=1),
    metavar="N",
    help="Cut texts into cold windows of N symbols, as training does (256) for its first figure. "
    "Faster where texts are long.",
)
@click.option(
    "--stream",
    is_flag=True,
    help="One JSON object out for each line in, in order, as the lines come.",
)
@click.option(
    "--above",
    metavar="BITS|pN",
    help="With --stream: only lines above so many bits a symbol, or above a percentile of the "
    "held-out lines of the training (p50, p90, p99, p99.9). Exit status 1 where a file has any.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    help="Score this split of the one corpus given, which the model was trained on.",
)
@click.option(
    "--dynamic",
    type=click.FloatRange(min=0, min_open=True),
    metavar="RATE",
    help="With --split, also the loss of a network that learns on as it reads, such as 0.1 "
    "(arXiv 1709.07432). Needs PyTorch.",
)
@click.option("--reader", help="With --split, what reads the corpus. By its ending when left out.")
@click.option("--reader-option", multiple=True, metavar="NAME=VALUE", help="Of it. Repeatable.")
@provider_option
@click.option("--encoding", default="utf-8", show_default=True, help="Of the files.")
@json_option
@with_registry
def command(
    registry: Any,
    files: tuple[str, ...],
    model_name: str | None,
    lines: bool,
    windows: int | None,
    stream: bool,
    above: str | None,
    split: str | None,
    dynamic: float | None,
    reader: str | None,
    reader_option: tuple[str, ...],
    provider: str,
    encoding: str,
    as_json: bool,
) -> None:
    """Say how well a model predicts the text in FILES, in bits and nats a symbol; - is standard
    input.

    A symbol the model has never seen is left out and named.
    """
    from textgen import api, shelf
    from textgen.screen import console

    if windows is not None and (lines or stream):
        raise UserError("--windows is for whole texts, not for lines.", "Leave one of them out.")
    if above is not None and not stream:
        raise UserError("--above is for --stream.", "Add --stream, or leave it out.")
    if split is None and (dynamic is not None or reader or reader_option):
        raise UserError("--dynamic, --reader and --reader-option are for --split.", "Add --split.")
    if split is not None and (lines or stream or windows or len(files) > 1):
        raise UserError(
            "--split scores one corpus, as training does.",
            "Give the corpus alone, without --lines, --stream or --windows.",
        )
    path = shelf.find(model_name)
    if model_name is None:
        console.show_notice(f"Model: {path}")
    if split is not None:
        given = {"encoding": encoding} if encoding != "utf-8" else {}
        given |= assignments(reader_option, "--reader-option")
        found = api.score_split(
            files[0],
            path,
            split=split,
            dynamic=dynamic,
            provider=provider,
            registry=registry,
            reader=reader,
            reader_options=given,
        )
        _tell_split(files[0], split, found, as_json=as_json)
        return
    model = api.load(path, provider=provider, registry=registry)
    for notice in model.notices:
        console.show_notice(notice)
    if stream:
        threshold = None if above is None else _threshold(model.info, above)
        _stream(model, files, encoding, threshold)
        return
    documents = _documents(files, encoding, "lines" if lines else "text", registry)
    _whole(model, documents, windows, as_json=as_json, texts=lines)


def _tell_split(corpus: str, split: str, found: dict[str, Any], *, as_json: bool) -> None:
    """Tells losses by how the split was read."""
    from textgen.screen import tables

    if as_json:
        losses = {how: loss.record() for how, loss in found.items()}
        tables.show_json({"corpus": corpus, "split": split, **losses})
        return
    columns = (f"{split} of {corpus}", "symbols", "nats/symbol", "bits/symbol", "bits/character")
    rows = []
    for how, loss in found.items():
        figures = (loss.nats, loss.bits, loss.bits_per_character)
        rows.append([how, f"{loss.symbols:,}", *(f"{figure:.4f}" for figure in figures)])
    tables.show_table(columns, rows, empty="There is nothing to score.")


def _whole(
    model: Any, documents: Iterator[Any], windows: int | None, *, as_json: bool, texts: bool
) -> None:
    """Scores documents; with ``texts`` the JSON objects hold what was scored."""
    from textgen.runtime.document_scoring import score_documents
    from textgen.screen import console, tables

    rows = []
    for found in score_documents(model, documents, windows=windows):
        name, score = found.name, found.total
        if as_json:
            text = {"text": found.text} if texts else {}
            tables.show_json({"name": name, **score.to_json(), **text})
            continue
        if score.unknown:
            unseen = ", ".join(map(repr, score.unknown[:8]))
            console.show_warning(f"{name}: the model has never seen {unseen}; left out.")
        mean = (score.nats_per_symbol, score.bits_per_symbol, score.bits_per_character)
        figures = (*mean, score.bits)
        shown = [f"{figure:.4f}" if score.symbols else "-" for figure in figures]
        rows.append([name, f"{score.symbols:,}", *shown])
    if not as_json:
        means = ("nats/symbol", "bits/symbol", "bits/character")
        columns = ("text", "symbols", *means, "bits in all")
        tables.show_table(columns, rows, empty="There is nothing to score.")
        console.show_notice(f"Scored on {model.provider}.")


def _stream(model: Any, files: tuple[str, ...], encoding: str, threshold: float | None) -> None:
    """Writes what each line costs as it comes; exits with 1 where a file has lines above."""
    _check_encoding(encoding)
    found = 0
    for file in files:
        # a stream of its own: were sys.stdin waited for by a thread, the end would be an abort
        source = os.fdopen(os.dup(0), "rb") if file == "-" else _opened(file)
        above = _stream_lines(model, _batches(source, encoding, file), threshold)
        found += above if file != "-" else 0
    if found and threshold is not None:
        raise SystemExit(1)


def _batches(source: BinaryIO, encoding: str, file: str) -> Iterator[Any]:
    from textgen.runtime.line_stream import line_batches

    try:
        yield from line_batches(source, encoding)
    except OSError as error:
        raise _unreadable(file, error) from None


def _stream_lines(model: Any, batches: Iterator[Any], threshold: float | None) -> int:
    """How many lines were above the threshold."""
    from textgen.runtime.line_scoring import score_lines
    from textgen.screen import console, tables

    shown = 0
    for batch in batches:
        for line, score in zip(batch, score_lines(model, [b.text for b in batch]), strict=True):
            if threshold is not None and not score.bits_per_symbol > threshold:
                continue
            shown += 1
            marks = {"cut": True} if line.cut else {}
            tables.show_json({"line": line.number, **score.to_json(), **marks, "text": line.text})
        console.stdout().flush()
    return shown


def _threshold(info: Any, above: str) -> float:
    """Bits a symbol: the number, or the percentile that the model file holds."""
    known = info.percentiles
    if above in known:
        return float(known[above])
    with contextlib.suppress(ValueError):
        if (number := float(above)) >= 0:
            return number
    if above.startswith("p") and not known:
        raise UserError(
            "The model holds no percentiles; it was not trained on lines.",
            "Give a number of bits a symbol: --above 4.",
        )
    names = ", ".join(known) or "none"
    raise UserError(f"--above cannot be {above!r}.", f"Give bits a symbol, or one of: {names}.")


def _opened(file: str) -> BinaryIO:
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise _unreadable(file, error) from None


def _unreadable(file: str, error: OSError) -> UserError:
    return UserError(
        f"{file} could not be read: {error.strerror}.", "Name a file, or - for standard input."
    )


def _check_encoding(encoding: str) -> None:
    """Raises UserError for one that is none, or in which a line does not end with one byte."""
    try:
        plain = "\n".encode(encoding) == b"\n" and b"a".decode(encoding, "replace") == "a"
    except (LookupError, ValueError):
        raise UserError(f"There is no encoding {encoding!r}.", "Try utf-8 or latin-1.") from None
    if not plain:
        raise UserError(
            f"Lines in {encoding} cannot be told apart as they come.", "Convert them to utf-8."
        )


def _documents(
    files: tuple[str, ...], encoding: str, reader_name: str, registry: Any
) -> Iterator[Any]:
    """The documents of the files, read as a corpus would be."""
    from textgen.contracts.options import build_options
    from textgen.corpus.documents import documents_of

    reader_class = registry.load("reader", reader_name)
    for file in files:
        options = build_options(reader_class.Options, {"encoding": encoding}, "reader")
        reader = reader_class(file, options)  # kept: it owns what standard input is spooled to
        yield from documents_of(reader)
