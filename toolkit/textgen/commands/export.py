"""``textgen export``: make a model.onnx from a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from textgen.commands.parameters import json_option, with_registry
from textgen.contracts.errors import UserError


@click.command()
@click.argument("run", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Where to; exported/<run>.onnx, <run>-int8.onnx or <run>-int4.onnx, when left out.",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    metavar="FILE.safetensors",
    help="Instead of a RUN: the state dict of a torch nn.LSTM, nn.GRU or nn.RNN.",
)
@click.option("--cell", default="lstm", show_default=True, help="The cell of those weights.")
@click.option(
    "--vocabulary",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Their characters in order, as a text, or as a .json list.",
)
@click.option("--int8", is_flag=True, help="Weights in int8: a quarter of the size, and faster.")
@click.option("--int4", is_flag=True, help="Weights in 4 bits: a sixth of the size, as fast.")
@json_option
@with_registry
def command(
    registry: Any,
    run: str | None,
    output: Path | None,
    weights: Path | None,
    cell: str,
    vocabulary: Path | None,
    int8: bool,
    int4: bool,
    as_json: bool,
) -> None:
    """Make a model file from RUN's best weights so far, also while it is training.

    RUN is a name that textgen runs lists, or a run's folder. With --weights it is made from weights
    trained elsewhere.
    """
    from textgen import api, model_file
    from textgen.screen import console, figures, tables

    if (run is None) == (weights is None):
        raise UserError("A model file is made from a RUN or from --weights.", "Give one of them.")
    if run is not None:
        path = api.export_run(run, output=output, int8=int8, int4=int4, registry=registry)
    elif vocabulary is None or int8 or int4:
        raise UserError(
            "--weights needs --vocabulary, and goes without --int8 and --int4.",
            "Write for example --weights w.safetensors --cell lstm --vocabulary chars.txt.",
        )
    else:
        path = api.export_weights(
            weights or Path(), vocabulary, cell=cell, output=output, registry=registry
        )
    info = model_file.read(path).info
    if as_json:
        tables.show_json({"run": run or "", "model": str(path), "losses": info.losses})
        return
    console.show_notice(f"{path}, {figures.size(path.stat().st_size)}")
    if "float32" in info.losses:
        plain, whole = (info.losses[kind]["nats"] for kind in ("float32", info.weights))
        console.show_notice(
            f"{info.weights} costs {whole - plain:+z.5f} nats a symbol ({whole / plain - 1:+z.2%}) "
            f"over {figures.count(info.losses['float32']['symbols'])} held-out symbols."
        )
    console.show_notice(f"Next:  textgen generate --onnx {path.name}")
