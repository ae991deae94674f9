"""Row 19: what a training needs beside its mapped files does not grow with its corpus.

Twenty megabytes every day, a gigabyte with TEXTGEN_SOAK=1, against one megabyte.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from soak import SOAK, count

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.timeout(count(600, 3600)),
]

MEGABYTE = 1_000_000
ALLOWED = 250 * MEGABYTE
ENDS = {
    # what stands after a word, and how often of a hundred
    "lines": {" ": 84, "\n": 16},
    "files": {" ": 82, ", ": 8, ". ": 7, ".\n": 2, "!\n\n": 1},
}
SMALL = ["--steps", "3", "--hidden-size", "16", "--batch-size", "4", "--precision", "float32"]


def write_text(path: Path, size: int, kind: str) -> None:
    """About ``size`` bytes of a made-up language, the same each time: a list of short lines, or
    running text. Frequent words are many, rare ones rare, and hardly a line comes twice."""
    draw = np.random.default_rng(0)
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in "aeiou"]
    words = ["".join(draw.choice(syllables, draw.integers(1, 5))) for _ in range(20_000)]
    ends = [end for end, share in ENDS[kind].items() for _ in range(share)]
    tokens = np.array([f"{w}{end}".encode() for w in words for end in ends], object)
    chances = np.cumsum(1 / np.arange(1, len(words) + 1))
    written = 0
    with path.open("wb") as file:
        while written < size:
            chosen = np.searchsorted(chances, draw.random(200_000) * chances[-1])
            chosen = chosen * len(ends) + draw.integers(len(ends), size=len(chosen))
            written += file.write(b"".join(tokens[chosen].tolist())[: size - written])


@dataclass
class Peaks:
    """RssAnon in bytes: until the first step, and over all."""

    packing: int = 0
    whole: int = 0
    symbols: int = 0


def anonymous(process: int) -> int:
    """RssAnon in bytes, of a process and of those that it has started."""
    try:
        told = Path(f"/proc/{process}/status").read_text().partition("RssAnon:")[2].split()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return 0
    return (1024 * int(told[0]) if told else 0) + sum(anonymous(int(word)) for word in children)


def trained(text: Path, kind: str) -> Peaks:
    """The peaks of a training on ``text`` that packs it first, in a process of its own.

    It is watched to its first checkpoint; in a soak to its end, with the export.
    """
    output = text.parent / "output"
    command = [sys.executable, "-m", "textgen", "train", f"./{text.name}", "--documents", kind]
    env = {**os.environ, "TEXTGEN_CACHE": str(text.parent / "cache"), "OMP_NUM_THREADS": "1"}
    with output.open("wb") as out:
        process = subprocess.Popen(
            [*command, *SMALL, "--json"], cwd=text.parent, env=env, stdout=out
        )
    peaks, done = Peaks(), False
    while process.poll() is None and not done:
        peaks.whole = max(peaks.whole, anonymous(process.pid))
        events = [json.loads(line) for line in output.read_text().splitlines(True) if "\n" in line]
        if not events:
            peaks.packing = peaks.whole
        done = not SOAK and any(event["event"] == "saved" for event in events)
        time.sleep(0.005)
    if done:
        process.kill()
        process.wait()
    else:
        assert process.returncode == 0
    peaks.symbols = events[0]["corpus_symbols"]
    return peaks


@pytest.mark.parametrize("kind", ["lines", "files"])
def test_memory_does_not_grow_with_the_corpus(kind, tmp_path):
    found = {}
    for name, size in (("small", 1), ("large", count(20, 1000))):
        text = tmp_path / name / "text.txt"
        text.parent.mkdir()
        write_text(text, size * MEGABYTE, kind)
        began = time.monotonic()
        found[name] = trained(text, kind)
        print(name, kind, found[name], f"{time.monotonic() - began:.0f} s")
        assert 0.85 * size * MEGABYTE < found[name].symbols <= size * MEGABYTE
        for path in text.parent.rglob("*"):
            if path.is_file() and path.stat().st_size > MEGABYTE:
                path.unlink()  # pytest keeps the folders of three runs
    small, large = found["small"], found["large"]
    assert large.packing - small.packing < ALLOWED
    assert large.whole - small.whole < ALLOWED
