"""How soon a command answers: seconds of whole processes, with ten plugins and without.

    python benchmarks/starting.py [--quick] [--repeats 11]

The plugins are distributions as ``textgen plugins new`` writes them, of all kinds, installed by pip
into a folder on the path; one of them takes five seconds to import. A text has begun when its first
byte comes out of a pipe. With and without take turns; medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from measuring import processor
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from textgen import model_file
from textgen.conformance.check_export import exported_model
from textgen.registry import discover
from textgen.scaffold.new_plugin import KINDS, new_plugin, write_plugin

WANTED = 0.4
"""Seconds in which ``textgen --help`` is whole."""
SLEEP = 5
SLOW = "slow-sampler"
PLUGINS = {f"one-{kind}": kind for kind in KINDS} | {
    "two-cell": "cell",
    "two-command": "command",
    SLOW: "sampler",
}
WRITING = "generate --onnx model.onnx --length 100 --seed 1 --provider cpu"
ROWS: Mapping[str, tuple[str, bool]] = {
    # what is timed: the command, and whether it runs without the plugins too
    "--help": ("--help", True),
    "train --help": ("train --help", True),
    "plugins": ("plugins", True),
    "generate, first character": (WRITING, True),
    "the same, --sampler one-sampler": (f"{WRITING} --sampler one-sampler", False),
    f"the same, --sampler {SLOW}": (f"{WRITING} --sampler {SLOW}", False),
}


def install_plugins(folder: Path) -> Path:
    """Writes them, and returns where they are installed: a folder for the path."""
    assert len(PLUGINS) == 10
    site, sources = folder / "site", folder / "sources"
    installed = discover().entries()
    for name, kind in PLUGINS.items():
        plugin = new_plugin(kind, name, installed)
        write_plugin(plugin, sources / plugin.distribution)
        if name == SLOW:
            module = sources / plugin.distribution / f"{plugin.module}.py"
            with module.open("a", encoding="utf-8") as file:
                file.write(f"\n\n__import__('time').sleep({SLEEP})\n")
    words = ["install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    pip = [sys.executable, "-m", "pip", *words, "--target", str(site)]
    subprocess.run([*pip, *map(str, sorted(sources.iterdir()))], check=True)
    return site


def write_model(file: Path) -> None:
    """An LSTM with 256 units and weights as they began: how well it writes is not asked."""
    made, _ = exported_model(
        discover().load("cell", "lstm"),
        hidden_size=256,
        layers=1,
        vocabulary_size=66,
        embedding_size=64,
    )
    model_file.write(file, made.data)


def seconds(command: str, folder: Path, environment: Mapping[str, str]) -> float:
    """What ``textgen`` takes: to its end, or to the first character of a text."""
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "textgen", *command.split()],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        first = time.perf_counter() - began
        process.stdout.read()
    if process.returncode:
        raise SystemExit(f"textgen {command} ended with {process.returncode}.")
    return first if command.startswith("generate") else time.perf_counter() - began


def measure(folder: Path, site: Path, repeats: int) -> dict[tuple[str, bool], float]:
    """Medians, by the row and by whether the plugins are there."""
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environments = {False: bare, True: {**bare, "PYTHONPATH": str(site)}}
    found: dict[tuple[str, bool], list[float]] = {}
    for repeat in track(range(repeats + 1), "Measuring", transient=True):
        for row, (command, without) in ROWS.items():
            # there and back, so that none always comes after the same other
            for plugins in (False, True) if repeat % 2 == 0 else (True, False):
                if plugins or without:
                    took = seconds(command, folder, environments[plugins])
                    if repeat:  # the first reads files from the disk
                        found.setdefault((row, plugins), []).append(took)
    return {key: statistics.median(times) for key, times in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="three rounds, in a minute")
    parser.add_argument("--repeats", type=int, help="rounds; the median counts")
    arguments = parser.parse_args()
    repeats = arguments.repeats or (3 if arguments.quick else 11)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_model(folder / "model.onnx")
        found = measure(folder, install_plugins(folder), repeats)
    title = f"seconds, medians of {repeats} processes; {processor()}"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("textgen", no_wrap=True)
    for column in ("without\nplugins", "with ten", "more", "wanted"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in ROWS:
        without, plugins = found.get((row, False)), found[row, True]
        compared = [f"{without:.2f}" if without else "", f"{plugins:.2f}"]
        more = f"{plugins - without:+.3f}" if without else ""
        table.add_row(row, *compared, more, f"{WANTED}" if row == "--help" else "")
    console = Console(highlight=False, width=1000)
    console.width = console.measure(table).maximum  # whatever the terminal's: nothing is cut
    console.print(table)


if __name__ == "__main__":
    main()
