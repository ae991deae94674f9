"""Packing a corpus: megabytes a second, and peak anonymous memory beside that of a small corpus.

    python benchmarks/packing.py [--megabytes 1000] [--tokenizer characters]

Linux only: it reads RssAnon of the child that packs, every 10 ms.
"""

from __future__ import annotations

import argparse
import re
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


def measure(source: Path, documents: str, tokenizer: str) -> tuple[float, float, int]:
    """Seconds, peak RssAnon in bytes, and the number of spans, of a child that packs."""
    with tempfile.TemporaryDirectory(dir=source.parent) as cache:
        started = time.perf_counter()
        command = [sys.executable, "-c", CHILD, str(source), cache, documents, tokenizer]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        peak = 0
        status = Path(f"/proc/{child.pid}/status")
        while child.poll() is None:
            if found := re.search(r"RssAnon:\s+(\d+) kB", status.read_text()):
                peak = max(peak, int(found[1]) * 1024)
            time.sleep(0.01)
        seconds = time.perf_counter() - started
        assert child.stdout is not None
        output = child.stdout.read()
        if child.returncode:
            raise SystemExit(child.returncode)
        return seconds, peak, int(output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--tokenizer", default="characters")
    parser.add_argument("--folder", type=Path, default=None, help="where to make the texts")
    arguments = parser.parse_args()
    table = Table(title=f"packing with {arguments.tokenizer}")
    for column in ("corpus", "MB", "spans", "seconds", "MB/s", "peak RssAnon MB", "above 1 MB"):
        table.add_column(column, justify="left" if column == "corpus" else "right")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for word, documents, line in (("running text", "files", 70), ("lines", "lines", 50)):
            small = 0.0
            for megabytes in (1, arguments.megabytes):
                source = Path(folder, f"{megabytes}.txt")
                make(source, megabytes * MEGABYTE, line)
                seconds, peak, spans = measure(source, documents, arguments.tokenizer)
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
                source.unlink()
    Console().print(table)


if __name__ == "__main__":
    main()
