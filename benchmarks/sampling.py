"""Writing text: characters a second, ours beside what a user would write instead.

    python benchmarks/sampling.py [--quick] [--cells lstm gru] [--sizes 2x128 2x512] [--json FILE]

Untrained weights of a sane scale, 65 characters and the boundary, temperature 0.8, warm. All forms
of one network take turns in each round, with top-p and without, and the medians of the rounds are
shown: what is compared within a line, or with the same line without top-p, met the same noise. All
of it takes half an hour, ``--quick`` less than a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import yardsticks
from measuring import Contestant, Speed, cache_bytes, median_seconds, processor, take_turns
from rich import box
from rich.console import Console
from rich.table import Table

import textgen
from textgen import model_file
from textgen.conformance.check_export import exported_model
from textgen.export.int8_file import in_int8
from textgen.model_file import ModelFile
from textgen.registry import Registry, discover
from textgen.runtime.model import Model
from textgen.runtime.noise import noise
from textgen.training.network import Network

CELLS = ("lstm", "gru", "rnn", "mgu", "plain-lstm")
TWINS = {"plain-lstm": "lstm"}
"""The bundled cell of equal arithmetic."""
SIZES = ("2x128", "2x512", "3x512", "2x1024")
STREAMS = (1, 8, 128)
PRECISIONS = ("fp32", "int8")
THREADS = (1, 2)
"""What those are tried with that do not choose by themselves; the faster counts."""

FULL = {"cells": CELLS, "sizes": SIZES, "streams": STREAMS, "repeats": 5, "seconds": 0.1}
QUICK = {
    "cells": ("lstm",),
    "sizes": ("2x128", "2x512"),
    "streams": (1,),
    "repeats": 3,
    "seconds": 0.05,
}

EMBEDDING = 64
SEED = 1
PROMPT = 100
"""Symbols of a prompt, and characters of a line that is scored."""

SPEEDS = (
    *("ours fp32", "ours int8", "prototype", "ORT step"),
    *("numpy step", "torch cell", "torch layer", "limit"),
)
"""Characters a second, in all streams together, by what writes them."""

UNFILTERED, BUNDLED, ALONE = ", no top-p", ", bundled", ", 1 stream"
RATIOS = {
    "x cell": ("ours fp32", "torch cell"),
    "x layer": ("ours fp32", "torch layer"),
    "x prototype": ("ours fp32", "prototype"),
    "% of limit": ("ours fp32", "limit"),
    "% of no top-p": ("ours fp32", f"ours fp32{UNFILTERED}"),
    "% of bundled": ("ours fp32", f"ours fp32{BUNDLED}"),
    "int8 x fp32": ("ours int8", "ours fp32"),
    "int8 x cell": ("ours int8", "torch cell"),
    "int8 % bundled": ("ours int8", f"ours int8{BUNDLED}"),
    "int8 x 1 stream": ("ours int8", f"ours int8{ALONE}"),
}

NOTES = f"""\
torch cell: a loop over nn.LSTMCell, GRUCell or RNNCell, of MGU over the user's own module; torch \
layer: over nn.LSTM, GRU or RNN; both under inference_mode.
ORT step, numpy step: the exported file in onnxruntime, and the network in numpy; one step a call, \
drawn in numpy.
prototype: the exported step as it is in the file, in an ONNX Loop with the samplers.
limit: float32 weights read once a step, by torch.sum over as many bytes; beside many streams \
arithmetic bounds sooner.
All but ours with {THREADS[0]} or {THREADS[1]} threads, whichever was faster. bundled: the cell of \
equal arithmetic, in the same rounds. 1 stream: measured minutes before."""


@dataclass(frozen=True)
class Subject:
    """One network, in all forms that are measured."""

    cell: str
    size: str
    network: Network
    file: ModelFile
    models: Mapping[str, Model]
    """By precision."""

    @property
    def bytes(self) -> int:
        """Of its weights in float32."""
        return 4 * sum(parameter.numel() for parameter in self.network.parameters())


@dataclass(frozen=True)
class Way:
    """One way to write text: its column, whether with top-p, and who takes part in the rounds."""

    column: str
    filtered: bool
    contestant: Contestant


@dataclass
class Row:
    """One line of the table."""

    cell: str
    size: str
    bytes: int
    streams: int
    filtered: bool
    speeds: dict[str, Speed] = field(default_factory=dict)
    """In characters a second."""
    strangers: list[str] = field(default_factory=list)
    """Who wrote another text than ours from the same noise."""

    @property
    def name(self) -> str:
        top_p = "with" if self.filtered else "without"
        return f"{self.cell} {self.size}, {self.streams} streams, {top_p} top-p"

    def ratio(self, name: str) -> float | None:
        above, below = (self.speeds.get(column) for column in RATIOS[name])
        return above.median / below.median if above and below else None

    def to_json(self) -> dict[str, Any]:
        speeds = {
            column: {
                "characters_per_second": speed.median,
                "threads": speed.threads or None,
                "repeats": speed.repeats,
            }
            for column, speed in self.speeds.items()
        }
        return {
            "cell": self.cell,
            "size": self.size,
            "bytes": self.bytes,
            "in_l3": in_l3(self.bytes),
            "streams": self.streams,
            "top_p": yardsticks.TOP_P if self.filtered else None,
            "speeds": speeds,
            "ratios": {name: self.ratio(name) for name in RATIOS},
            "another_text": self.strangers,
        }


class Workshop:
    """Makes models, and keeps their files in a folder."""

    def __init__(
        self, folder: Path, registry: Registry, precisions: Sequence[str], threads: int | None
    ) -> None:
        self._folder = folder
        self._registry = registry
        self._precisions = precisions
        self._threads = threads
        self._subjects: dict[tuple[str, str], Subject] = {}

    def subject(self, cell: str, size: str) -> Subject:
        """The network, made when it is first asked for; those of other sizes are forgotten."""
        if (cell, size) not in self._subjects:
            self._subjects = {key: made for key, made in self._subjects.items() if key[1] == size}
            self._subjects[cell, size] = self._made(cell, size)
        return self._subjects[cell, size]

    def _made(self, cell: str, size: str) -> Subject:
        file, network = self._exported(cell, size)
        models = {}
        for precision in self._precisions:
            wanted = in_int8(file, network) if precision == "int8" else file
            models[precision] = self.load(self._kept(wanted, f"{cell}-{size}-{precision}"))
        return Subject(cell, size, network, file, models)

    def model_path(self, cell: str, size: str, documents: str = "files") -> Path:
        """A model of running text (``files``) or of short ones (``lines``)."""
        name = f"{cell}-{size}-{'fp32' if documents == 'files' else documents}"
        path = self._folder / f"{name}.onnx"
        return path if path.exists() else self._kept(self._exported(cell, size, documents)[0], name)

    def load(self, path: Path) -> Model:
        """As users do; ``threads`` are its own choice unless they were asked for."""
        return textgen.load(path, provider="cpu", threads=self._threads, registry=self._registry)

    def _exported(
        self, cell: str, size: str, documents: str = "files"
    ) -> tuple[ModelFile, Network]:
        layers, hidden = map(int, size.split("x"))
        return exported_model(
            self._registry.load("cell", cell),
            hidden_size=hidden,
            layers=layers,
            vocabulary_size=yardsticks.VOCABULARY,
            embedding_size=EMBEDDING,
            seed=SEED,
            documents=documents,
        )

    def _kept(self, file: ModelFile, name: str) -> Path:
        path = self._folder / f"{name}.onnx"
        model_file.write(path, file.data)
        return path


@cache
def noise_of(streams: int) -> np.ndarray:
    """The noise (T, B) that ours draws with, for the others."""
    turns = min(1 << 14, (1 << 19) // streams)
    return noise(SEED, np.arange(streams), np.arange(turns))


def ours(model: Model, streams: int, top_p: float | None) -> Callable[[int], object]:
    """As anyone calls it; the ids (B, T)."""

    def write(turns: int) -> object:
        done = model.generate(
            length=turns,
            samples=streams,
            temperature=yardsticks.TEMPERATURE,
            top_p=top_p,
            seed=SEED,
        )
        return done.ids

    return write


def ways(subject: Subject, twin: Subject | None, streams: int) -> Iterator[Way]:
    """All that take turns for one network and number of streams."""
    longest = len(noise_of(streams))
    for filtered in (False, True):
        top_p = yardsticks.TOP_P if filtered else None
        for whose, owner in (("", subject), (BUNDLED, twin)):
            for precision, model in owner.models.items() if owner else ():
                contestant = Contestant(ours(model, streams, top_p), longest)
                yield Way(f"ours {precision}{whose}", filtered, contestant)
        for threads in THREADS:
            for column, write, choose in others(subject, streams, top_p, threads):
                prepare = partial(choose, threads)
                yield Way(column, filtered, Contestant(write, longest, threads, prepare))


def others(
    subject: Subject, streams: int, top_p: float | None, threads: int
) -> Iterator[tuple[str, Callable[[int], object], Callable[[int], None]]]:
    """What a user would write instead: its column, what writes, and what chooses its threads."""
    numbers, network, cell = noise_of(streams), subject.network, subject.cell
    prototype = yardsticks.prototype(subject.file, numbers, top_p, threads)
    one_step = yardsticks.OneStep(subject.file, threads)
    in_numpy = yardsticks.InNumpy(network, cell)
    cells, layers = yardsticks.torch_cells(network, cell), yardsticks.torch_layers(network, cell)
    yield "prototype", prototype, _chosen_before
    yield "ORT step", yardsticks.numpy_loop(one_step, numbers, top_p), _chosen_before
    yield "numpy step", yardsticks.numpy_loop(in_numpy, numbers, top_p), yardsticks.numpy_threads
    yield "torch cell", yardsticks.torch_loop(cells, numbers, top_p), torch.set_num_threads
    if layers is not None:
        yield "torch layer", yardsticks.torch_loop(layers, numbers, top_p), torch.set_num_threads
    yield "limit", yardsticks.read_once(subject.bytes), torch.set_num_threads


def _chosen_before(threads: int) -> None:
    """For a session, which has its threads from the start."""


def measured(
    subject: Subject, twin: Subject | None, streams: int, repeats: int, seconds: float
) -> list[Row]:
    """The lines without top-p and with it."""
    found = list(ways(subject, twin, streams))
    rows = {
        filtered: Row(subject.cell, subject.size, subject.bytes, streams, filtered)
        for filtered in (False, True)
    }
    for filtered, row in rows.items():
        row.strangers = strangers([way for way in found if way.filtered == filtered], streams)
    speeds = take_turns([way.contestant for way in found], repeats, seconds)
    for way, speed in zip(found, speeds, strict=True):
        known = rows[way.filtered].speeds
        faster = way.column not in known or speed.median * streams > known[way.column].median
        if faster:
            known[way.column] = speed.times(streams)
    for precision in subject.models:
        column = f"ours {precision}"
        rows[True].speeds[f"{column}{UNFILTERED}"] = rows[False].speeds[column]
    return list(rows.values())


def strangers(found: Sequence[Way], streams: int) -> list[str]:
    """Those in float32 that do not write what ours does from the same noise.

    Not those of which another text is expected. Rounding may part a few streams, so nine symbols
    of ten are enough.
    """
    texts: dict[str, object] = {}
    turns = 16 if streams < 16 else 4
    for way in found:
        sorts = way.column == "prototype" and way.filtered
        if way.column == "limit" or sorts or "int8" in way.column or BUNDLED in way.column:
            continue
        if way.column not in texts:
            texts[way.column] = way.contestant.run(turns)
    if "ours fp32" not in texts:
        return []
    expected = np.array(texts.pop("ours fp32")).T
    return [name for name, text in texts.items() if np.mean(text == expected) < 0.9]


def measured_all(
    workshop: Workshop, arguments: argparse.Namespace, notify: Callable[[str], None]
) -> Iterator[Row]:
    """All lines of the table, as they come."""
    alone: dict[tuple[str, str, bool], Row] = {}
    grid = itertools.product(arguments.sizes, arguments.cells, arguments.streams)
    for size, cell, streams in grid:
        notify(f"{cell} {size}, {streams} streams")
        subject = workshop.subject(cell, size)
        twin = workshop.subject(TWINS[cell], size) if cell in TWINS else None
        for row in measured(subject, twin, streams, arguments.repeats, arguments.seconds):
            one = alone.setdefault((cell, size, row.filtered), row)
            if one.streams == 1 < streams and "ours int8" in one.speeds:
                row.speeds[f"ours int8{ALONE}"] = one.speeds["ours int8"]
            yield row


def table_of(rows: Sequence[Row], title: str) -> Table:
    """One table of all lines; columns in which nothing stands are left out."""
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    speeds = [name for name in SPEEDS if any(name in row.speeds for row in rows)]
    ratios = [name for name in RATIOS if any(row.ratio(name) is not None for row in rows)]
    for name in ("cell", "size", "weights MB", "in L3", "streams", "top-p", *speeds, *ratios):
        header = "\n".join(name.rsplit(" ", 1))
        left = name in ("cell", "size")
        table.add_column(header, justify="left" if left else "right", no_wrap=True)
    for _, group in itertools.groupby(rows, lambda row: (row.cell, row.size)):
        table.add_section()
        for row in group:
            table.add_row(*_described(row), *_speeds(row, speeds), *_ratios(row, ratios))
    return table


def _described(row: Row) -> list[str]:
    fits = {True: "yes", False: "no", None: "?"}[in_l3(row.bytes)]
    top_p = f"{yardsticks.TOP_P}" if row.filtered else "off"
    return [row.cell, row.size, f"{row.bytes / 1e6:.1f}", fits, f"{row.streams}", top_p]


def _speeds(row: Row, names: Sequence[str]) -> list[str]:
    return [f"{row.speeds[name].median:,.0f}" if name in row.speeds else "" for name in names]


def _ratios(row: Row, names: Sequence[str]) -> list[str]:
    shown = []
    for name in names:
        ratio = row.ratio(name)
        if ratio is None:
            shown.append("")
        else:
            shown.append(f"{100 * ratio:.0f} %" if "%" in name else f"{ratio:.2f}")
    return shown


def in_l3(size: int) -> bool | None:
    """Whether so many bytes fit; None where that is not known."""
    cache = cache_bytes()
    return size <= cache if cache else None


def beside(workshop: Workshop, repeats: int) -> dict[str, float | None]:
    """What is felt besides the speed of writing."""
    path = workshop.model_path("lstm", "2x512")
    lines_path = workshop.model_path("lstm", "1x256", "lines")
    return {
        f"whole process to the first character, {path.stat().st_size / 1e6:.1f} MB, seconds": (
            seconds_to_first_character(path, repeats)
        ),
        f"a further prompt of {PROMPT} symbols to its first characters, same model, ms": (
            1000 * seconds_of_further_prompt(workshop.load(path), repeats)
        ),
        f"score_all, 1x256, lines of {PROMPT}, characters a second": (
            speed_of_scoring(workshop.load(lines_path), repeats)
        ),
        "textgen score --stream, the same, whole process": speed_of_score_command(lines_path),
    }


def letters(length: int, seed: int) -> str:
    """Random ones, which all models here know."""
    found = np.random.default_rng(seed).choice(list("abcdefghijklmnopqrstuvwxyz"), length)
    return "".join(found.tolist())


def seconds_to_first_character(path: Path, repeats: int) -> float:
    """From the start of ``textgen generate``."""

    def run(seed: int) -> float:
        command = ["generate", "--onnx", str(path), "--length", "200", "--seed", str(seed)]
        began = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-m", "textgen", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdout is not None
            first = process.stdout.read(1)
            seconds = time.perf_counter() - began
            process.stdout.read()
        if not first or process.returncode:
            raise SystemExit("textgen generate wrote nothing.")
        return seconds

    run(0)  # its files come from the disk
    return statistics.median(run(seed) for seed in range(repeats))


def seconds_of_further_prompt(model: Model, repeats: int) -> float:
    """From the prompt to the first text, once another prompt has been answered."""
    prompts = [letters(PROMPT, seed) for seed in range(repeats + 1)]

    def run(number: int) -> None:
        next(iter(model.stream(prompts[number], seed=number)))

    run(repeats)
    return median_seconds(run, repeats)


def speed_of_scoring(model: Model, repeats: int) -> float:
    """Characters a second of lines scored side by side."""
    lines = [letters(PROMPT, seed) for seed in range(1000)]
    model.score_all(lines[:64])
    return PROMPT * len(lines) / median_seconds(lambda _: model.score_all(lines), min(3, repeats))


def speed_of_score_command(path: Path) -> float | None:
    """Characters a second of ``textgen score --stream -``; None where there is no such option."""
    score = [sys.executable, "-m", "textgen", "score"]
    told = subprocess.run([*score, "--help"], capture_output=True, text=True, check=True).stdout
    if "--stream" not in told:
        return None
    lines = "".join(letters(PROMPT, seed) + "\n" for seed in range(5000))
    command = [*score, "--onnx", str(path), "--stream", "-"]
    began = time.perf_counter()
    subprocess.run(command, input=lines.encode(), capture_output=True, check=True)
    return len(lines) / (time.perf_counter() - began)


def title_of(arguments: argparse.Namespace) -> str:
    return (
        f"characters a second, medians of {arguments.repeats} rounds; {processor()}; "
        f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}, numpy {np.__version__}"
    )


def size(word: str) -> str:
    """``word`` if it is a size."""
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", word):
        raise argparse.ArgumentTypeError(f"{word} is no size, such as 2x512")
    return word


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a little of it, in a minute")
    parser.add_argument("--cells", nargs="+", choices=CELLS)
    parser.add_argument("--sizes", nargs="+", type=size, help="layers x units, such as 2x512")
    parser.add_argument("--streams", nargs="+", type=int)
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--threads", type=int, help="of ours; left out, it chooses by itself")
    parser.add_argument("--repeats", type=int, help="rounds; the median counts")
    parser.add_argument("--seconds", type=float, help="of each contestant in each round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all of it there too")
    arguments = parser.parse_args()
    subset: Mapping[str, Any] = QUICK if arguments.quick else FULL
    for name, value in subset.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    return arguments


def main() -> None:
    arguments = parsed()
    rows: list[Row] = []
    others: dict[str, float | None] = {}
    progress = Console(stderr=True)
    registry = discover(files=[Path(yardsticks.__file__)])
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(KeyboardInterrupt):
        workshop = Workshop(Path(folder), registry, arguments.precision, arguments.threads)
        with progress.status("") as status:
            for row in measured_all(workshop, arguments, status.update):
                rows.append(row)
            status.update("the rest")
            others = beside(workshop, max(2, arguments.repeats))
    show(rows, others, title_of(arguments))
    if arguments.json:
        found = {"on": title_of(arguments), "rows": [r.to_json() for r in rows], "beside": others}
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def show(rows: Sequence[Row], others: Mapping[str, float | None], title: str) -> None:
    """The table, and what stands below it."""
    console, table = Console(highlight=False, width=1000), table_of(rows, title)
    console.width = console.measure(table).maximum  # whatever the terminal's: nothing is cut
    console.print(table)
    console.print(NOTES)
    for row in rows:
        if row.strangers:
            console.print(f"{row.name}: another text was written by {', '.join(row.strangers)}")
    console.print()
    for what, value in others.items():
        console.print(f"{what}: {'not there yet' if value is None else f'{value:,.2f}'}")


if __name__ == "__main__":
    main()
