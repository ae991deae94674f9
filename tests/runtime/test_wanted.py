"""Wanted texts: refused ones are tried again, and what comes does not depend on how it comes."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from step_models import LETTERS, loaded, lstm
from textgen.contracts.errors import UserError
from textgen.known_texts import KnownTexts
from textgen.runtime import generation, tries, writer
from textgen.runtime.encoding import Decoder
from textgen.runtime.wanted import Wanted

GRAPH, INFO = lstm(documents="lines", seed=3)
LINES = loaded((GRAPH, INFO))
RUNNING = loaded(lstm())


def test_anything_is_what_it_was():
    plain = LINES.generate("a", samples=6, seed=2, length=300)
    wanted = LINES.generate(
        "a", samples=6, seed=2, length=300, wanted=Wanted(min_length=0, tries=3)
    )
    assert plain.ids == wanted.ids
    assert not wanted.refused


@pytest.mark.parametrize(
    ("wanted", "good"),
    [
        (Wanted(min_length=6), lambda text: len(text) >= 6),
        (Wanted(max_length=4), lambda text: len(text) <= 4),
        (Wanted(min_length=3, max_length=5), lambda text: 3 <= len(text) <= 5),
        (Wanted(match="^[a-e]"), lambda text: text[:1] in "abcde" and text),
        (Wanted(block=("A", "ij")), lambda text: "a" not in text and "ij" not in text),
    ],
)
def test_every_text_is_as_wanted(wanted, good):
    done = LINES.generate(samples=30, seed=4, wanted=wanted)
    assert all(good(text) for text in done.texts)
    assert sum(done.refused.values()) > 0
    assert set(done.ended) == {"boundary"}


def test_a_text_that_was_wanted_at_once_is_the_plain_one():
    plain = LINES.generate(samples=40, seed=9)
    wanted = LINES.generate(samples=40, seed=9, wanted=Wanted(min_length=5))
    kept = [n for n, text in enumerate(plain.texts) if len(text) >= 5]
    assert 0 < len(kept) < 40
    for n in kept:
        assert wanted.ids[n] == plain.ids[n]


@pytest.mark.parametrize("rows", [1, 3, 256])
def test_how_they_come_changes_nothing(monkeypatch, rows):
    """Rows, chunks and the number of samples beside it leave a sample as it is."""
    wanted = Wanted(unique=True, min_length=2, max_length=6, match="[abc]")
    expected = LINES.generate(samples=25, seed=7, wanted=wanted)
    monkeypatch.setattr(tries, "ROWS", rows)
    monkeypatch.setattr(writer, "_FIRST_CHUNK", 3)
    monkeypatch.setattr(writer, "_BRIEF_CHUNK", 5)
    found = LINES.generate(samples=9, seed=7, wanted=wanted)
    assert found.texts == expected.texts[:9]
    assert found.ids == expected.ids[:9]


def test_unique_texts_are_those_one_would_choose_by_hand():
    """Sample by sample: the first try that none before it has taken."""
    wanted = Wanted(unique=True, max_length=2)
    done = LINES.generate(samples=20, seed=1, wanted=wanted)
    assert len(set(done.texts)) == 20
    assert done.refused["repeated"] > 0
    taken: set[str] = set()
    for stream in range(20):
        chosen = None
        for attempt in range(200):
            text = tried(stream, attempt)
            if len(text) <= 2 and text not in taken:
                chosen = text
                break
        taken.add(done.texts[stream])
        assert done.texts[stream] == chosen


@functools.cache
def tried(stream: int, attempt: int) -> str:
    """What one try of one stream writes, through the writer alone."""
    chain = LINES.chain(0.8)
    limits, decoder = writer.Limits(400, boundary=True), Decoder(LINES.vocabulary)
    batch = writer.Writer(LINES.engine(chain), chain, LINES.vocabulary)
    own = writer.Stream(0, limits, decoder, seed=1, number=stream, attempt=attempt)
    batch.begin([own], LINES.start(chain, 1))
    text = ""
    while batch.streams:
        ((_, chunk, _),) = batch.turn()
        text += chunk.text
    return text


def test_new_texts_are_not_in_the_corpus():
    plain = LINES.generate("a", samples=60, seed=3)
    documents = [np.array([1, *ids]) for ids in plain.ids]  # the prompt belongs to the text
    known = KnownTexts.of(documents, len(documents)).to_json()
    model = loaded((GRAPH, dataclasses.replace(INFO, known=known)))
    done = model.generate("a", samples=60, seed=3, wanted=Wanted(new=True))
    assert not set(done.texts) & set(plain.texts)
    assert done.refused["in the corpus"] >= 60


def test_new_needs_the_texts_of_the_corpus():
    with pytest.raises(UserError, match="does not hold"):
        LINES.generate(wanted=Wanted(new=True))
    with pytest.raises(UserError, match="running text"):
        RUNNING.generate(wanted=Wanted(new=True))


def test_a_text_that_was_cut_off_is_none():
    done = LINES.generate(samples=20, length=3, seed=2, wanted=Wanted(unique=True))
    assert set(done.ended) == {"boundary"}
    assert done.refused["cut off"] > 0
    running = RUNNING.generate(samples=3, length=20, seed=2, wanted=Wanted(match="a"))
    assert set(running.ended) == {"length"}


def test_tries_are_bounded():
    done = LINES.generate(samples=3, seed=1, wanted=Wanted(match="z", tries=7))
    assert done.ended == ("refused",) * 3
    assert done.texts == ("",) * 3
    assert done.refused == {"not matching": 21}
    some = LINES.generate(samples=40, seed=1, wanted=Wanted(min_length=8, tries=2))
    assert 0 < some.ended.count("refused") < 40


def test_more_samples_than_rows(monkeypatch):
    expected = LINES.generate(samples=20, seed=6)
    monkeypatch.setattr(generation, "ROWS", 4)
    assert LINES.generate(samples=20, seed=6).ids == expected.ids


@pytest.mark.parametrize(
    "options",
    [
        {"match": "("},
        {"min_length": -1},
        {"max_length": -1},
        {"min_length": 5, "max_length": 4},
        {"tries": 0},
    ],
)
def test_what_cannot_be_wanted(options):
    with pytest.raises(UserError) as caught:
        Wanted(**options)
    assert caught.value.remedy


def test_the_texts_of_a_corpus_are_known_and_few_others():
    random = np.random.default_rng(0)
    texts = [random.integers(1, len(LETTERS), 8) for _ in range(5000)]
    known = KnownTexts.from_json(KnownTexts.of(texts, len(texts)).to_json())
    assert all(text in known for text in texts)
    others = [random.integers(1, len(LETTERS), 12) for _ in range(20000)]
    assert 0.004 < np.mean([text in known for text in others]) < 0.013
    assert np.zeros(0, np.int64) not in KnownTexts.of([], 0)
