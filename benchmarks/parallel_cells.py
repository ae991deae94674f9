"""Learning with the cells of textgen-parallel, beside the LSTM and the GRU, at equal parameters.

    pip install plugins/extra/textgen-parallel
    python benchmarks/parallel_cells.py [--quick] [--cells lstm gru mingru minlstm qrnn]
                                        [--width 256] [--layers 2] [--lengths 64 256 1024]
                                        [--batch-size 32] [--device cpu] [--text FILE]
                                        [--json FILE]

Symbols a second of whole optimizer steps, in the precision that a training would choose. The other
networks have as many parameters as that of the first cell, as nearly as a width can tell. All take
turns in each round, and medians are shown.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Contestant, processor, take_turns
from rich import box
from rich.console import Console
from rich.table import Table

import textgen
from textgen.corpus.packed import PackedCorpus
from textgen.training.device import synchronize
from textgen.training.learner import Learner
from textgen.training.plan import Plan
from textgen.training.settings import Settings
from training import Case

CELLS = ("lstm", "gru", "mingru", "minlstm", "qrnn")
LENGTHS = (64, 256, 1024)


def parameters(case: Case) -> dict[str, int]:
    """How many the network has: in its cells, and beside them."""
    network = case.network()
    whole = sum(parameter.numel() for parameter in network.parameters())
    cells = sum(parameter.numel() for parameter in network.cells.parameters())
    return {"all": whole, "cells": cells, "embedding and head": whole - cells}


def of_width(case: Case, width: int) -> Case:
    return replace(case, settings=replace(case.settings, hidden_size=width))


def of_size(case: Case, wanted: int) -> Case:
    """The case of the width with which it has nearest to so many parameters; their number is a
    quadratic function of the width."""
    widths = (8, 16, 24)
    counts = [parameters(of_width(case, width))["all"] for width in widths]
    square, linear, constant = np.polyfit(widths, counts, 2)
    root = (linear**2 + 4 * square * (wanted - constant)) ** 0.5
    return of_width(case, round((root - linear) / (2 * square)))


def learning(learner: Learner, plan: Plan) -> Callable[[int], None]:
    def run(turns: int) -> None:
        for _ in range(turns):
            learner.step(1e-3, plan.precision)
        synchronize(learner.device)

    return run


def speeds(cases: list[Case], repeats: int, seconds: float) -> list[dict[str, Any]]:
    """Symbols a second of each, and the precision that was the faster."""
    learners = [case.learner() for case in cases]
    runs = [Contestant(learning(*learner), 10_000) for learner in learners]
    symbols = cases[0].settings.batch_size * cases[0].settings.sequence_length
    found = take_turns(runs, repeats, seconds)
    return [
        {"cell": case.cell, "length": case.settings.sequence_length, "precision": plan.precision,
         "symbols a second": speed.median * symbols, "rounds": speed.times(symbols).repeats}
        for case, (_, plan), speed in zip(cases, learners, found, strict=True)
    ]  # fmt: skip


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--cells", nargs="+", default=CELLS)
    parser.add_argument("--width", type=int, default=256, help="Of the first cell.")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--lengths", nargs="+", type=int, default=LENGTHS)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--text", default="shakespeare", help="A corpus.")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def equal(arguments: argparse.Namespace, corpus: PackedCorpus) -> list[Case]:
    """The cells' cases, of equal size."""
    settings = Settings(
        device=arguments.device,
        layers=arguments.layers,
        hidden_size=arguments.width,
        batch_size=arguments.batch_size,
    )
    first, *others = (Case(cell, "", corpus, settings) for cell in arguments.cells)
    wanted = parameters(first)["all"]
    return [first, *(of_size(case, wanted) for case in others)]


def main() -> None:
    arguments = read_arguments()
    corpus = textgen.open_corpus(arguments.text, split="tail", split_sizes=(90, 10, 0))
    cases = equal(arguments, corpus)
    sizes = Table("cell", "layers x width", "parameters", "of them cells", box=box.SIMPLE)
    found: list[dict[str, Any]] = []
    for case in cases:
        size = f"{case.settings.layers} x {case.settings.hidden_size}"
        count = parameters(case)
        found.append({"cell": case.cell, "size": size, "parameters": count})
        sizes.add_row(case.cell, size, f"{count['all']:,}", f"{count['cells']:,}")
    console = Console(width=140)
    console.print(sizes)
    table = Table("symbols a step", *(case.cell for case in cases), box=box.SIMPLE)
    for length in arguments.lengths:
        timed = [replace(c, settings=replace(c.settings, sequence_length=length)) for c in cases]
        measured = speeds(timed, *((3, 0.5) if arguments.quick else (5, 2.0)))
        found += measured
        base = measured[0]["symbols a second"]
        shown = (
            f"{one['symbols a second']:,.0f} ({one['symbols a second'] / base:.2f}, "
            f"{one['precision'].replace('loat', '')})"
            for one in measured
        )
        table.add_row(f"{length} x {arguments.batch_size}", *shown)
    console.print(
        f"Symbols a second in training on {arguments.device} (times the first cell; precision), "
        f"{processor()}",
        table,
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
