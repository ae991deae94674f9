"""An interrupted packing is gone on with: the same files as without, and nothing doubtful kept."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from soak import SOAK, count
from textgen.contracts.errors import UserError
from textgen.contracts.options import build_options
from textgen.contracts.tokenizer import Tokenizer
from textgen.corpus import cutting, journal, packing
from textgen.corpus.packing import DocumentSettings, PackedCorpus, pack
from textgen.corpus.writing import IdWriter
from textgen_readers.text import Text
from textgen_tokenizers.characters import Characters
from textgen_tokenizers.words import Words

TEXT = "\n".join(
    f"line é{n} {n * n} {'lost' if n % 3 else ''}" if n % 7 else "" for n in range(400)
)
KINDS: dict[str, dict[str, Any]] = {
    "lines": {"documents": "lines", "replace": ((r"\d+", "N"), ("never", "there"))},
    "files": {"documents": "files", "replace": (("lost", "found"),)},
    "separator": {"documents": "lost", "split": "tail"},
}


class Interrupted(BaseException):
    """As a KeyboardInterrupt, but not one."""


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step is written down."""
    monkeypatch.setattr(cutting, "PIECE", 607)
    monkeypatch.setattr(cutting, "BATCH", 503)
    monkeypatch.setattr(journal, "EVERY", 0.0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "text"
    folder.mkdir()
    (folder / "a.txt").write_text(TEXT, encoding="utf-8")
    (folder / "b.txt").write_text(TEXT[:3000], encoding="utf-8")
    return folder


def packed(
    source: Path,
    cache: Path,
    kind: str,
    tokenizer: type[Tokenizer] = Characters,
    notify: Callable[[str], None] | None = None,
) -> PackedCorpus:
    reader = Text(str(source), build_options(Text.Options, {}, "reader"))
    options = build_options(tokenizer.Options, {}, "tokenizer")
    settings = DocumentSettings(**KINDS[kind])
    return pack(reader, tokenizer, "some", options, settings, cache, name="text", notify=notify)


def files(corpus: PackedCorpus) -> dict[str, str]:
    paths = list(corpus.folder.iterdir())
    assert {p.name for p in paths} == {
        "ids.bin", "train.bin", "validation.bin", "test.bin", "meta.json"
    }  # fmt: skip
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def interrupted(
    monkeypatch: pytest.MonkeyPatch, where: type, what: str, after: int, run: Callable[[], Any]
) -> bool:
    """Whether ``run`` was interrupted by the call of ``where.what`` that comes ``after`` others."""
    calls = 0
    method = getattr(where, what)

    def counted(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise Interrupted
        return method(*given)

    with monkeypatch.context() as patch:
        patch.setattr(where, what, counted)
        try:
            run()
        except Interrupted:
            return True
    return False


@pytest.mark.parametrize("tokenizer", [Characters, Words])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_files_wherever_it_was_interrupted(
    kind: str,
    tokenizer: type[Tokenizer],
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    straight = packed(source, tmp_path / "straight", kind, tokenizer)
    for after in (1, 2, 9) if not SOAK else range(1, 15):
        cache = tmp_path / str(after)
        run = partial(packed, source, cache, kind, tokenizer)
        assert interrupted(monkeypatch, IdWriter, "_write", after, run)
        assert interrupted(monkeypatch, IdWriter, "_write", 1 if after > 2 else 0, run)
        told: list[str] = []
        whole = run(told.append)
        assert len(told) == 1 and told[0].startswith("Going on with the interrupted packing")
        assert files(whole) == files(straight)
        assert list(whole.notices) == list(straight.notices)


def test_what_is_written_is_not_encoded_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = partial(packed, source, tmp_path, "lines")
    assert interrupted(monkeypatch, IdWriter, "_write", 10, run)
    encode, calls = Characters.encode, []

    def noted(self: Characters, text: str) -> Any:
        calls.append(text)
        return encode(self, text)

    monkeypatch.setattr(Characters, "encode", noted)
    assert not interrupted(monkeypatch, Characters, "learn", 0, run)
    gone_on = len(calls)
    packed(source, tmp_path / "other", "lines")
    assert len(calls) - gone_on == gone_on + 9  # the first thing written is a boundary


def test_interrupted_while_spans_are_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = packed(source, tmp_path / "straight", "lines")
    run = partial(packed, source, tmp_path, "lines")
    assert interrupted(monkeypatch, packing._Packing, "_write_spans", 0, run)
    calls: list[Any] = []
    monkeypatch.setattr(Characters, "encode", calls.append)
    assert files(packed(source, tmp_path, "lines")) == files(straight) and not calls


@pytest.mark.parametrize("spoilt", ["ids", "documents", "state.json"])
def test_what_was_spoilt_is_packed_anew(
    spoilt: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = packed(source, tmp_path / "straight", "lines")
    rng = random.Random(0)
    for trial in range(count(4, 100)):
        cache = tmp_path / str(trial)
        run = partial(packed, source, cache, "lines")
        assert interrupted(monkeypatch, IdWriter, "_write", 8, run)
        (path,) = cache.glob(f"packed/*/.packing/{spoilt}")
        data = bytearray(path.read_bytes())
        if trial % 3:
            data[rng.randrange(len(data) * 3 // 4)] ^= 1 << rng.randrange(8)
        else:
            del data[rng.randrange(len(data) * 3 // 4) :]
        path.write_bytes(data)
        assert files(packed(source, cache, "lines")) == files(straight)


def test_another_text_of_the_same_size_and_time_is_packed_anew(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = partial(packed, source, tmp_path, "lines", Characters)
    assert interrupted(monkeypatch, IdWriter, "_write", 8, run)
    path = source / "a.txt"
    before = path.stat()
    path.write_text(TEXT.replace("line", "nile", 1), encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    told: list[str] = []
    found = run(told.append)
    assert told[-1] == "What was packed before is not as it was: it is packed anew."
    assert files(found) == files(packed(source, tmp_path / "straight", "lines"))


def test_another_version_begins_anew(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = partial(packed, source, tmp_path, "lines", Characters)
    assert interrupted(monkeypatch, IdWriter, "_write", 8, run)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "another")
    told: list[str] = []
    assert files(run(told.append)) == files(packed(source, tmp_path / "straight", "lines"))
    assert not told


def test_little_work_is_not_kept(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "EVERY", 60.0)
    run = partial(packed, source, tmp_path / "cache", "lines")
    assert interrupted(monkeypatch, IdWriter, "_write", 8, run)
    assert not list((tmp_path / "cache" / "packed").iterdir())


def test_what_is_refused_leaves_nothing(source: Path, tmp_path: Path) -> None:
    (source / "c.txt").write_bytes(b"abc" * 5000 + b"\xff")
    with pytest.raises(UserError, match="byte"):
        packed(source, tmp_path / "cache", "lines")
    assert not list((tmp_path / "cache" / "packed").iterdir())


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from textgen.corpus import cutting, journal, pool
from test_going_on import packed

cutting.PIECE, cutting.BATCH, journal.EVERY = 607, 503, 0.0
pool._cores, pool.AFTER, pool.DEAR, pool._SMALL = (lambda: 2), 0.0, 0.0, 0
print("begun", flush=True)
packed(Path(sys.argv[2]), Path(sys.argv[3]), "lines", notify=lambda line: print(line, flush=True))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills")
def test_killed_at_random_and_gone_on_with(source: Path, tmp_path: Path) -> None:
    (source / "c.txt").write_text(TEXT * 8, encoding="utf-8")
    straight = packed(source, tmp_path / "straight", "lines")
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", CHILD, here, str(source), str(tmp_path / "cache")]
    environment = {**os.environ, "PYTHONPATH": str(Path(here).parent)}
    rng = random.Random(count(0, os.getpid()))
    went_on = 0
    for _ in range(count(5, 60)):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        try:
            process.wait(rng.uniform(0.02, 0.6))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        went_on += b"Going on" in process.stdout.read()
        if process.wait() == 0:
            shutil.rmtree(tmp_path / "cache")
    assert went_on
    assert files(packed(source, tmp_path / "cache", "lines")) == files(straight)
