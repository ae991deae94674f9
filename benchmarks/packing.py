"""Packing a corpus: megabytes a second, and peak anonymous memory beside that of a small corpus.
Then a training on it: how soon it starts once it is packed, and how fast it is, beside the same on
a small corpus, in turns.

    python benchmarks/packing.py [--megabytes 1000] [--tokenizer characters] [--rounds 3]

Linux only: it reads RssAnon of the process that packs and of its children, every 10 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

MEGABYTE = 1_000_000
_LETTERS = np.frombuffer(b"etaoinshrdlucmfwypvbgkjqxz     ", np.uint8)

CHILD = """
import sys
from pathlib import Path
from textgen.contracts.options import build_options
from textgen.corpus.packing import DocumentSettings, pack
from textgen.registry import discover

source, cache, documents, name = sys.argv[1:]
registry = discover()
reader = registry.load("reader", "text")
tokenizer = registry.load("tokenizer", name)
corpus = pack(
    reader(source, build_options(reader.Options, {}, "reader")),
    tokenizer, name, build_options(tokenizer.Options, {}, "tokenizer"),
    DocumentSettings(documents=documents), Path(cache), name="made",
)
print(sum(len(corpus.spans(split)) for split in ("train", "validation", "test")))
"""


def make(path: Path, size: int, line: int) -> None:
    """Writes ``size`` bytes of random letters, a new line about every ``line`` bytes."""
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        for start in range(0, size, 1 << 24):
            count = min(1 << 24, size - start)
            text = rng.choice(_LETTERS, count)
            text[rng.integers(0, count, count // line)] = ord("\n")
            file.write(text.tobytes())


def measure(source: Path, cache: Path, documents: str, tokenizer: str) -> tuple[float, float, int]:
    """Seconds, peak RssAnon in bytes, and the number of spans, of a child that packs."""
    started = time.perf_counter()
    command = [sys.executable, "-c", CHILD, str(source), str(cache), documents, tokenizer]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = 0
    while child.poll() is None:
        peak = max(peak, anonymous(child.pid))
        time.sleep(0.01)
    seconds = time.perf_counter() - started
    assert child.stdout is not None
    output = child.stdout.read()
    if child.returncode:
        raise SystemExit(child.returncode)
    return seconds, peak, int(output)


def anonymous(process: int) -> int:
    """RssAnon in bytes, of a process and of those that it has started."""
    try:
        told = Path(f"/proc/{process}/status").read_text().partition("RssAnon:")[2].split()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return (1024 * int(told[0]) if told else 0) + sum(anonymous(int(word)) for word in children)


def time_torch() -> float:
    """Seconds that a process needs to import torch and to take a step of an optimizer, for which
    torch loads its compiler."""
    weight = "torch.nn.Parameter(torch.zeros(1))"
    program = f"import torch; torch.optim.AdamW([{weight}]).step(); print(flush=True)"
    started = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        return time.perf_counter() - started


def train(source: Path, cache: Path, documents: str, steps: int) -> tuple[float, float]:
    """Seconds until a training on a packed corpus starts, and the symbols a second it then sees,
    of the second half of its steps."""
    command = [sys.executable, "-m", "textgen", "train", str(source), "--documents", documents]
    settings = {
        "steps": steps,
        "hidden-size": 128,
        "batch-size": 32,
        "sequence-length": 64,
        "checkpoint-every": steps,
        "sample-every": steps,
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        child = subprocess.Popen(
            [*command, *words, "--precision", "float32", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            text=True,
            env={**os.environ, "TEXTGEN_CACHE": str(cache)},
        )
        assert child.stdout is not None
        start, seen = 0.0, []
        for line in child.stdout:
            event = json.loads(line)
            if event["event"] == "started":
                start = time.perf_counter() - started
            elif event["event"] == "progress":
                seen.append((event["seconds"], event["symbols"]))
                if event["step"] == steps:
                    break  # what follows evaluates on all of the validation text
        child.kill()
        child.wait()
        child.stdout.close()
    (early, before), (late, after) = seen[len(seen) // 2], seen[-1]
    return start, (after - before) / (late - early)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--tokenizer", default="characters")
    parser.add_argument("--folder", type=Path, default=None, help="where to make the texts")
    parser.add_argument("--rounds", type=int, default=3, help="of trainings; 0: none")
    parser.add_argument("--steps", type=int, default=1000, help="of each training")
    arguments = parser.parse_args()
    table = Table(title=f"packing with {arguments.tokenizer}")
    for column in ("corpus", "MB", "spans", "seconds", "MB/s", "peak RssAnon MB", "above 1 MB"):
        table.add_column(column, justify="left" if column == "corpus" else "right")
    trainings = Table(title="training once it is packed, an LSTM of 128, 32 x 64 symbols a step")
    for column in ("corpus", "MB", "seconds to its start", "symbols/s"):
        trainings.add_column(column, justify="left" if column == "corpus" else "right")
    alone: list[float] = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for word, documents, line in (("running text", "files", 70), ("lines", "lines", 50)):
            small, cache = 0.0, Path(folder, "cache")
            sources = {n: Path(folder, f"{n}.txt") for n in (1, arguments.megabytes)}
            for megabytes, source in sources.items():
                make(source, megabytes * MEGABYTE, line)
                seconds, peak, spans = measure(
                    source, Path(folder, "measured"), documents, arguments.tokenizer
                )
                small = small or peak
                table.add_row(
                    word,
                    f"{megabytes}",
                    f"{spans:,}",
                    f"{seconds:.1f}",
                    f"{megabytes / seconds:.1f}",
                    f"{peak / MEGABYTE:.0f}",
                    f"{(peak - small) / MEGABYTE:.0f}",
                )
                shutil.rmtree(Path(folder, "measured"))
            found: dict[int, list[tuple[float, float]]] = {n: [] for n in sources}
            for turn in range(arguments.rounds + 1 if arguments.rounds else 0):
                alone += [time_torch()]
                for megabytes, source in sources.items():
                    figures = train(source, cache, documents, arguments.steps)
                    if turn:  # the first one packs
                        found[megabytes].append(figures)
            for megabytes, rounds in found.items() if arguments.rounds else ():
                starts, speeds = zip(*rounds, strict=True)
                start, speed = statistics.median(starts), statistics.median(speeds)
                trainings.add_row(word, f"{megabytes}", f"{start:.2f}", f"{speed:,.0f}")
            for path in (*sources.values(), *cache.rglob("*.bin")):
                path.unlink()
    Console().print(table)
    if arguments.rounds:
        Console().print(trainings)
        Console().print(f"of which torch alone: {statistics.median(alone):.2f} s")


if __name__ == "__main__":
    main()
