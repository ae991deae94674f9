"""Documents in order, together or in parts, in one pass or in cold windows: the same figures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from step_models import BYTES, loaded, lstm, memory, sealed
from textgen.contracts.reader import Document
from textgen.model_file import ModelInfo
from textgen.registry import discover
from textgen.runtime import document_scoring, scoring
from textgen.runtime.document_scoring import score_documents
from textgen.runtime.model import Model

RANDOM = np.random.default_rng(0)


def known(made: tuple[Any, ModelInfo]) -> Model:
    """The model with the tokenizer of its characters."""
    characters = discover().load("tokenizer", "characters")
    tokenizer = characters.from_json(made[1].vocabulary, {})
    return Model(sealed(made), tokenizer, lambda name: None)


def text_of(length: int) -> str:
    return "".join(RANDOM.choice(list("abcdefghij .\n"), length).tolist())


def documents_of(texts: list[str], size: int) -> Iterator[Document]:
    for number, text in enumerate(texts):
        pieces = tuple(text[i : i + size] for i in range(0, len(text), size))
        yield Document(f"d{number}", iter(pieces))


@pytest.mark.parametrize("documents", ["files", "lines"])
@pytest.mark.parametrize("held", [1, 50, 400, 1 << 20])
def test_they_cost_what_each_does_alone(documents, held, monkeypatch):
    model = known(lstm(documents=documents))
    lengths = (3, 0, 120, 7, 700, 41, 300, 0, 5, 1500)
    texts = [text_of(n) for n in lengths]
    monkeypatch.setattr(document_scoring, "HELD", held)
    found = list(score_documents(model, documents_of(texts, 37)))
    assert [scored.name for scored in found] == [f"d{n}" for n in range(len(texts))]
    for text, scored in zip(texts, found, strict=True):
        alone = model.score(text)
        assert scored.total.symbols == alone.symbols
        assert scored.total.characters == alone.characters == len(text)
        assert scored.total.nats == pytest.approx(alone.nats, rel=1e-12)
        assert scored.text in (text, None)


def test_only_so_much_is_held(monkeypatch):
    """Pieces are asked for as they are needed, and let go."""
    monkeypatch.setattr(document_scoring, "HELD", 1000)
    ahead = []

    def pieces():
        for number in range(60):
            ahead.append(number)
            yield "abc. " * 100

    model = known(lstm(hidden=4))
    reading = model.encoder.parts(pieces(), "long")
    assert len(next(reading)[0]) == 500 and len(ahead) == 1
    (found,) = score_documents(model, [Document("long", pieces())])
    assert found.total.symbols == 60 * 500 and found.text is None
    begun = score_documents(model, itertools.cycle([Document("d", ("abc",) * 200)]))
    assert next(begun).name == "d"  # without waiting for the end


def test_windows_are_each_read_from_the_boundary_and_one_symbol():
    """As training's evaluation reads them; by single steps, here."""
    model = known(memory(documents="lines"))
    text = text_of(530)
    ids = [0, *model.encode(text)[0].tolist(), 0]
    expected = []
    for low in range(1, len(ids), 20):
        state = model.initial_state()
        read = ids[:1] if low == 1 else [ids[0], ids[low - 1]]
        for place, target in enumerate(ids[low : low + 20], start=low):
            for token in read:
                logits, state = model.step(np.array([token]), state)
            row = logits[0].astype(float)
            expected.append(np.log(np.exp(row - row.max()).sum()) + row.max() - row[target])
            read = [ids[place]]
    for size in (11, 530):
        (found,) = score_documents(model, documents_of([text], size), windows=20)
        assert found.total.symbols == len(expected) == 531
        assert found.total.nats == pytest.approx(sum(expected), rel=1e-6)
    (whole,) = score_documents(model, documents_of([text], 100), windows=10_000)
    assert whole.total.nats == pytest.approx(model.score(text).nats, rel=1e-12)


def test_no_text_and_what_is_unknown():
    model = known(lstm())
    assert list(score_documents(model, [])) == []
    for windows in (None, 4):
        nothing, strange = score_documents(
            model, [Document("a", ()), Document("b", ("ab\u2603", "c\u2603?"))], windows=windows
        )
        assert (nothing.total.symbols, nothing.total.nats) == (0, 0.0)
        assert strange.total.unknown == ("\u2603", "?")
        assert strange.total.symbols == 3


def test_a_symbol_over_the_edge_of_a_piece_is_one():
    """Words are cut where they end, and half a character waits for the rest."""
    registry = discover()
    words = registry.load("tokenizer", "words")
    text = "the caf\u00e9 at the sea, the sea. " * 40
    tokenizer = words.learn([Document("d", (text,))], words.Options())
    graph, info = lstm(symbols=tokenizer.symbols)
    info = replace(info, vocabulary=tokenizer.vocabulary)
    model = Model(sealed((graph, info)), tokenizer, lambda name: None)
    ids = model.encode(text)[0].tolist()
    for size in (1, 7, 64):
        parts = model.encoder.parts((text[i : i + size] for i in range(0, len(text), size)), "d")
        assert list(itertools.chain(*(part.tolist() for part, _ in parts))) == ids
    plain = loaded(lstm(symbols=BYTES))  # without its plugin
    ((whole, unknown),) = plain.encoder.parts(iter(["caf\u00e9", " \u2603"]), "d")
    assert len(whole) == len("caf\u00e9 \u2603".encode()) and not unknown


def test_texts_that_have_ended_are_not_read_on(monkeypatch):
    """A long text among short ones costs little more than alone."""
    model = loaded(lstm())
    read = []
    really = scoring.TextReader.read

    def counted(self, place, forced):
        read.append(forced.size)
        return really(self, place, forced)

    monkeypatch.setattr(scoring.TextReader, "read", counted)
    texts = [text_of(n) for n in (5000, *range(1, 200))]
    model.score_all(texts)
    assert sum(read) < 1.15 * sum(map(len, texts))
    assert len(read) < 60
