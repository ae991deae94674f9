"""Forced beginnings: a text begins as it must, whatever the prompt, however it is spelt."""

from __future__ import annotations

import numpy as np
import pytest
from sampler_forms import both_forms, chain_of, letters

from step_models import BYTES, loaded, lstm, memory
from textgen.contracts.errors import UserError
from textgen.contracts.sampler import Sampler
from textgen.contracts.tokenizer import Vocabulary

ABC = letters(5)  # boundary a b c d
WORDS = Vocabulary((b"", *(w.encode() for w in ["a", "b", "t", "h", "e", " the", " th", "bé"])), 0)
MODEL = loaded(lstm())
LINES = loaded(lstm(documents="lines", seed=3))
TEXTS = ["a", "bad cab", "jjjjjjjjjj", "\n\n"]


def begun(text):
    return [("begin", {"text": text})]


def due(vocabulary, text, history=()):
    """The symbols that may be written after ``history``; both forms agree."""
    logits = np.zeros((1, vocabulary.size), np.float32)
    ids = np.array(history, np.int64)[:, None]
    both = both_forms(logits, *begun(text), history=ids, vocabulary=vocabulary)
    np.testing.assert_array_equal(*both)
    return [vocabulary.symbols[i] for i in np.flatnonzero(np.isfinite(both[0][0]))]


def test_one_character_after_the_other_then_any():
    assert due(ABC, "ca") == [b"c"]
    assert due(ABC, "ca", [3]) == [b"a"]
    assert due(ABC, "ca", [3, 1]) == due(ABC, "ca", [3, 1, 4, 0]) == list(ABC.symbols)
    assert due(ABC, "") == list(ABC.symbols)


def test_however_it_is_spelt():
    """The model chooses among spellings; the last symbol may hold more than the end of the text."""
    assert due(WORDS, "a the") == [b"a"]
    assert due(WORDS, "a the", [1]) == [b" the", b" th"]
    assert due(WORDS, "a the", [1, 7]) == [b"e"]
    assert due(WORDS, " t") == [b" the", b" th"]
    assert due(WORDS, "b") == [b"b", "bé".encode()]


def test_no_spelling_leads_nowhere():
    """After " the" comes "y", and after " th" there is no symbol that begins with "ey"."""
    vocabulary = Vocabulary((b"", b" the", b" th", b"y", b"x"), 0)
    assert due(vocabulary, " they") == [b" the"]


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("prompt", ["", "abc", "bad", "b"])
@pytest.mark.parametrize("text", TEXTS)
def test_it_comes_after_the_prompt(text, prompt, samples):
    done = LINES.generate(prompt, length=40, samples=samples, seed=1, samplers=begun(text))
    assert all(written.startswith(text) for written in done.texts)
    alone = LINES.generate(prompt + text, length=40 - len(text), temperature=0)
    done = LINES.generate(prompt, length=40, samplers=begun(text), temperature=0)
    assert done.text == text + alone.text


def test_whatever_cuts_after_it():
    options = {"top_k": 1, "samplers": begun("bad cab"), "seed": 0, "length": 20}
    assert MODEL.generate("abc", **options).text.startswith("bad cab")


def test_characters_of_several_bytes():
    model = loaded(lstm(symbols=BYTES, seed=2))
    text = "né \u2603"
    assert model.generate("é", length=20, seed=1, samplers=begun(text)).text.startswith(text)


def test_every_text_of_a_session_begins_so():
    session = LINES.session(seed=4, samplers=begun("cab"))
    session.feed("abba")
    texts = [session.write(400) for _ in range(4)]
    assert len(set(texts)) == 4
    assert all(text.startswith("cab") for text in texts)
    running = MODEL.session(seed=4, samplers=begun("cab"))
    parts = [running.write(2), running.write(2)]  # one text, so it begins once
    assert "".join(parts) == MODEL.generate(length=4, seed=4, samplers=begun("cab")).text
    assert "".join(parts).startswith("cab")


def test_what_no_symbol_can_begin_is_named():
    with pytest.raises(UserError) as caught:
        chain_of(*begun("aéb\n"), vocabulary=ABC)
    assert "'é'" in caught.value.problem and r"'\n'" in caught.value.problem
    assert "'a'" not in caught.value.problem
    with pytest.raises(UserError, match="'hb'"):  # each can be written, but not side by side
        chain_of(*begun("hb"), vocabulary=Vocabulary((b"", b"hx", b"b"), 0))
    with pytest.raises(UserError, match="too long"):
        chain_of(*begun("a" * (1 << 24)), vocabulary=ABC)


def test_where_what_is_due_was_forbidden_the_likeliest_stays():
    logits = [[0, -np.inf, 2, 1, -np.inf]]
    for found in both_forms(logits, *begun("ab"), vocabulary=ABC):
        assert np.isfinite(found).tolist() == [[False, False, True, False, False]]


class Counting(Sampler):
    """Has states of several shapes, hears nothing that is given, and writes the letter whose turn
    it is."""

    hears_prompt = False

    def state_shapes(self):
        return {"flat": (), "matrix": (2, 3)}

    def adjust(self, logits, state, options):
        turn = 1 + state["matrix"].sum(axis=(1, 2)).astype(int) // 6 % 3
        chosen = np.arange(logits.shape[1]) == turn[:, None]
        return np.where(chosen, np.float32(0), np.float32(-np.inf))

    def accept(self, ids, logprobs, state):
        return {name: value + np.float32(1) for name, value in state.items()}


class CountingInGraph(Counting):
    """The same in both forms."""

    def adjust(self, logits, state, options):
        return super().adjust(logits, state, options)

    def accept(self, ids, logprobs, state):
        return super().accept(ids, logprobs, state)

    def adjust_graph(self, graph, logits, state, options):
        def constant(values, dtype=np.float32):
            return graph.constant(np.array(values, dtype))

        counted = graph.op("ReduceSum", state["matrix"], constant([1, 2], np.int64), keepdims=0)
        turn = graph.op("Mod", graph.op("Div", counted, constant(6)), constant(3), fmod=1)
        turn = graph.op("Unsqueeze", graph.op("Add", turn, constant(1)), constant([1], np.int64))
        chosen = graph.op("Equal", constant([range(self.vocabulary.size)]), turn)
        return graph.op("Where", chosen, constant(0), constant(-np.inf))

    def accept_graph(self, graph, ids, logprobs, state, options):
        one = graph.constant(np.array(1, np.float32))
        return {name: graph.op("Add", value, one) for name, value in state.items()}


@pytest.mark.parametrize("kind", [Counting, CountingInGraph])
@pytest.mark.parametrize("made", [lstm(), memory()])
def test_states_of_any_shape_wait_for_the_first_symbol(made, kind):
    model = loaded(made)
    sampler = kind(model.vocabulary, None)
    chain = model.chain(samplers=[sampler])
    assert chain.in_graph == (kind is CountingInGraph)
    for prompt in ("", "a", "dead"):
        assert model.generate(prompt, length=5, samplers=[sampler], samples=2).text == "abcab"
