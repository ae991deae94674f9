"""Generation: text that comes in chunks and ends where it should."""

from __future__ import annotations

import json

import numpy as np
import pytest

from awkward.samplers import Tired
from step_models import BYTES, LETTERS, loaded, lstm, memory
from textgen.contracts.errors import PluginError, UserError
from textgen.contracts.options import build_options
from textgen.contracts.sampler import Sampler
from textgen.runtime import writer
from textgen.runtime.writer import Limits

MODEL = loaded(lstm())
LINES = loaded(lstm(documents="lines", seed=3))
OCTETS = loaded(lstm(symbols=BYTES, seed=2))


def test_the_same_seed_writes_the_same_text():
    one, other = MODEL.generate("abc", seed=5, length=80), MODEL.generate("abc", seed=5, length=80)
    assert one.texts == other.texts
    assert one.symbols == len(one.ids[0]) == 80
    assert one.ended == ("length",)
    assert MODEL.generate("abc", seed=6, length=80).text != one.text
    assert MODEL.generate("cba", seed=5, length=80).text != one.text


def test_a_seed_is_chosen_and_told():
    first, second = MODEL.generate(length=60), MODEL.generate(length=60)
    assert first.seed != second.seed
    assert MODEL.generate(length=60, seed=first.seed).text == first.text


@pytest.mark.parametrize("seed", [0, 2**32, 2**64 - 1])
def test_any_seed_of_64_bits(seed):
    assert len(MODEL.generate(seed=seed, length=20).text) == 20


@pytest.mark.parametrize("options", [{}, {"top_p": 0.7, "min_p": 0.01}, {"temperature": 0}])
def test_samples_are_streams_of_the_seed(options):
    """The first samples of many are those of few, whatever runs beside them."""
    many = LINES.generate("ab", samples=12, length=70, seed=3, **options)
    few = LINES.generate("ab", samples=3, length=70, seed=3, **options)
    assert many.texts[:3] == few.texts
    assert many.ids[:3] == few.ids


def test_chunks_join_to_the_text_and_begin_early():
    chunks = list(MODEL.stream("a", length=600, samples=2, seed=1))
    whole = MODEL.generate("a", length=600, samples=2, seed=1)
    for stream in range(2):
        own = [chunk for chunk in chunks if chunk.stream == stream]
        assert "".join(chunk.text for chunk in own) == whole.texts[stream]
        assert sum((chunk.ids for chunk in own), ()) == whole.ids[stream]
        assert [chunk.ended for chunk in own] == [None] * (len(own) - 1) + ["length"]
        assert len(own[0].ids) <= 16


@pytest.mark.parametrize("first", [1, 5, 64])
def test_the_size_of_chunks_changes_nothing(monkeypatch, first):
    options = {"samples": 4, "length": 150, "seed": 8, "stop": ("ab", "hh", "j.")}
    expected = LINES.generate("c", **options)
    monkeypatch.setattr(writer, "_FIRST_CHUNK", first)
    monkeypatch.setattr(writer, "_BRIEF_CHUNK", first)
    monkeypatch.setattr(writer, "_PROMPT_CHUNK", 2)
    found = LINES.generate("c", **options)
    assert (found.texts, found.ids, found.ended) == (
        expected.texts,
        expected.ids,
        expected.ended,
    )


def test_a_text_of_lines_ends_at_the_boundary():
    done = LINES.generate(samples=40, length=400, seed=1)
    assert set(done.ended) == {"boundary"}
    assert len(set(done.texts)) > 10
    for ids in done.ids:
        assert LINES.vocabulary.boundary not in ids


def test_running_text_never_writes_the_boundary():
    done = MODEL.generate(samples=40, length=400, seed=1)
    assert set(done.ended) == {"length"}
    assert all(MODEL.vocabulary.boundary not in ids for ids in done.ids)


@pytest.mark.parametrize("stop", [("ab",), ("aba", "c"), ("\n", "ij."), ("z",)])
def test_stop_strings(stop):
    free = MODEL.generate(samples=8, length=200, seed=4)
    done = MODEL.generate(samples=8, length=200, seed=4, stop=stop)
    for whole, text, ids, ended in zip(free.texts, done.texts, done.ids, done.ended, strict=True):
        places = [(whole.find(s) + len(s), whole.find(s)) for s in stop if s in whole]
        if not places:
            assert (text, ended) == (whole, "length")
            continue
        complete, begins = min(places)
        assert (text, ended) == (whole[:begins], "stop")
        assert len(ids) == complete  # one letter a symbol


def test_what_may_begin_a_stop_string_is_held_back():
    text = MODEL.generate(length=300, seed=4).text
    stop = text[106:118]  # the third chunk ends within it, at 112
    shown = ""
    for chunk in MODEL.stream(length=300, seed=4, stop=(stop,)):
        shown += chunk.text
        assert text.startswith(shown)
        assert len(shown) <= text.index(stop)
    assert shown == text[: text.index(stop)]


def test_half_a_character_is_held_back():
    """A model of bytes never shows a part of a character before it is whole."""
    snowman = "\u2603".encode()

    class Snowmen(Sampler):
        """Writes the three bytes of a snowman over and over."""

        def state_shapes(self):
            return {"place": (1,)}

        def adjust(self, logits, state, options):
            wanted = np.array([snowman[int(place) % 3] + 1 for place in state["place"][:, 0]])
            chosen = np.arange(logits.shape[1]) == wanted[:, None]
            return np.where(chosen, np.float32(0), np.float32(-np.inf))

        def accept(self, ids, logprobs, state):
            return {"place": state["place"] + 1}

    samplers = [Snowmen(OCTETS.vocabulary, None)]
    chunks = [chunk.text for chunk in OCTETS.stream(length=100, samplers=samplers)]
    assert len(chunks) > 2
    assert set("".join(chunks[:-1])) == {"\u2603"}
    assert "".join(chunks) == "\u2603" * 33 + "\ufffd"  # a hundredth byte begins another


def test_bytes_that_are_no_text_become_replacements():
    done = OCTETS.generate(length=300, seed=1)
    joined = b"".join(OCTETS.vocabulary.symbols[i] for i in done.ids[0])
    assert done.text == joined.decode("utf-8", "replace")


@pytest.mark.parametrize("prompt", ["", "\0", "\ud800", "q\u00e9a", "a" * 9000, "\u2603" * 50])
def test_odd_prompts(prompt):
    done = MODEL.generate(prompt, length=10, seed=0)
    assert len(done.text) == 10
    left_out = {c for c in prompt if c.encode("utf-8", "replace") not in LETTERS or not c.isascii()}
    assert len(done.unknown) == len(left_out)


def test_the_prompt_takes_no_noise():
    """What follows a prompt is what follows the same symbols when they were written."""
    whole = MODEL.generate(length=60, seed=9, temperature=0)
    rest = MODEL.generate(whole.text[:25], length=35, temperature=0)
    assert whole.text[25:] == rest.text


def test_samplers_hear_the_prompt():
    heard = []

    class Listener(Tired):
        def accept(self, ids, logprobs, state):
            heard.append((ids.tolist(), logprobs.copy()))
            return super().accept(ids, logprobs, state)

    listener = Listener(MODEL.vocabulary, build_options(Tired.Options, {}, "test"))
    done = MODEL.generate("abc", length=4, samples=2, seed=0, samplers=[listener])
    assert [ids for ids, _ in heard[:3]] == [[1], [2], [3]]
    assert [ids for ids, _ in heard[3:]] == [list(pair) for pair in zip(*done.ids, strict=True)]
    # a prompt's symbols count as the model's own, whatever the samplers made of them
    expected = -MODEL.score("abc").per_symbol
    np.testing.assert_allclose([logprobs[0] for _, logprobs in heard[:3]], expected, rtol=1e-5)


def test_a_sampler_that_forbids_everything_is_named():
    class Mute(Sampler):
        def adjust(self, logits, state, options):
            return np.full_like(logits, -np.inf)

    with pytest.raises(PluginError, match="Mute left no symbol"):
        MODEL.generate(samplers=[Mute(MODEL.vocabulary, None)])


@pytest.mark.parametrize(
    "options",
    [
        {"length": -1},
        {"samples": 0},
        {"samples": 10**12},
        {"temperature": -1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"temperature": 1e-9},
        {"top_k": 0},
        {"top_k": 2**70},
        {"top_p": 0},
        {"top_p": 1.5},
        {"top_p": float("nan")},
        {"min_p": -0.1},
        {"min_p": 1e-60},
        {"seed": -1},
        {"seed": 2**64},
        {"seed": 1.5},
        {"stop": ("",)},
        {"samplers": ["no-such"]},
        {"samplers": [("top-k", {"q": 3})]},
    ],
)
def test_impossible_options(options):
    with pytest.raises(UserError) as caught:
        MODEL.generate("a", **options)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "options", [{"top_k": 10**6}, {"temperature": 1e-6}, {"temperature": 1e6}, {"top_p": 1.0}]
)
def test_extreme_options_still_write(options):
    assert len(MODEL.generate(length=30, seed=0, **options).text) == 30


def test_near_zero_temperature_is_greedy():
    cold = MODEL.generate(length=50, temperature=1e-6, seed=7)
    assert cold.text == MODEL.generate(length=50, temperature=0).text


def test_nothing_to_write():
    done = MODEL.generate("a", length=0, samples=3, seed=0)
    assert done.texts == ("", "", "")
    assert done.ended == ("length",) * 3


def test_it_is_json():
    done = loaded(memory()).generate("\ud800a", length=5, seed=2**64 - 1)
    told = json.loads(json.dumps(done.to_json()))
    assert told["texts"] == [done.text]
    assert told["seed"] == 2**64 - 1
    assert told["symbols"] == 5


def test_limits_refuse_what_cannot_be():
    with pytest.raises(UserError):
        Limits(-5)
