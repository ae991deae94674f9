"""What a corpus word means: which reader an address or an ending chooses, and what it is called."""

from __future__ import annotations

import pytest

import textgen
from textgen import sources
from textgen.contracts.errors import UserError
from textgen.registry import discover

READERS = """
from textgen.contracts.hooks import hookimpl
from textgen.contracts.reader import Document, Reader

TEXTGEN_CONTRACT = 1

class Boxes(Reader):
    schemes = ("far", "near")
    suffixes = (".box", ".big.box")

    def documents(self):
        yield Document(self.source, ("one text, another text, one more. ",) * 9)

    def fingerprint(self):
        return self.source

    def size(self):
        return None

class Bags(Boxes):
    schemes = ("far",)
    suffixes = (".bag", ".box")

@hookimpl
def textgen_readers():
    return {"boxes": Boxes, "bags": Bags}
"""


@pytest.fixture
def registry(tmp_path):
    path = tmp_path / "readers.py"
    path.write_text(READERS, encoding="utf-8")
    return discover(files=[path])


@pytest.mark.parametrize(
    ("source", "reader"),
    [
        ("texts/all.txt", "text"),
        ("a.csv", "csv"),
        ("a.bag", "bags"),
        ("a.big.box", "boxes"),
        ("far://shelf/a.bag", "bags"),
        ("far://shelf/a.BIG.box", "boxes"),
        ("far://shelf/a.big.box?key=.bag", "boxes"),
        ("near://shelf/anything", "boxes"),
        ("near://shelf/a.csv", "boxes"),
    ],
)
def test_scheme_and_ending_choose_the_reader(registry, source, reader):
    assert sources.reader_for(source, registry) == reader


def test_an_address_that_several_might_read_is_refused(registry):
    with pytest.raises(UserError, match="2 readers read far://") as caught:
        sources.reader_for("far://shelf/a.csv", registry)
    assert "--reader bags or --reader boxes" in caught.value.remedy


def test_an_address_that_none_reads_is_refused(registry):
    with pytest.raises(UserError, match="No reader reads away:// addresses"):
        sources.reader_for("away://shelf/a.box", registry)


def test_the_name_of_an_address_has_no_query(registry):
    packed = textgen.open_corpus("far://host/shelf/a.box?key=secret", registry=registry)
    assert packed.name == "a.box"
    assert "secret" not in (packed.folder / "meta.json").read_text(encoding="utf-8")
