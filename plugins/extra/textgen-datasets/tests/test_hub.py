"""Hugging Face datasets, all of them on this disk: nothing opens a socket."""

from __future__ import annotations

import json
import socket

import pytest

import textgen
from textgen.conformance.check_reader import check_reader
from textgen.contracts.errors import UserError
from textgen.contracts.options import build_options
from textgen_datasets.hub import Hub

datasets = pytest.importorskip("datasets")

ROWS = [{"text": f"Verse {n} of many.", "title": f"t{n}"} for n in range(60)]


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    def refuse(*given):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def saved(tmp_path):
    """A saved dataset of three splits."""
    parts = {"train": ROWS[:40], "validation": ROWS[40:50], "test": ROWS[50:]}
    made = datasets.DatasetDict(
        {name: datasets.Dataset.from_list(rows) for name, rows in parts.items()}
    )
    made.save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


@pytest.fixture
def folder(tmp_path):
    """A folder of data files, as the Hub has them."""
    place = tmp_path / "folder"
    place.mkdir()
    for name, rows in {"train": ROWS[:50], "test": ROWS[50:]}.items():
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (place / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return place


def read(source, **options):
    reader = Hub(source, build_options(Hub.Options, options, "test"))
    return [("".join(d.pieces), d.split) for d in reader.documents()]


def test_conforms(saved, folder):
    check_reader(Hub, f"hf://{saved}")
    check_reader(Hub, f"hf://{saved}:train", {"template": "{title}: {text}"})
    check_reader(Hub, f"hf://{folder}:train")


def test_splits_are_kept(saved):
    found = read(f"hf://{saved}")
    assert [text for text, _ in found] == [row["text"] for row in ROWS]
    assert [split for _, split in found] == ["train"] * 40 + ["validation"] * 10 + ["test"] * 10


def test_one_split_is_for_the_core_to_part(saved):
    assert read(f"hf://{saved}:test", field="title") == [(row["title"], None) for row in ROWS[50:]]


def test_what_has_no_validation_gets_one_from_its_training_text(folder):
    found = read(f"hf://{folder}")
    assert [split for _, split in found] == [None] * 50 + ["test"] * 10


def test_a_part_of_a_split(folder):
    assert len(read(f"hf://{folder}:train[:20%]")) == 10


def test_it_becomes_a_corpus(saved):
    packed = textgen.open_corpus(f"hf://{saved}")
    counts = {name: len(spans) for name, spans in packed.ranges.items()}
    assert counts == {"train": 40, "validation": 10, "test": 10}
    again = textgen.open_corpus(f"hf://{saved}")
    assert again.folder == packed.folder


def test_what_is_not_there_is_said(saved, tmp_path):
    for source in (f"hf://{saved}:dev", f"hf://{tmp_path}/nowhere", "hf://no/such:train"):
        with pytest.raises(UserError, match="could not be read") as caught:
            read(source)
        assert ("there is no folder" in caught.value.problem) == source.endswith("nowhere")
