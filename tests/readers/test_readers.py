"""The bundled readers: the public kit, encodings, boundaries of pieces, and refusals."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgen.conformance.check_reader import check_reader
from textgen.conformance.rules import BrokenRuleError
from textgen.contracts.errors import UserError
from textgen.contracts.options import build_options
from textgen.contracts.reader import Document, Reader
from textgen.registry import discover
from textgen_readers import files
from textgen_readers.csv import Csv, Tsv
from textgen_readers.jsonl import JsonLines
from textgen_readers.lines import Lines
from textgen_readers.text import Text


def read(kind: type[Reader], source: object, **options: Any) -> list[tuple[str, str]]:
    reader = kind(str(source), build_options(kind.Options, options, "reader"))
    return [(document.name, "".join(document.pieces)) for document in reader.documents()]


def texts(kind: type[Reader], source: object, **options: Any) -> list[str]:
    return [text for _, text in read(kind, source, **options)]


def write(path: Path, data: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


SOURCES = [
    (Text, "a.txt", "some text\n" * 300_000),
    (Lines, "a.txt", "one\ntwo\n\nthree"),
    (JsonLines, "a.jsonl", '{"text": "one"}\n\n{"text": "two"}\n'),
    (Csv, "a.csv", 'text,n\none,1\n"two\nlines",2\n'),
    (Tsv, "a.tsv", "text\tn\none\t1\n"),
]


def test_every_registered_reader_goes_through_the_kit() -> None:
    registered = discover(third_party=False).load_all("reader").values()
    assert set(registered) == {kind for kind, _, _ in SOURCES}


@pytest.mark.parametrize(("kind", "name", "content"), SOURCES)
def test_kit(kind: type[Reader], name: str, content: str, tmp_path: Path) -> None:
    check_reader(kind, str(write(tmp_path / name, content)))
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(content.encode()))
    check_reader(kind, str(packed))
    assert texts(kind, packed) == texts(kind, tmp_path / name)


def test_folder_in_sorted_order(tmp_path: Path) -> None:
    for name in ("b.py", "a/z.py", "a/b.py", "a.py", ".git/x.py", "a/.hidden.py", "c.txt"):
        write(tmp_path / name, f"text of {name}")
    assert [name for name, _ in read(Text, tmp_path)] == [
        "a.py",
        "a/b.py",
        "a/z.py",
        "b.py",
        "c.txt",
    ]
    chosen = read(Text, tmp_path, include="*.py", exclude="a/*")
    assert [name for name, _ in chosen] == ["a.py", "b.py"]
    with pytest.raises(UserError, match="none of which"):
        read(Text, tmp_path, include="*.md")
    check_reader(Text, str(tmp_path))


def test_glob(tmp_path: Path) -> None:
    for name in ("x2.txt", "x1.txt", "y.md", "deep/er/x3.txt"):
        write(tmp_path / name, name)
    assert texts(Text, tmp_path / "x*.txt") == ["x1.txt", "x2.txt"]
    assert texts(Text, tmp_path / "**/*.txt") == ["deep/er/x3.txt", "x1.txt", "x2.txt"]
    with pytest.raises(UserError, match="no files"):
        read(Text, tmp_path / "*.rst")


def test_a_name_with_brackets_is_a_name_first(tmp_path: Path) -> None:
    assert texts(Text, write(tmp_path / "a[1].txt", "brackets")) == ["brackets"]


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file or folder"):
        read(Text, tmp_path / "nothing.txt")


def test_standard_input_can_be_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped\r\ntext")))
    reader = Text("-", build_options(Text.Options, {}, "reader"))
    for _ in range(2):
        assert ["".join(d.pieces) for d in reader.documents()] == ["piped\ntext"]
    assert reader.size() == 11
    assert reader.fingerprint() == reader.fingerprint()


def test_fingerprint_changes_with_the_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "one")

    def fingerprint() -> str:
        return Text(str(path), build_options(Text.Options, {}, "reader")).fingerprint()

    before = fingerprint()
    write(path, "other")
    assert fingerprint() != before


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16", b""),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-32", b""),
        ("shift_jis", b""),
        ("gb18030", b""),
    ],
)
def test_encodings_across_pieces(
    encoding: str, mark: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "日本\r\n語の\r\n\r文章\r" * 9
    path = write(tmp_path / "a.txt", mark + text.encode(encoding))
    for size in (1, 2, 3, 5, 7, 1 << 20):
        monkeypatch.setattr(files, "PIECE_BYTES", size)
        assert texts(Text, path, encoding=encoding) == [text.replace("\r\n", "\n")]


def test_only_a_leading_mark_is_dropped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "\ufeffa\ufeffb".encode())
    assert texts(Text, path) == ["a\ufeffb"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("encoding", "bad"), [("utf-8", b"\xff"), ("ascii", b"\xe9"), ("euc_jp", b"\xff")]
)
@pytest.mark.parametrize("offset", [0, 1, 6, 7, 8, 1000])
def test_byte_offset_of_an_error(
    encoding: str,
    bad: bytes,
    offset: int,
    packed: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(files, "PIECE_BYTES", 7)
    data = b"x" * offset + bad + b"more"
    name = "bad.txt.gz" if packed else "bad.txt"
    path = write(tmp_path / name, gzip.compress(data) if packed else data)
    with pytest.raises(UserError) as caught:
        read(Text, path, encoding=encoding)
    assert re.search(rf"byte {offset} ", caught.value.problem)
    assert name in caught.value.problem
    assert "--encoding latin-1" in caught.value.remedy  # what train and score both take


def test_offset_of_a_character_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.txt", "ab日".encode()[:-1])
    for size in (1, 3, 100):
        monkeypatch.setattr(files, "PIECE_BYTES", size)
        with pytest.raises(UserError, match="byte 2 "):
            read(Text, path)


@pytest.mark.parametrize("data", [b"text\0text", b"\x89PNG\r\n\x1a\n\0\0\0", b"\0" * 10])
def test_binary(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is binary"):
        read(Text, write(tmp_path / "a.bin", data))


def test_damaged_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(b"text" * 1000)
    for data in (b"not gzip", whole[:-12], whole[:20]):
        with pytest.raises(UserError, match="not whole gzip"):
            read(Text, write(tmp_path / "a.txt.gz", data))


@pytest.mark.parametrize("encoding", ["klingon", "hex", ""])
def test_unknown_encoding(encoding: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no encoding named"):
        read(Text, write(tmp_path / "a.txt", "a"), encoding=encoding)


def test_pieces_are_moderate(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"x" * (3 << 20))
    reader = Text(str(path), build_options(Text.Options, {}, "reader"))
    (document,) = reader.documents()
    assert max(map(len, document.pieces)) <= 1 << 20


def test_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.txt", "\ufeffone\r\ntwo\n\n\r\nthree\x0b\u2028still\nlast".encode())
    for size in (1, 4, 100):
        monkeypatch.setattr(files, "PIECE_BYTES", size)
        named = read(Lines, path)
        assert [text for _, text in named] == ["one", "two", "three\x0b\u2028still", "last"]
        assert named[-1][0] == "a.txt:6"


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.sampled_from("ab\n\r日"), max_size=40), size=st.integers(1, 9))
def test_lines_whatever_the_pieces(text: str, size: int, tmp_path_factory: Any) -> None:
    path = write(tmp_path_factory.mktemp("lines") / "a.txt", text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "PIECE_BYTES", size)
        assert texts(Lines, path) == [
            line for line in text.replace("\r\n", "\n").split("\n") if line
        ]


def test_jsonl_template(tmp_path: Path) -> None:
    rows = [{"school": "A", "name": "Ann", "n": 1}, {"school": "B", "name": None, "n": True}]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert texts(JsonLines, path, template="{school}|{name}") == ["A|Ann", "B|"]
    assert texts(JsonLines, path, template="{{{n}}}") == ["{1}", "{true}"]
    assert texts(JsonLines, path, field="school") == ["A", "B"]


def test_jsonl_surrogates(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", r'{"text": "a\ud800b \ud83d\ude00"}')
    assert texts(JsonLines, path) == ["a\ufffdb \U0001f600"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [("{", "line 2 is not JSON"), ("[1]", "line 2 is not a JSON object"), ('{"a": 1}', "no field")],
)
def test_jsonl_refusals(line: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=problem):
        read(JsonLines, write(tmp_path / "a.jsonl", '{"text": "x"}\n' + line))


@pytest.mark.parametrize("template", ["{", "{}", "{a!r}", "{a:5}", "a}b"])
def test_template_refusals(template: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="template"):
        read(JsonLines, write(tmp_path / "a.jsonl", '{"a": "x"}'), template=template)


def test_template_reaches_no_attributes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no field"):
        read(JsonLines, write(tmp_path / "a.jsonl", '{"a": "x"}'), template="{a.__class__}")


def test_csv(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv", 'school,name\r\nA,"Ann, ""the"" first"\r\nB,"two\r\nlines"\r\n'
    )
    assert texts(Csv, path) == ["A", "B"]
    assert texts(Csv, write(tmp_path / "b.csv", "id,text\n1,One\n")) == ["One"]
    assert texts(Csv, path, field="name") == ['Ann, "the" first', "two\nlines"]
    assert texts(Csv, path, template="{school}|{name}")[1] == "B|two\nlines"
    with pytest.raises(UserError, match="no field 'nam'"):
        read(Csv, path, field="nam")


def test_csv_delimiters(tmp_path: Path) -> None:
    assert texts(Csv, write(tmp_path / "a.csv", "a;b\n1;2\n"), delimiter=";", field="b") == ["2"]
    assert texts(Tsv, write(tmp_path / "a.tsv", "a\tb\n1\t2\n"), field="b") == ["2"]
    assert texts(Csv, tmp_path / "a.tsv", delimiter="\\t", field="b") == ["2"]
    with pytest.raises(UserError, match="one plain character"):
        read(Csv, tmp_path / "a.csv", delimiter="::")


def test_csv_short_row(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"line 3, has no field 'b'(.|\n)*--field NAME"):
        read(Csv, write(tmp_path / "a.csv", "a,b\n1,2\n3\n"), field="b")


class UsedUp(Lines):
    def documents(self) -> Iterator[Document]:
        if not hasattr(self, "_left"):
            self._left = list(super().documents())
        while self._left:
            yield self._left.pop(0)


class AtOnce(Text):
    def documents(self) -> Iterator[Document]:
        for document in super().documents():
            yield Document(document.name, ("".join(document.pieces),))


class Odd(Lines):
    def documents(self) -> Iterator[Document]:
        for document in super().documents():
            yield Document(document.name, document.pieces, "dev")


class Shouting(Lines):
    suffixes = ("TXT",)


class Unguarded(Lines):
    def documents(self) -> Iterator[Document]:
        with Path(self.source).open() as file:
            yield from (Document(f"line {number}", (line,)) for number, line in enumerate(file))


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        (UsedUp, "starts again"),
        (AtOnce, "at most"),
        (Odd, "train, validation, test"),
        (Shouting, "begin with a dot"),
        (Unguarded, "refused with a UserError"),
    ],
)
def test_kit_finds_what_is_wrong(kind: type[Reader], rule: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"a\nb\n" + b"x" * (5 << 20) * (kind is AtOnce))
    with pytest.raises(BrokenRuleError, match=rule):
        check_reader(kind, str(path))
