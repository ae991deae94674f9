"""Scoring: the cross-entropy of texts, symbol by symbol."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from step_models import BYTES, loaded, lstm, memory
from textgen.runtime import scoring


def by_steps(model, text, *, ends):
    """Naive: one step at a time, in double precision."""
    ids, _ = model.encode(text)
    targets = [*ids.tolist(), *([model.vocabulary.boundary] if ends else [])]
    state, token, nats = model.initial_state(), model.vocabulary.boundary, []
    for target in targets:
        logits, state = model.step(np.array([token]), state)
        row = logits[0].astype(float)
        nats.append(np.log(np.exp(row - row.max()).sum()) + row.max() - row[target])
        token = target
    return nats


@pytest.mark.parametrize("documents", ["lines", "files", "none", "\n\n"])
@pytest.mark.parametrize("made", [lstm, memory])
def test_it_is_the_sum_over_steps(made, documents):
    model = loaded(made(documents=documents, seed=4))
    score = model.score("abc abj.\nfgh")
    expected = by_steps(model, "abc abj.\nfgh", ends=documents in ("lines", "\n\n"))
    np.testing.assert_allclose(score.per_symbol, expected, rtol=1e-5)
    assert score.symbols == len(expected)
    assert score.nats == pytest.approx(sum(expected), rel=1e-6)
    assert score.bits == pytest.approx(score.nats / math.log(2))
    assert score.nats_per_symbol == pytest.approx(np.mean(expected), rel=1e-6)


def test_texts_do_not_see_each_other():
    model = loaded(lstm(layers=2))
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("abcdefghij .\n"), n)) for n in (0, 1, 90, 7, 33, 1500)]
    texts += ["abc"] * 40
    for text, score in zip(texts, model.score_all(texts), strict=True):
        np.testing.assert_array_equal(score.per_symbol, model.score(text).per_symbol)
        assert score.symbols == len(text)


def test_chunks_change_nothing(monkeypatch):
    model = loaded(memory())
    text = "abcdefghij .\n" * 30
    whole = model.score(text)
    monkeypatch.setattr(scoring, "CHUNK", 7)
    np.testing.assert_array_equal(model.score(text).per_symbol, whole.per_symbol)


def test_what_is_unknown_is_left_out_and_named():
    model = loaded(lstm())
    score = model.score("a\u2603b\u2603\ud800")
    assert score.symbols == 2
    assert score.unknown[0] == "\u2603"
    assert len(score.unknown) == 2
    assert score.nats == model.score("ab").nats


def test_nothing_scores_nothing():
    score = loaded(lstm()).score("")
    assert (score.symbols, score.nats, score.bits_per_symbol) == (0, 0.0, 0.0)


def test_a_model_finds_its_own_text_likely():
    model = loaded(lstm(seed=6))
    own = model.generate(length=12_000, temperature=1, seed=0).text
    shuffled = "".join(np.random.default_rng(0).permutation(list(own)))
    assert model.score(own).nats_per_symbol < model.score(shuffled).nats_per_symbol - 0.03


def test_characters_are_counted_whatever_the_symbols_are():
    for symbols in (BYTES, (*BYTES, "\u65e5\u672c".encode(), b"\xa9ab")):
        score = loaded(lstm(symbols=symbols, documents="lines")).score("a\u65e5\u672c\u00e9ab")
        assert score.characters == 6
        assert score.bits_per_character == pytest.approx(score.bits / 6)


def test_it_is_json():
    score = loaded(lstm()).score("abc")
    told = json.loads(json.dumps(score.to_json()))
    assert told["nats"] == score.nats
    assert told["bits_per_symbol"] == score.bits_per_symbol
