"""Packing in several processes: the same files, whatever becomes of the processes."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textgen.contracts.options import build_options
from textgen.contracts.reader import Reader
from textgen.contracts.tokenizer import Tokenizer
from textgen.corpus import cutting, pool
from textgen.corpus.encoding import DOCUMENTS, READ, STRETCH, Encoder, Job, Result
from textgen.corpus.packing import DocumentSettings, PackedCorpus, pack
from textgen.corpus.pool import Pool
from textgen_readers.csv import Csv
from textgen_readers.text import Text
from textgen_tokenizers.bytes import Bytes
from textgen_tokenizers.characters import Characters
from textgen_tokenizers.words import Words

WRITTEN = {
    # the first digits of the SHA-256 of ids and spans, as they were when one process wrote them
    ("lines", Characters): "e0ef94e0c31ec6e0",
    ("lines", Bytes): "493f5c255b7edfe8",
    ("lines", Words): "29fe9df78ebd3bcc",
    ("files", Characters): "f158fbd093ef69e9",
    ("files", Bytes): "b02f3d753aa069a8",
    ("files", Words): "8d03162e0acdb12f",
    ("--", Characters): "8c2b8a97996ab6e3",
    ("--", Bytes): "5923a14a045f83c0",
    ("--", Words): "f486d55756353bb7",
}

RULES = ((r"\d+", "N"), ("never", "there"))


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Job]]:
    """Everything goes to two processes, as soon as they are there; what did is listed."""
    sent: list[Job] = []
    monkeypatch.setattr(pool, "_cores", lambda: 2)
    monkeypatch.setattr(pool, "AFTER", 0.0)
    monkeypatch.setattr(pool, "DEAR", 0.0)
    monkeypatch.setattr(pool, "_SMALL", 0)
    monkeypatch.setattr(cutting, "PIECE", 1009)
    monkeypatch.setattr(cutting, "BATCH", 503)
    submit = Pool.submit

    def submitted(self: Pool, job: Job) -> Any:
        if self._workers:
            ended = [worker._process for worker in self._workers]
            until(lambda: self.processes or all(p.poll() is not None for p in ended))
        if self.processes:
            sent.append(job)
        return submit(self, job)

    monkeypatch.setattr(Pool, "submit", submitted)
    yield sent


def until(condition: Any, seconds: float = 60.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.005)


def text_of(lines: int) -> str:
    draw = np.random.default_rng(0)
    words = [f"é{n} na\U0001f600 {n * n}" if n % 7 else "" for n in range(lines)]
    return "\n".join("ab-- "[: draw.integers(5)] + word for word in words) + "\n" + "x" * 3000


def packed(source: Path, cache: Path, tokenizer: type[Tokenizer], **given: Any) -> PackedCorpus:
    reader_class: type[Reader] = Csv if source.suffix == ".csv" else Text
    reader = reader_class(str(source), build_options(reader_class.Options, {}, "reader"))
    options = build_options(tokenizer.Options, {}, "tokenizer")
    return pack(reader, tokenizer, "some", options, DocumentSettings(**given), cache, name="text")


def files(corpus: PackedCorpus) -> dict[str, str]:
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in corpus.folder.iterdir()
    }
    assert set(found) == {"ids.bin", "train.bin", "validation.bin", "test.bin", "meta.json"}
    return found


@pytest.mark.parametrize("tokenizer", [Characters, Bytes, Words])
@pytest.mark.parametrize("documents", ["lines", "files", "--"])
def test_the_same_files(
    tokenizer: type[Tokenizer],
    documents: str,
    tmp_path: Path,
    shared: list[Job],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = tmp_path / "text.txt"
    source.write_text(text_of(400), encoding="utf-8")
    given = {"documents": documents, "replace": RULES if documents == "lines" else ()}
    together = packed(source, tmp_path / "together", tokenizer, **given)
    assert len(shared) > 5
    monkeypatch.setattr(pool, "_cores", lambda: 1)
    count = len(shared)
    alone = packed(source, tmp_path / "alone", tokenizer, **given)
    assert len(shared) == count
    assert files(together) == files(alone)
    assert list(together.notices) == list(alone.notices)
    names = ("ids.bin", "train.bin", "validation.bin", "test.bin")
    written = b"".join((together.folder / name).read_bytes() for name in names)
    assert hashlib.sha256(written).hexdigest().startswith(WRITTEN[documents, tokenizer])


def test_records_are_shared_too(tmp_path: Path, shared: list[Job]) -> None:
    source = tmp_path / "table.csv"
    source.write_text("text\n" + "".join(f"name {n * n}\n" for n in range(400)))
    together = packed(source, tmp_path / "together", Characters)
    assert shared
    texts = ["".join(map(bytes.decode, map(together.vocabulary.symbols.__getitem__, ids)))
             for ids in together.texts()]  # fmt: skip
    assert sorted(texts) == sorted(f"name {n * n}" for n in range(400))


def local_class() -> type[Tokenizer]:
    class Local(Characters):
        """As a class of a notebook: no other process can import it."""

    return Local


def test_a_tokenizer_that_cannot_be_sent(tmp_path: Path, shared: list[Job]) -> None:
    source = tmp_path / "text.txt"
    source.write_text(text_of(300), encoding="utf-8")
    found = packed(source, tmp_path / "local", local_class(), documents="lines")
    assert {job.kind for job in shared} == {"alphabet", "characters"}
    plain = packed(source, tmp_path / "plain", Characters, documents="lines")
    assert DOCUMENTS in {job.kind for job in shared}
    assert files(found) == files(plain)


def test_processes_that_end_too_soon(
    tmp_path: Path, shared: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "text.txt"
    source.write_text(text_of(300), encoding="utf-8")
    plain = packed(source, tmp_path / "plain", Words, documents="lines")
    share = pool.Pool._share

    def killed(self: Pool) -> None:
        share(self)
        until(lambda: self.processes == 2)
        for worker in self._workers:
            worker._process.kill()

    monkeypatch.setattr(pool.Pool, "_share", killed)
    assert files(packed(source, tmp_path / "killed", Words, documents="lines")) == files(plain)


def test_without_a_program_for_processes(
    tmp_path: Path, shared: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    source = tmp_path / "text.txt"
    source.write_text(text_of(300), encoding="utf-8")
    assert packed(source, tmp_path / "cache", Words).symbols("train")
    assert not shared


def test_a_small_corpus_starts_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_cores", lambda: 8)
    monkeypatch.setattr(subprocess, "Popen", None)
    source = tmp_path / "text.txt"
    source.write_text(text_of(1000), encoding="utf-8")
    assert packed(source, tmp_path, Words, documents="lines").symbols("train")


@pytest.mark.parametrize(
    "job",
    [
        Job(DOCUMENTS, ["é\n\nb--", "\ud800", "--c" * 9], "\n"),
        Job(DOCUMENTS, ["\n"], "\n"),
        Job(READ, ["a--b", ""], "--"),
        Job(STRETCH, ["a b c \udfff"]),
        Job("alphabet", ["12 3\na", "é"], "\n"),
        Job("characters", ["12\udfff"]),
    ],
)
def test_a_result_is_the_same_from_there(
    job: Job, shared: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = Words.learn(iter([]), build_options(Words.Options, {}, "words"))
    encoder = Encoder(tokenizer, RULES, b"salt" * 4, b"\0")
    here = encoder.run(job)
    with Pool(Encoder(tokenizer, RULES, b"salt" * 4, b"\0")) as processes:
        processes.submit(Job(STRETCH, ["begins them"])).result()
        until(lambda: processes.processes == 2)
        done = processes.submit(job)
        there = done.result()
    assert isinstance(there, Result)
    for name in ("ids", "ends", "keys", "counts", "seen"):
        assert np.array_equal(getattr(here, name), getattr(there, name)), name
    for name in ("data", "characters"):
        assert getattr(here, name) == getattr(there, name)
    assert list(here.unknown) == list(there.unknown)
    assert list(here.changed) == list(there.changed)


CHILD = """
import sys, time
from pathlib import Path
from textgen.contracts.options import build_options
from textgen.corpus import cutting, pool
from textgen.corpus.packing import DocumentSettings, pack
from textgen_readers.text import Text
from textgen_tokenizers.words import Words

cutting.BATCH = 2000
pool._cores, pool.AFTER, pool.DEAR, pool._SMALL = (lambda: 2), 0.0, 0.0, 0
told = pool.Pool._share

def share(self):
    told(self)
    print(*(worker._process.pid for worker in self._workers), flush=True)

pool.Pool._share = share
reader = Text(sys.argv[1], build_options(Text.Options, {}, "reader"))
options = build_options(Words.Options, {}, "words")
try:
    while True:
        pack(reader, Words, "w", options, DocumentSettings(documents="lines"),
             Path(sys.argv[2]) / str(time.monotonic_ns()), name="a")
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_packing(number: int, tmp_path: Path) -> None:
    source = tmp_path / "text.txt"
    source.write_text(text_of(2000), encoding="utf-8")
    command = [sys.executable, "-c", CHILD, str(source), str(tmp_path / "cache")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None and process.stderr is not None
    workers = [int(word) for word in process.stdout.readline().split()]
    assert len(workers) == 2
    time.sleep(0.5)
    os.killpg(process.pid, number)  # as a terminal does
    assert process.wait(30) == (130 if number == signal.SIGINT else -number)
    assert process.stderr.read() == b""
    for other in {*workers, *(int(word) for word in process.stdout.read().split())}:
        until(lambda other=other: not _alive(other))


def _alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{number}/stat")
    return not (stat.exists() and ") Z " in stat.read_text())
