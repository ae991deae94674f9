"""Scoring lines as they come: characters a second of whole processes, ours beside PyTorch's.

    python benchmarks/scoring.py [--quick] [--sizes 1x128 2x256] [--lines 10000] [--repeats 3]

``textgen score --stream -`` and ``torch_scorer.py``, what a user would write instead, read the same
lines of 100 characters over a pipe and write one JSON line for each. Stacked LSTMs with untrained
weights of a sane scale, 65 characters and the boundary. All take turns in each round; medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torch_scorer
from measuring import processor
from rich import box
from rich.console import Console
from rich.table import Table
from safetensors.torch import save_file

from textgen import model_file
from textgen.conformance.check_export import exported_model
from textgen.export.int8_file import in_int8
from textgen.registry import discover
from textgen.training.network import Network

SIZES = ("1x128", "1x256", "1x512", "2x256")
CHARACTERS = 100
"""Of a line; its end is one more."""
VOCABULARY, EMBEDDING, SEED = 66, 64, 1
WANTED = 125_000
"""Characters a second that a watched log may bring."""
THREADS = (1, 2)
"""What torch is tried with; the faster counts. Ours finds its own."""
TOLERANCE = 0.01
"""Bits by which a line's score may differ between two in float32."""

OURS, INT8, TORCH = "ours fp32", "ours int8", "torch"


@dataclass
class Contestant:
    """A process that scores lines, and how long it took."""

    name: str
    command: list[str]
    whole: list[float] = field(default_factory=list)
    """Seconds with all lines, by round."""
    one: list[float] = field(default_factory=list)
    """The same with a single one: what starting takes."""

    @property
    def start(self) -> float:
        return statistics.median(self.one)

    def speed(self, lines: int) -> float:
        """Characters a second, starting included."""
        return lines * (CHARACTERS + 1) / statistics.median(self.whole)

    def speed_once_begun(self, lines: int) -> float:
        seconds = statistics.median(self.whole) - self.start
        return (lines - 1) * (CHARACTERS + 1) / max(seconds, 1e-9)


def contestants(size: str, folder: Path) -> list[Contestant]:
    """All that score with one network, whose files are written to ``folder``."""
    layers, hidden = map(int, size.split("x"))
    file, network = exported_model(
        discover().load("cell", "lstm"),
        hidden_size=hidden,
        layers=layers,
        vocabulary_size=VOCABULARY,
        embedding_size=EMBEDDING,
        seed=SEED,
        documents="lines",
    )
    found = []
    for name, wanted in ((OURS, file), (INT8, in_int8(file, network))):
        path = folder / f"{size}-{name[-4:]}.onnx"
        model_file.write(path, wanted.data)
        words = ["score", "--onnx", str(path), "--provider", "cpu", "--stream", "-"]
        found.append(Contestant(name, [sys.executable, "-m", "textgen", *words]))
    weights = folder / f"{size}.safetensors"
    save_file(plain(network).state_dict(), weights)
    for threads in THREADS:
        words = [torch_scorer.__file__, str(weights), str(threads)]
        found.append(Contestant(TORCH, [sys.executable, *words]))
    return found


def plain(network: Network) -> torch_scorer.Scorer:
    """The network in torch's own modules."""
    stack = network.stack()
    scorer = torch_scorer.Scorer(
        VOCABULARY, EMBEDDING, stack[0].layer.hidden_size, layers=len(stack)
    )
    scorer.embedding.load_state_dict(network.embedding.state_dict())
    scorer.head.load_state_dict(network.head.state_dict())
    scorer.layers.load_state_dict(
        {
            f"{name}_l{index}": weight
            for index, cell in enumerate(stack)
            for name, weight in cell.state_dict().items()
        }
    )
    return scorer


def made_lines(count: int) -> bytes:
    """Random letters, which all models here know."""
    letters = np.random.default_rng(SEED).integers(ord("a"), ord("z") + 1, (count, CHARACTERS))
    ends = np.full((count, 1), ord("\n"))
    return np.hstack([letters, ends]).astype(np.uint8).tobytes()


def measure(found: Sequence[Contestant], lines: bytes, repeats: int) -> None:
    """Each has a run in each round. Exits where a line's score is another with torch's modules."""
    first = lines[: CHARACTERS + 1]
    bits: dict[str, list[float]] = {}
    for repeat in range(repeats):
        # there and back, so that none always comes after the same other
        for contestant in found if repeat % 2 == 0 else reversed(found):
            contestant.one.append(run(contestant, first)[0])
            seconds, output = run(contestant, lines)
            contestant.whole.append(seconds)
            bits[contestant.name] = [json.loads(line)["bits"] for line in output.splitlines()]
    difference = np.abs(np.array(bits[OURS]) - np.array(bits[TORCH])).max()
    if not difference < TOLERANCE:
        raise SystemExit(f"A line's score differs by {difference} bits from that with torch.")


def run(contestant: Contestant, lines: bytes) -> tuple[float, bytes]:
    """Seconds, and what it wrote."""
    began = time.perf_counter()
    done = subprocess.run(contestant.command, input=lines, stdout=subprocess.PIPE, check=True)
    return time.perf_counter() - began, done.stdout


def row_of(size: str, found: Sequence[Contestant], lines: int) -> list[str]:
    """One line of the table; of those of one name the faster counts."""
    best = {
        name: max((c for c in found if c.name == name), key=lambda c: c.speed(lines))
        for name in (OURS, INT8, TORCH)
    }
    whole = {name: contestant.speed(lines) for name, contestant in best.items()}
    begun = {name: contestant.speed_once_begun(lines) for name, contestant in best.items()}
    return [
        size,
        *(f"{speed:,.0f}" for speed in whole.values()),
        f"{whole[OURS] / whole[TORCH]:.1f}, {whole[INT8] / whole[TORCH]:.1f}",
        *(f"{contestant.start:.2f}" for contestant in (best[OURS], best[TORCH])),
        *(f"{speed:,.0f}" for speed in begun.values()),
        f"{begun[OURS] / begun[TORCH]:.1f}, {begun[INT8] / begun[TORCH]:.1f}",
        ", ".join(n.removeprefix("ours ") for n in (OURS, INT8) if whole[n] >= WANTED) or "no",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one size and one round, in a minute")
    parser.add_argument("--sizes", nargs="+", help="layers x units, such as 1x256")
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, help="rounds; the median counts")
    arguments = parser.parse_args()
    sizes = arguments.sizes or (("1x256",) if arguments.quick else SIZES)
    repeats = arguments.repeats or (1 if arguments.quick else 3)
    versions = f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"
    title = f"characters a second, medians of {repeats}; {processor()}; {versions}"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    begun = [f"{name}\nonce begun" for name in (OURS, INT8, TORCH)]
    for column in (
        *("size", OURS, INT8, TORCH, "x torch\nfp32, int8", "ours\nstarts, s", "torch\nstarts, s"),
        *(*begun, "x torch\nfp32, int8", f"{WANTED:,}\nor more"),
    ):
        table.add_column(column, justify="left" if column == "size" else "right", no_wrap=True)
    lines = made_lines(arguments.lines)
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            found = contestants(size, Path(folder))
            measure(found, lines, repeats)
            table.add_row(*row_of(size, found, arguments.lines))
    console = Console(highlight=False, width=1000)
    console.width = console.measure(table).maximum  # whatever the terminal's: nothing is cut
    console.print(table)


if __name__ == "__main__":
    main()
