"""Every reader keeps the contract, holds a batch at most, and is found by address and ending."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather, ipc

import textgen
from textgen import cli, sources
from textgen.conformance.check_reader import check_reader
from textgen.contracts.errors import UserError
from textgen.contracts.options import build_options
from textgen.registry import discover
from textgen_datasets.arrow import Arrow
from textgen_datasets.parquet import Parquet
from textgen_datasets.rows import BATCH_BYTES

TABLE = pa.table(
    {
        "title": ["river", "mountain", None, "moon"] * 20,
        "text": [f"The {n}. text, große Straße.\nIt goes on.\n" for n in range(79)] + [""],
        "year": list(range(1900, 1980)),
    }
)
TEXTS = [text for text in TABLE["text"].to_pylist() if text]


def write_stream(table: pa.Table, path: str) -> None:
    with ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


def write_file(table: pa.Table, path: str) -> None:
    with ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


WRITERS = {
    "a.parquet": lambda table, path: pq.write_table(table, path, row_group_size=9),
    "a.arrow": write_stream,
    "a.ipc": write_file,
    "a.feather": lambda table, path: feather.write_feather(table, path, compression="lz4"),
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*given):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def write(path, name: str, table: pa.Table = TABLE):
    WRITERS[name](table, str(path))
    return path


def reader(kind, source, **options):
    return kind(str(source), build_options(kind.Options, options, "test"))


def texts_of(kind, source, **options) -> list[str]:
    return ["".join(d.pieces) for d in reader(kind, source, **options).documents()]


def kind_of(name: str):
    return Parquet if name.endswith("parquet") else Arrow


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("options", [{}, {"field": "title"}, {"template": "{year}|{title}"}])
def test_conforms(tmp_path, name, options):
    check_reader(kind_of(name), str(write(tmp_path / name, name)), options)


@pytest.mark.parametrize("name", WRITERS)
def test_it_reads_a_column_or_a_template(tmp_path, name):
    path, kind = write(tmp_path / name, name), kind_of(name)
    assert texts_of(kind, path) == TEXTS
    assert texts_of(kind, path, field="year") == [str(n) for n in range(1900, 1980)]
    assert texts_of(kind, path, template="{{{title}}} {year}")[1:3] == [
        "{mountain} 1901",
        "{} 1902",
    ]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("address", ["{}", "file://{}"])
def test_it_is_found_by_its_ending(tmp_path, name, address):
    path = write(tmp_path / name, name)
    packed = textgen.open_corpus(address.format(path))
    assert packed.name == name
    assert packed.documents == "lines"
    assert sum(map(len, packed.ranges.values())) == len(TEXTS)


def test_other_kinds_of_columns(tmp_path):
    table = pa.table(
        {
            "large": pa.array(["a", None], pa.large_string()),
            "word": pa.array(["b", "c"]).dictionary_encode(),
            "blob": pa.array(["ü".encode(), b"x"]),
            "yes": [True, False],
        }
    )
    path = write(tmp_path / "a.parquet", "a.parquet", table)
    found = texts_of(Parquet, path, template="{large},{word},{blob},{yes}")
    assert found == ["a,b,ü,true", ",c,x,false"]


@pytest.mark.parametrize("name", WRITERS)
def test_it_is_read_at_an_address(tmp_path, name):
    path = write(tmp_path / name, name)
    address = f"memory://shelf/{name}"
    with fsspec.open(address, "wb") as file:
        file.write(path.read_bytes())
    check_reader(kind_of(name), address)
    packed = textgen.open_corpus(address, reader_options={"template": "{year}|{title}"})
    assert (packed.name, packed.template) == (name, "{year}|{title}")


def test_the_commands_read_it(tmp_path, monkeypatch, capsys):
    """The losses of a split are those of the training, and no name tells more than the file's."""
    path = write(tmp_path / "a.parquet", "a.parquet")
    monkeypatch.chdir(tmp_path)
    words = ["train", f"file://{path}", "--template", "{year}|{title}", "--steps", "2"]
    assert cli.run([*words, "--hidden-size", "8", "--name", "a"]) == 0
    info = textgen.load("a").info
    assert (info.template, info.corpus["name"]) == ("{year}|{title}", "a.parquet")
    capsys.readouterr()
    words = ["score", str(path), "--onnx", "a", "--split", "validation", "--json"]
    assert cli.run([*words, "--reader-option", "template={year}|{title}"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["cold"]["nats"] == pytest.approx(info.losses["cold"]["nats"], abs=1e-4)


def test_a_folder_and_a_glob_are_read_in_order(tmp_path):
    for number in (2, 0, 1):
        part = TABLE.slice(number * 10, 10)
        write(tmp_path / f"part-{number}.parquet", "a.parquet", part)
    (tmp_path / "_SUCCESS").write_text("")
    for source in (tmp_path, tmp_path / "part-*.parquet"):
        found = reader(Parquet, source)
        assert ["".join(d.pieces) for d in found.documents()] == TEXTS[:30]
        assert next(found.documents()).name == "part-0.parquet:1"
        check_reader(Parquet, str(source))


def test_another_file_has_another_fingerprint(tmp_path):
    path = write(tmp_path / "a.parquet", "a.parquet")
    before = reader(Parquet, path).fingerprint()
    write(path, "a.parquet", TABLE.slice(1))
    assert reader(Parquet, path).fingerprint() != before


def test_a_large_file_is_never_held(tmp_path):
    """One row group of 30 MB, random so that it does not shrink."""
    rows = [secrets.token_hex(10_000) for _ in range(1500)]
    how = {"row_group_size": len(rows), "use_dictionary": False, "write_batch_size": 16}
    pq.write_table(pa.table({"text": rows}), tmp_path / "a.parquet", **how)
    del rows
    before, most, count = pa.total_allocated_bytes(), 0, 0
    for _ in reader(Parquet, tmp_path / "a.parquet").documents():
        most, count = max(most, pa.total_allocated_bytes() - before), count + 1
    assert count == 1500
    assert most < 4 * BATCH_BYTES


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"field": "body"}, "no column 'body'"),
        ({"template": "{title} {body}"}, "no column 'body'"),
        ({"template": "{title!r}"}, "only name columns"),
        ({"template": "{title"}, "cannot be read"),
    ],
)
def test_a_column_that_is_not_there(tmp_path, options, told):
    path = write(tmp_path / "a.parquet", "a.parquet")
    with pytest.raises(UserError) as caught:
        texts_of(Parquet, path, **options)
    assert told in caught.value.problem


def test_which_column_must_be_said_where_several_might(tmp_path):
    table = TABLE.rename_columns(["title", "body", "year"])
    path = write(tmp_path / "a.parquet", "a.parquet", table)
    with pytest.raises(UserError, match="2 columns of strings") as caught:
        texts_of(Parquet, path)
    assert "title, body" in caught.value.remedy
    assert texts_of(Parquet, write(path, "a.parquet", table.select(["body"]))) == TEXTS


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("nowhere.parquet", "There is no file or folder"),
        ("memory://nowhere/a.parquet", "There is no file or folder"),
        ("no-such-scheme://a/b.parquet", "No reader reads no-such-scheme:// addresses"),
        ("memory://nowhere/a.txt", "does not say what it is: 2 readers"),
    ],
)
def test_what_is_not_there_is_said(tmp_path, monkeypatch, source, told, no_network):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        textgen.open_corpus(source)
    assert told in caught.value.problem


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
@pytest.mark.parametrize(
    "damage", [lambda data: b"no table", lambda data: data[:-40], lambda d: b""]
)
def test_a_damaged_file_is_said(tmp_path, name, damage):
    path = write(tmp_path / name, name)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=f"{name} could not be read"):
        texts_of(kind_of(name), path)


def test_what_is_not_utf_8_is_said(tmp_path):
    column = pa.array([b"good", b"b\xffd"]).view(pa.string())
    path = write(tmp_path / "a.parquet", "a.parquet", pa.table({"text": column}))
    with pytest.raises(UserError, match=r"a\.parquet, row 1 or one after it, is not utf-8"):
        texts_of(Parquet, path)


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UserError, match="Install s3fs"):
        list(reader(Parquet, "s3://bucket/a.parquet").documents())


def test_schemes_are_known_without_the_heavy_packages():
    """What is asked of every reader costs none of them."""
    code = (
        "import sys; from textgen import sources; from textgen.registry import discover;"
        "print(sources.reader_for('s3://bucket/a.parquet', discover()),"
        " *sorted({'pyarrow', 'datasets', 'pandas', 'fsspec'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["parquet"], done.stderr


def test_an_address_chooses_by_its_ending():
    registry = discover()
    assert sources.reader_for("gs://bucket/a.feather", registry) == "arrow"
    assert sources.reader_for("hf://owner/name:train", registry) == "hf"
