"""``textgen corpora`` tells what packed corpora take, and removes them; a training goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import textgen
from textgen.contracts.errors import UserError
from textgen.corpus import packed
from textgen.corpus.packed_cache import list_packed, remove_packed


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pack_two(tmp_path: Path, verses: Path) -> None:
    shutil.copy(verses, tmp_path / "mine.txt")
    shutil.copy(verses, tmp_path / "yours.txt")
    for options in ({}, {"split_seed": 1, "documents": "lines"}):
        textgen.open_corpus(tmp_path / "mine.txt", **options)
    textgen.open_corpus(tmp_path / "yours.txt")


def test_packed_forms_are_told_and_removed(command_here, verses, tmp_path, cache):
    assert "Packed" not in command_here("corpora").err
    pack_two(tmp_path, verses)
    told = command_here("corpora").err
    assert "Packed in the cache: mine.txt, yours.txt;" in told
    rows = [json.loads(line) for line in command_here("corpora", "--json").out.splitlines()]
    assert {row["packed_bytes"] for row in rows} == {0}
    done = command_here("corpora", "rm", "./mine.txt")
    assert done.status == 0 and "packed of ./mine.txt" in done.err
    assert [entry.name for entry in list_packed(cache)] == ["yours.txt"]
    done = command_here("corpora", "rm", "mine.txt")
    assert done.status == 2 and "yours.txt" in done.err
    assert command_here("corpora", "rm").status == 2
    assert command_here("corpora", "rm", "nonesuch").status == 2
    assert command_here("corpora", "rm", "--packed").status == 0
    assert not list((cache / "packed").iterdir())


def test_a_recipe_loses_both_forms(command_here, cache):
    textgen.open_corpus("python-docs")
    (row,) = (
        json.loads(line)
        for line in command_here("corpora", "--json").out.splitlines()
        if '"python-docs"' in line
    )
    assert row["state"] == "cached" and row["packed_bytes"] > 10_000
    done = command_here("corpora", "rm", "python-docs", "--packed")
    assert "fetched" not in done.err and not list_packed(cache)
    textgen.open_corpus("python-docs")
    done = command_here("corpora", "rm", "python-docs")
    assert "Removed what was fetched and" in done.err and not list_packed(cache)


def test_what_is_being_packed_is_not_removed(verses, tmp_path, cache):
    pack_two(tmp_path, verses)
    entry = list_packed(cache)[0]
    with packed.locked(entry.folder), pytest.raises(UserError, match="is being packed"):
        remove_packed(cache, "mine.txt")
    assert len(list_packed(cache)) == 3


def test_a_training_goes_on_when_its_packed_corpus_is_removed(verses, tmp_path, cache):
    corpus = textgen.open_corpus(verses)
    remove_packed(cache)
    run = textgen.train(corpus, steps=2, hidden_size=8, name="one", folder=tmp_path)
    assert run.losses["cold"]["symbols"] > 1000
