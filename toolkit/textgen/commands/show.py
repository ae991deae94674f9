"""``textgen show``: everything a model file says of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from textgen.commands.parameters import believed, debug_option, json_option
from textgen.contracts.errors import TextgenError


@click.command()
@click.argument("model", required=False)
@json_option
@debug_option
def command(model: str | None, as_json: bool) -> None:
    """Tell everything MODEL says of itself; the newest when left out."""
    from textgen import model_file, shelf
    from textgen.screen import tables

    path = shelf.find(model)
    file = model_file.read(path)
    if as_json:
        content = json.loads(file.info.to_json())
        if content["known"]:
            del content["known"]["bits"]  # a filter, which tells a reader nothing
        facts = {"file": path.name, "digest": file.digest, "runs": _way(path)}
        tables.show_json({**facts, **content})
        return
    with believed(path):
        details = _details(file, path.name, len(file.data))
    tables.show_details({**details, "runs as": _way(path)})


def _way(path: Path) -> str:
    """What runs it here."""
    from textgen import api

    try:
        model = api.load(path)
        return model.way(model.chain(0.8))
    except TextgenError as error:
        return f"cannot run here: {error.problem}"


def _details(file: Any, name: str, size: int) -> dict[str, str]:
    from textgen.screen import figures

    info = file.info
    layers = f"{info.layers} x {info.hidden_size}"
    options = ", ".join(f"{key}={value}" for key, value in info.cell_options.items())
    states = ", ".join(f"{s.name} {'x'.join(map(str, s.shape))}" for s in info.states)
    training = info.training
    details = {
        "file": f"{name}, {figures.size(size)}, {info.weights} weights, digest intact",
        "cell": f"{info.cell} ({info.cell_distribution}), {layers}"
        + (f", {options}" * bool(options)),
        "input": f"embedding of {info.embedding_size}" if info.embedding_size else "1-of-k",
        "parameters": figures.count(training.get("parameters", 0)),
        "states": states,
        "vocabulary": f"{info.vocabulary.size} symbols ({info.tokenizer}): {_symbols(info)}",
        "corpus": f"{info.corpus['name']}, licence {info.corpus['licence'] or 'unknown'}",
        "text": f"SHA-256 {info.corpus['sha256']}",
        "documents": info.documents,
        "split": ", ".join(f"{key} {value}" for key, value in info.split.items()),
    }
    if info.replacements:
        rules = (f"{pattern} by {text or 'nothing'}" for pattern, text in info.replacements)
        details["replaced"] = "; ".join(rules)
    for protocol, loss in info.losses.items():
        figure = f"{loss['nats']:.4f} nats, {loss['bits']:.4f} bits a symbol"
        name = figures.LOSSES.get(protocol, protocol)
        details[f"loss, {name}"] = f"{figure}, over {figures.count(loss['symbols'])}"
    if info.percentiles:
        bits = ", ".join(f"{name} {value:.2f}" for name, value in info.percentiles.items())
        details["held-out texts"] = f"{bits} bits a symbol"
    if info.template:
        details["template"] = info.template
        details |= {f"field {name}": ", ".join(values) for name, values in info.fields.items()}
    if info.known:
        details["texts known"] = f"{figures.count(info.known['texts'])}, for generate --new"
    if training.get("begun_from"):
        details["begun from"] = training["begun_from"]
    if "steps" in training:
        pace = figures.duration(training["seconds"])
        details["training"] = (
            f"{figures.steps(training['steps'])}, {figures.count(training['symbols'])} "
            f"symbols in {pace}, {training['precision']} on {training['device']}; the weights are "
            f"of step {figures.count(training['weights_of_step'])}, {_chosen(training)}"
        )
    details["written by"] = f"textgen {info.toolkit}, format {info.format}"
    details["digest"] = file.digest
    return details


def _chosen(training: Mapping[str, Any]) -> str:
    """Which of the weights are in the file; older files are silent on what chose them."""
    chosen_by = training.get("chosen_by", "validation")
    return {
        "": "the last",
        "held back": "the best on text held back from training",
    }.get(chosen_by, "the best on the validation text")


def _symbols(info: Any) -> str:
    words = [symbol.decode("utf-8", "replace") for symbol in info.vocabulary.symbols[:80]]
    more = " ..." if info.vocabulary.size > 80 else ""
    between = "" if all(len(word) <= 1 for word in words) else " "
    return between.join(words) + more
