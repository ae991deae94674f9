"""From a source to ids on disk: layout, splits, bounded memory, damage, refusals."""

from __future__ import annotations

import hashlib
import itertools
import random
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgen.contracts.errors import UserError
from textgen.contracts.options import NoOptions, build_options
from textgen.contracts.reader import Document, Reader
from textgen.contracts.tokenizer import Tokenizer
from textgen.corpus import cutting, packed
from textgen.corpus.documents import (
    Block,
    DocumentSettings,
    arrange,
    blocks,
    looks_like_list,
    parse_sizes,
    unescape,
)
from textgen.corpus.packing import PackedCorpus, pack
from textgen_readers.lines import Lines
from textgen_readers.text import Text
from textgen_tokenizers.bytes import Bytes
from textgen_tokenizers.characters import Characters
from textgen_tokenizers.words import Words

SPLITS = ("train", "validation", "test")


def packed_from(
    source: object,
    cache: Path,
    tokenizer: type[Tokenizer] = Characters,
    reader: type[Reader] = Text,
    **given: Any,
) -> PackedCorpus:
    made = reader(str(source), build_options(reader.Options, {}, "reader"))
    options = build_options(tokenizer.Options, {}, "tokenizer")
    given_settings = DocumentSettings(**given)
    return pack(made, tokenizer, "some", options, given_settings, cache, name="corpus")


def texts(corpus: PackedCorpus, split: str) -> list[str]:
    symbols = corpus.vocabulary.symbols
    return [
        b"".join(symbols[i] for i in corpus.ids[start:end]).decode()
        for start, end in corpus.spans(split)
    ]


def everything(corpus: PackedCorpus) -> list[str]:
    """All documents, read from the ids alone."""
    ids, boundary = corpus.ids, corpus.vocabulary.boundary
    assert ids[0] == boundary and ids[-1] == boundary
    edges = np.flatnonzero(ids == boundary)
    return [
        b"".join(corpus.vocabulary.symbols[i] for i in ids[a + 1 : b]).decode()
        for a, b in itertools.pairwise(edges)
    ]


class Made(Reader):
    """Documents given by a test."""

    made: Sequence[Document] = ()
    mark = ""

    def documents(self) -> Iterator[Document]:
        return iter(self.made)

    def fingerprint(self) -> str:
        return self.mark

    def size(self) -> int | None:
        return None


def reader_of(*documents: Document, records: bool = False) -> Reader:
    reader = Made("", NoOptions())
    reader.made = list(documents)
    reader.records = records  # type: ignore[misc]
    reader.mark = hashlib.sha256(repr(documents).encode()).hexdigest()
    return reader


def pack_documents(
    cache: Path, *documents: Document, records: bool = False, **given: Any
) -> PackedCorpus:
    reader = reader_of(*documents, records=records)
    return pack(
        reader, Characters, "characters", NoOptions(), DocumentSettings(**given), cache, name="made"
    )


def prose(size: int = 20_000, seed: int = 0) -> str:
    rng = random.Random(seed)
    words = ["the", "sea", "was", "calm,", "and", "no", "wind", "blew.", "Then", "it", "rose"]
    return " ".join(rng.choices(words, k=size // 5)).replace(". ", ".\n")


def names(count: int = 400, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices("abcdefghij", k=rng.randrange(3, 9))) for _ in range(count)]


def test_running_text_is_cut_as_nanogpt_does(tmp_path: Path) -> None:
    text = prose()
    source = tmp_path / "a.txt"
    source.write_text(text)
    corpus = packed_from(source, tmp_path, split="tail", sizes=parse_sizes("90/10/0"))
    assert texts(corpus, "train") == [text[: int(0.9 * len(text))]]
    assert texts(corpus, "validation") == [text[int(0.9 * len(text)) :]]
    assert texts(corpus, "test") == []
    assert corpus.cut("train") and corpus.documents == "files"
    ((start, _),) = corpus.spans("validation")
    assert (
        corpus.vocabulary.symbols[corpus.ids[start - 1]] == text[int(0.9 * len(text)) - 1].encode()
    )
    assert corpus.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert corpus.ids.dtype == np.uint8 and isinstance(corpus.ids, np.memmap)
    assert everything(corpus) == [text]


def test_a_list_is_noticed_and_split_at_random(tmp_path: Path) -> None:
    source = tmp_path / "names.txt"
    source.write_text("\n".join(names()))
    corpus = packed_from(source, tmp_path)
    assert corpus.documents == "lines" and corpus.split["kind"] == "random"
    assert not corpus.cut("train")
    assert "looks like a list" in corpus.notices[0]
    assert everything(corpus) == names()
    assert b"\n" not in corpus.vocabulary.symbols
    parts = [texts(corpus, split) for split in SPLITS]
    assert Counter(itertools.chain(*parts)) == Counter(names())
    shares = [corpus.symbols(split) / sum(map(len, names())) for split in SPLITS]
    assert np.allclose(shares, [0.9, 0.05, 0.05], atol=0.01)
    assert packed_from(source, tmp_path, documents="files").documents == "files"


@pytest.mark.parametrize(
    ("text", "list_like"),
    [
        ("\n".join(names()), True),
        ("\n".join(names()) + "\n", True),
        ("\n".join(names(19)), False),
        (prose(), False),
        ("hello world\n" * 1000, False),
        ("\n\n".join(names()), False),
        ("".join(f"    x{i} = {i}\n" for i in range(100)), False),
        ("".join(f"int f{i}() {{\n" for i in range(100)), False),
        ("".join(f"{name} {'word ' * 12}\n" for name in names()), False),
        ("", False),
    ],
)
def test_what_looks_like_a_list(text: str, list_like: bool) -> None:
    assert looks_like_list(text) == list_like


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=40),
    seed=st.integers(-5, 2**64),
    kind=st.sampled_from([None, "random", "tail"]),
)
def test_equal_lines_never_part(
    lines: list[str], seed: int, kind: str | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = [*lines, "ab", "ba", "aab"]
    documents = [Document(str(i), (line,)) for i, line in enumerate(lines)]
    corpus = pack_documents(
        tmp_path_factory.mktemp("cache"), *documents, records=True, seed=seed, split=kind
    )
    parts = {split: texts(corpus, split) for split in SPLITS}
    assert Counter(itertools.chain(*parts.values())) == Counter(lines)
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not set(parts[one]) & set(parts[other])
    assert parts["train"]
    if kind != "tail":
        assert parts["validation"]


def test_seeds_differ_and_repeat(tmp_path: Path) -> None:
    documents = [Document(name, (name,)) for name in names()]
    first, again, other = (
        texts(pack_documents(tmp_path / str(i), *documents, records=True, seed=seed), "validation")
        for i, seed in enumerate([1, 1, 2])
    )
    assert first == again != other


def test_tail_of_a_list_keeps_order(tmp_path: Path) -> None:
    lines = [f"line {i:03}" for i in range(100)]
    documents = [Document(line, (line,)) for line in lines]
    corpus = pack_documents(tmp_path, *documents, records=True, split="tail", sizes=(80, 10, 10))
    assert [texts(corpus, split) for split in SPLITS] == [lines[:80], lines[80:90], lines[90:]]
    repeated = [*documents, documents[3], documents[85]]
    corpus = pack_documents(tmp_path, *repeated, records=True, split="tail", sizes=(80, 10, 10))
    assert "line 003" not in texts(corpus, "test")
    assert texts(corpus, "train").count("line 003") == 2


def test_few_files_are_cut_each_and_many_stay_whole(tmp_path: Path) -> None:
    few = [Document(f"{i}", (prose(1000, i),)) for i in range(5)]
    corpus = pack_documents(tmp_path, *few)
    assert corpus.split["kind"] == "tail" and len(corpus.spans("validation")) == 5
    many = [Document(f"{i}", (prose(1000, i),)) for i in range(40)]
    corpus = pack_documents(tmp_path, *many)
    assert corpus.split["kind"] == "random" and not corpus.cut("validation")
    assert len(corpus.spans("validation")) == len(corpus.spans("test")) == 2
    large = [*many, Document("large", (prose(90_000),))]
    assert pack_documents(tmp_path, *large).split["kind"] == "tail"


@pytest.mark.parametrize("split", ["random", "tail"])
def test_the_source_decides_first(split: str, tmp_path: Path) -> None:
    documents = [
        Document(f"{i}", (prose(500, i),), "test" if i % 4 == 0 else None) for i in range(24)
    ]
    corpus = pack_documents(tmp_path, *documents, split=split, sizes=(50, 50, 0))
    own = [prose(500, i) for i in range(0, 24, 4)]
    assert texts(corpus, "test") == own
    assert corpus.symbols("train") and corpus.symbols("validation")
    with pytest.raises(UserError, match="belongs to a split"):
        pack_documents(tmp_path, Document("x", ("text",), "dev"))


def test_separator_across_pieces(tmp_path: Path) -> None:
    text = "one\n===\ntwo\n==\nstill two\n===\n\n===\nthree"
    for size in (1, 2, 3, 50):
        pieces = tuple(text[i : i + size] for i in range(0, len(text), size))
        corpus = pack_documents(tmp_path / str(size), Document("d", pieces), documents="\\n===\\n")
        assert everything(corpus) == ["one", "two\n==\nstill two", "three"]
        assert corpus.documents == "\\n===\\n"


def test_none_is_one_text(tmp_path: Path) -> None:
    documents = [Document("a", ("one\n",)), Document("b", ("tw", "o")), Document("c", ("three",))]
    assert everything(pack_documents(tmp_path, *documents, documents="none")) == ["one\ntwo\nthree"]


def test_unescape() -> None:
    assert unescape(r"\n\t\\n\x") == "\n\t\\n\\x"


@pytest.mark.parametrize("tokenizer", [Characters, Bytes, Words])
@pytest.mark.parametrize("kind", ["files", "lines", "none"])
def test_packed_equals_encoding_whole(
    tokenizer: type[Tokenizer], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(f"{line} é日本 {i % 7}\n" for i, line in enumerate(names(300)))
    source = tmp_path / "a.txt"
    source.write_text(text, encoding="utf-8")
    whole = packed_from(source, tmp_path / "one", tokenizer, documents=kind)
    monkeypatch.setattr("textgen_readers.files.PIECE_BYTES", 101)
    monkeypatch.setattr(cutting, "PIECE", 37)
    monkeypatch.setattr(cutting, "BATCH", 29)
    pieces = packed_from(source, tmp_path / "two", tokenizer, documents=kind)
    assert np.array_equal(whole.ids, pieces.ids)
    assert whole.sha256 == pieces.sha256 == hashlib.sha256(text.encode()).hexdigest()
    for split in SPLITS:
        assert np.array_equal(whole.spans(split), pieces.spans(split))
    expected = text.split("\n")[:-1] if kind == "lines" else [text]
    assert everything(whole) == expected
    boundary = whole.vocabulary.boundary
    encoded = [whole.tokenizer.encode(document)[0] for document in expected]
    flat = np.concatenate([np.append(boundary, ids) for ids in encoded] + [[boundary]])
    assert np.array_equal(whole.ids, flat)


def test_second_start_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "a.txt"
    source.write_text(prose())
    first = packed_from(source, tmp_path)
    monkeypatch.setattr(Text, "documents", None)
    again = packed_from(source, tmp_path)
    assert np.array_equal(first.ids, again.ids) and first.vocabulary == again.vocabulary
    with pytest.raises(TypeError):  # other settings are another corpus
        packed_from(source, tmp_path, seed=1)


def test_a_changed_source_is_packed_anew(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text(prose())
    first = packed_from(source, tmp_path)
    source.write_text(prose(seed=1))
    assert packed_from(source, tmp_path).sha256 != first.sha256


def test_every_flip_and_cut_is_found(tmp_path: Path) -> None:
    source = tmp_path / "names.txt"
    source.write_text("\n".join(names(100)))
    corpus = packed_from(source, tmp_path)
    rng = random.Random(0)
    for name in ("ids.bin", "train.bin", "validation.bin", "test.bin", "meta.json"):
        path = corpus.folder / name
        whole = path.read_bytes()
        for trial in range(200):
            data = bytearray(whole)
            if trial % 4 == 0:
                data = data[: rng.randrange(len(data))]
            elif trial % 4 == 1:
                data += rng.randbytes(rng.randrange(1, 9))
            else:
                at = rng.randrange(len(data))
                data[at] ^= 1 << rng.randrange(8)
            path.write_bytes(data)
            try:
                opened = packed.open_packed(corpus.folder, Characters)
            except packed.DamagedCorpusError:
                continue
            # white space around the JSON may change, what it says may not
            assert name == "meta.json" and opened.meta == corpus.meta
        path.write_bytes(whole)
    assert packed.open_packed(corpus.folder, Characters).meta == corpus.meta


def test_a_damaged_corpus_is_packed_anew_and_says_so(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text(prose())
    corpus = packed_from(source, tmp_path)
    good = corpus.ids.tobytes()
    (corpus.folder / "ids.bin").write_bytes(b"\1" + good[1:])
    again = packed_from(source, tmp_path)
    assert again.ids.tobytes() == good
    assert "damaged" in again.notices[0]
    assert packed_from(source, tmp_path).notices == []


def test_two_packers_at_once(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text(prose(200_000))
    found: list[PackedCorpus] = []
    threads = [
        threading.Thread(target=lambda: found.append(packed_from(source, tmp_path)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({corpus.ids.tobytes() for corpus in found}) == 1 and len(found) == 4


def test_a_failure_leaves_nothing_that_opens(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_bytes(prose(3_000_000).encode() + b"\xff")
    with pytest.raises(UserError, match="byte"):
        packed_from(source, tmp_path)
    assert not list(tmp_path.rglob("meta.json")) and not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"", "holds no text"), (b"\n\n", "one distinct symbol"), (b"a" * 99, "one distinct symbol")],
)
@pytest.mark.parametrize("tokenizer", [Characters, Bytes])
def test_refusals(data: bytes, problem: str, tokenizer: type[Tokenizer], tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_bytes(data)
    with pytest.raises(UserError, match=problem):
        packed_from(source, tmp_path, tokenizer)


def test_random_needs_several_documents(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be split at random"):
        pack_documents(tmp_path, Document("a", (prose(),)), split="random")


def test_too_short_for_a_window(tmp_path: Path) -> None:
    corpus = pack_documents(tmp_path, Document("a", ("hello " * 10,)))
    corpus.require(53)
    with pytest.raises(UserError, match="54 symbols"):
        corpus.require(54)


def test_what_has_no_symbol_is_said(tmp_path: Path) -> None:
    corpus = pack_documents(tmp_path, Document("a", ("one \ud800 two",)))
    assert everything(corpus) == ["one  two"]
    assert any(r"\ud800" in notice for notice in corpus.notices)


@pytest.mark.parametrize("text", ["90/10", "a/b/c", "", "90/5/5/1"])
def test_sizes_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UserError, match="three numbers"):
        parse_sizes(text)


@pytest.mark.parametrize("sizes", [(0, 5, 5), (-1, 5, 5), (90, -5, 5), (float("nan"), 1, 1)])
def test_sizes_that_cannot_be_meant(sizes: tuple[float, float, float]) -> None:
    with pytest.raises(UserError, match="cannot be"):
        DocumentSettings(sizes=sizes)


def test_progress_tells_both_passes(tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    text = prose(3_000_000)
    reader = reader_of(Document("a", tuple(text[i : i + 1000] for i in range(0, len(text), 1000))))
    pack(
        reader,
        Characters,
        "characters",
        NoOptions(),
        DocumentSettings(documents="files"),
        tmp_path,
        name="made",
        progress=lambda *event: told.append(event),
    )
    assert {stage for stage, _, _ in told} == {"reading", "packing"}
    assert told[-1] == ("packing", len(text), len(text))


CHILD = """
import sys
import threading
import time
from pathlib import Path
from textgen.contracts.options import NoOptions, build_options
from textgen.corpus.packing import DocumentSettings, pack
from textgen_readers.text import Text
from textgen_tokenizers.characters import Characters

peak = 0

def watch():
    global peak
    while True:
        status = open("/proc/self/status").read()
        peak = max(peak, int(status.split("RssAnon:")[1].split()[0]))
        time.sleep(0.005)

threading.Thread(target=watch, daemon=True).start()
for source in sys.argv[2:]:
    reader = Text(source, build_options(Text.Options, {}, "reader"))
    settings = DocumentSettings(documents=sys.argv[1])
    pack(reader, Characters, "c", NoOptions(), settings, Path(source).parent, name="a")
    print(peak, flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", ["files", "lines"])
def test_memory_does_not_grow_with_the_corpus(kind: str, tmp_path: Path) -> None:
    """Twenty times the text, less than 48 MB more: benchmarks/packing.py does it with 1 GB."""
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"abcdefghijklmnop \n", np.uint8)
    for name, size in (("small", 1_000_000), ("large", 20_000_000)):
        (tmp_path / name).write_bytes(rng.choice(letters, size).tobytes())
    command = [sys.executable, "-c", CHILD, kind, str(tmp_path / "small"), str(tmp_path / "large")]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    small, large = (int(line) for line in output.split())
    assert large - small < 48_000


def test_names_are_not_paths(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text(prose())
    corpus = packed_from(source, tmp_path)
    meta = (corpus.folder / "meta.json").read_text()
    assert str(tmp_path) not in meta and not re.search(r"/(home|root|tmp)/", meta)


def test_lines_reader_is_a_list_without_a_notice(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("\n".join(names()))
    corpus = packed_from(source, tmp_path, reader=Lines)
    assert corpus.documents == "lines" and not corpus.notices
    assert replace(corpus, name="b").name == "b"


def test_what_a_killed_packing_left_is_cleared(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text(prose())
    corpus = packed_from(source, tmp_path)
    good = corpus.ids.tobytes()
    (corpus.folder / "meta.json").unlink()  # it is written last
    (corpus.folder / "ids.bin").write_bytes(good[:100])
    (corpus.folder / ".ids.bin.abc.part").write_bytes(b"half")
    (corpus.folder / ".scratch-abc").mkdir()
    assert packed_from(source, tmp_path).ids.tobytes() == good
    left = {path.name for path in corpus.folder.iterdir()}
    assert left == {"ids.bin", "train.bin", "validation.bin", "test.bin", "meta.json"}


FULL = """
import resource, signal, sys
from pathlib import Path
from textgen.contracts.errors import TextgenError
from textgen.contracts.options import NoOptions, build_options
from textgen.corpus.packing import DocumentSettings, pack
from textgen_readers.text import Text
from textgen_tokenizers.characters import Characters

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
reader = Text(sys.argv[1], build_options(Text.Options, {}, "reader"))
try:
    pack(reader, Characters, "c", NoOptions(), DocumentSettings(), Path(sys.argv[2]), name="a")
except TextgenError as error:
    sys.exit(f"{error.exit_status} {error.problem}")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text(prose(300_000))
    command = [sys.executable, "-c", FULL, str(source), str(tmp_path / "cache")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert "1 " in result.stderr and "could not be written" in result.stderr
    left = [path for path in (tmp_path / "cache").rglob("*") if path.stat().st_size > 100]
    assert not [path for path in left if path.is_file()]


def test_another_version_of_a_plugin_packs_again(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("some text to be packed " * 50)

    def made(version: str) -> PackedCorpus:
        reader = Text(str(tmp_path / "a.txt"), build_options(Text.Options, {}, "reader"))
        options = build_options(Characters.Options, {}, "tokenizer")
        return pack(
            reader,
            Characters,
            "characters",
            options,
            DocumentSettings(),
            tmp_path / "cache",
            name="a",
            plugins=[f"mine:characters {version}"],
        )

    assert made("1").folder == made("1").folder != made("2").folder


STAMPED = [f"{hour:02}:{minute:02} {word}" for minute in range(30)
           for hour, word in enumerate(("up", "down", "12", "lost id 7"))]  # fmt: skip


def test_what_is_replaced_is_never_seen(tmp_path: Path) -> None:
    source = tmp_path / "log.txt"
    source.write_text("\n".join(STAMPED))
    rules = ((r"^\d+:(\d)\d ", ""), (r"^\d+$", ""), (r"\d+", "N"), ("never", "there"))
    plain = packed_from(source, tmp_path, documents="lines")
    corpus = packed_from(source, tmp_path, documents="lines", replace=rules)
    assert plain.folder != corpus.folder
    assert (plain.replacements, corpus.replacements) == ((), rules)
    assert everything(plain) == STAMPED
    assert everything(corpus) == ["up", "down", "lost id N"] * 30  # an empty line is none
    assert not {b":", b"1", b"7"} & set(corpus.vocabulary.symbols)
    assert [n for n in corpus.notices if "--replace" in n] == [
        "--replace 'never=there' changed nothing in corpus."
    ]
    # lines that have become equal stand on one side
    sides = [set(texts(corpus, split)) for split in SPLITS]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    again = packed_from(source, tmp_path, documents="lines", replace=rules)
    assert again.folder == corpus.folder and again.replacements == rules
    other = packed_from(source, tmp_path, documents="lines", replace=rules[:3])
    assert other.folder not in (corpus.folder, plain.folder)


@pytest.mark.parametrize("documents", ["files", "none", "--"])
def test_running_text_is_replaced_line_by_line(documents: str, tmp_path: Path) -> None:
    """Wherever a piece ends, and however long a document is."""
    line = "at 12:34:56 it began --\n"
    text = line * (cutting.PIECE // len(line) + 7)
    pieces = tuple(text[i : i + 100_003] for i in range(0, len(text), 100_003))
    replaced = re.sub(r"\d+:\d+:\d+", "T", text)
    parts = replaced.split("--") if documents == "--" else [replaced]
    rules = ((r"\d+:\d+:\d+", "T"), (r"\d[^x]*\d", "across"))
    corpus = pack_documents(tmp_path, Document("a", pieces), documents=documents, replace=rules)
    assert everything(corpus) == [part for part in parts if part]


@settings(max_examples=200, deadline=None)
@given(
    pieces=st.lists(st.text(alphabet="ab-\n", max_size=9), max_size=9),
    separator=st.sampled_from(["\n", "--", "aba", "-a-"]),
    longest=st.integers(1, 12),
)
def test_blocks_hold_the_documents_between_separators(
    pieces: list[str], separator: str, longest: int
) -> None:
    def reader() -> list[Document]:
        return [Document("a", iter(pieces)), Document("b", iter(["-", *pieces]))]

    found: list[str] = []
    for item in blocks(reader(), separator, longest):
        if isinstance(item, Block):
            found += filter(None, item.text.split(item.separator))
        else:
            found.append("".join(item.pieces))
    written = separator.replace("\n", r"\n")
    wanted = ["".join(document.pieces) for document in arrange(reader(), written, False)]
    assert found == wanted
