"""Beam search: exhaustive with beams enough, greedy with one, and scored as texts are."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from awkward.samplers import Tired
from step_models import BYTES, loaded, lstm, memory
from textgen.contracts.errors import PluginError, UserError
from textgen.contracts.options import build_options
from textgen.contracts.sampler import Sampler

FEW = (b"", b"a", b"b", b"ca")
LENGTH = 4
ENOUGH = len(FEW) ** LENGTH

MODEL = loaded(lstm())
LINES = loaded(lstm(documents="lines", seed=3))
OCTETS = loaded(lstm(symbols=BYTES, seed=2))
MATRIX = loaded(memory(documents="lines", seed=2))
SMALL = {
    "lines": loaded(lstm(symbols=FEW, documents="lines", seed=5, layers=2)),
    "running text": loaded(lstm(symbols=FEW, seed=6)),
    "a matrix as state": loaded(memory(symbols=FEW, documents="lines", seed=1)),
}


def cost(model, prompt, ids):
    """The nats that ``ids`` cost after the prompt, as scoring finds them."""
    before = model.encode(prompt)[0]
    (nats,) = model.score_ids([np.concatenate([before, np.array(ids, np.int64)])])
    return nats[len(before) :].sum(dtype=np.float64)


def spelt(model, ids):
    return b"".join(model.vocabulary.symbols[i] for i in ids).decode("utf-8", "replace")


def all_texts(model, stop=()):
    """Every text of at most LENGTH symbols: its ids, the boundary that ends it included, the text
    itself, and why it ends."""
    boundary = model.vocabulary.boundary
    symbols = [i for i in range(model.vocabulary.size) if i != boundary]
    for size in range(LENGTH + 1):
        for ids in itertools.product(symbols, repeat=size):
            *before, text = (spelt(model, ids[:end]) for end in range(size + 1))
            if any(string in earlier for string in stop for earlier in before):
                continue
            places = [text.find(string) for string in stop if string in text]
            if places:
                yield ids, text[: min(places)], "stop"
            elif size == LENGTH:
                yield ids, text, "length"
            elif model.info.ends:
                yield (*ids, boundary), text, "boundary"


def exhaustive(model, prompt, length_penalty=0.0, stop=(), taken=lambda ids: 0.0):
    """All texts with their scores, the best first. ``taken`` are nats that samplers take."""
    found = []
    for ids, text, ended in all_texts(model, stop):
        total = -cost(model, prompt, ids) - taken(ids)
        found.append((total / ((5 + len(ids)) / 6) ** length_penalty, text, ended))
    return sorted(found, reverse=True)


def agree(found, expected):
    """Whether the texts found are the first of those expected."""
    assert found
    for hypothesis, (score, text, ended) in zip(found, expected, strict=False):
        assert (hypothesis.text, hypothesis.ended) == (text, ended)
        assert hypothesis.score == pytest.approx(score, rel=1e-5)


@pytest.mark.parametrize("length_penalty", [0, 0.6, 1, 3])
@pytest.mark.parametrize("prompt", ["", "aba"])
@pytest.mark.parametrize("name", SMALL)
def test_with_beams_enough_it_is_exhaustive(name, prompt, length_penalty):
    options = {"length": LENGTH, "length_penalty": length_penalty}
    found = SMALL[name].beam_search(prompt, beams=ENOUGH, best=12, **options)
    assert len(found) == 12
    agree(found, exhaustive(SMALL[name], prompt, length_penalty))


@pytest.mark.parametrize("stop", [("a",), ("ba", "ac"), ("aa", "bca", "c")])
@pytest.mark.parametrize("name", SMALL)
def test_it_ends_before_stop_strings(name, stop):
    options = {"length": LENGTH, "stop": stop, "length_penalty": 1}
    found = SMALL[name].beam_search(beams=ENOUGH, best=12, **options)
    agree(found, exhaustive(SMALL[name], "", 1, stop))
    assert not any(string in hypothesis.text for hypothesis in found for string in stop)


def test_what_ends_leaves_its_place_to_what_does_not():
    """However unlikely: all letters but one end the text, and a long text is wanted."""
    logits, _ = MODEL.step(np.array([0]), MODEL.initial_state(1))
    rare = 1 + int(logits[0, 1:].argmin())
    letters = [symbol.decode() for symbol in MODEL.vocabulary.symbols]
    stop = [letter for letter in letters[1:] if letter != letters[rare]]
    (found,) = MODEL.beam_search(beams=1, length=6, length_penalty=10, stop=stop)
    assert found.text == 5 * letters[rare]


@pytest.mark.parametrize("name", SMALL)
def test_no_more_than_there_are(name):
    found = SMALL[name].beam_search(beams=ENOUGH, best=ENOUGH, length=LENGTH)
    expected = exhaustive(SMALL[name], "")
    assert len(found) == len(expected) < ENOUGH
    agree(found, expected)


@pytest.mark.parametrize("stop", [(), ("ab", "j"), ("\n",)])
@pytest.mark.parametrize("prompt", ["", "a", "bad cab", "jig"])
@pytest.mark.parametrize("model", [MODEL, LINES, OCTETS, MATRIX])
def test_with_one_beam_it_is_greedy(model, prompt, stop):
    options = {"length": 60, "stop": stop}
    greedy = model.generate(prompt, temperature=0, **options)
    (found,) = model.beam_search(prompt, beams=1, **options)
    assert (found.text, found.ids, found.ended) == (greedy.text, greedy.ids[0], greedy.ended[0])


@pytest.mark.parametrize("model", [MODEL, LINES, OCTETS, MATRIX])
def test_its_scores_are_those_of_scoring(model):
    found = model.beam_search("bad", beams=7, best=7, length=40)
    assert len({hypothesis.ids for hypothesis in found}) == 7
    for hypothesis in found:
        ids = [*hypothesis.ids, *[model.vocabulary.boundary] * (hypothesis.ended == "boundary")]
        assert hypothesis.nats == pytest.approx(cost(model, "bad", ids), rel=1e-5)
        assert hypothesis.nats_per_symbol == hypothesis.nats / len(ids)
        assert hypothesis.score == pytest.approx(-hypothesis.nats)
        assert hypothesis.text == spelt(model, hypothesis.ids)
    scores = [hypothesis.score for hypothesis in found]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("length_penalty", [0, 0.7, 2])
@pytest.mark.parametrize("model", [LINES, MATRIX])
def test_it_stops_early_and_loses_nothing(model, length_penalty):
    """A search for few is over before one for many, and finds their first."""
    options = {"beams": 6, "length": 80, "length_penalty": length_penalty}
    many = model.beam_search("a", best=6, **options)
    for best in (1, 2, 5):
        assert model.beam_search("a", best=best, **options) == many[:best]


def test_it_does_not_go_on_where_nothing_better_can_come():
    steps = []

    class Counted(Sampler):
        before_temperature = True

        def adjust(self, logits, state, options):
            steps.append(len(logits))
            return logits

    model = SMALL["lines"]
    options = {"samplers": [Counted(model.vocabulary, None)], "length": 100_000}
    assert model.beam_search(beams=4, **options)[0].ended == "boundary"
    assert len(steps) < 100
    assert max(steps) <= 4


@pytest.mark.parametrize("prompt", ["", "ab"])
@pytest.mark.parametrize(
    ("choices", "allowed"),
    [
        ([("forbid", {"text": "b"})], lambda text: "b" not in text),
        ([("only", {"text": "b"})], lambda text: set(text) <= {"b"}),
        ([("begin", {"text": "bc"})], lambda text: text.startswith("bca")),
        (
            [("begin", {"text": "b"}), ("forbid", {"text": "c"})],
            lambda text: text.startswith("b") and "c" not in text,
        ),
    ],
)
@pytest.mark.parametrize("name", SMALL)
def test_what_is_forbidden_is_not_found_and_makes_nothing_likelier(name, choices, allowed, prompt):
    """The likeliest of the texts that are allowed, each with the model's own probability."""
    model = SMALL[name]
    found = model.beam_search(prompt, beams=ENOUGH, best=ENOUGH, length=LENGTH, samplers=choices)
    kept = [entry for entry in exhaustive(model, prompt) if allowed(entry[1])]
    assert len(found) == len(kept)
    agree(found, kept)


def test_penalties_count_in_the_score_and_not_in_the_nats():
    def taken(ids):
        return 0.5 * sum(symbol in ids[:place] for place, symbol in enumerate(ids))

    model = SMALL["running text"]
    options = {"beams": ENOUGH, "best": 12, "length": LENGTH}
    found = model.beam_search(samplers=[("presence", {"penalty": 0.5})], **options)
    agree(found, exhaustive(model, "", taken=taken))
    for hypothesis in found:
        assert hypothesis.nats == pytest.approx(cost(model, "", hypothesis.ids), rel=1e-5)


def test_what_samplers_give_makes_nothing_likelier_than_certain():
    found = LINES.beam_search(samplers=[("presence", {"penalty": -50})], length=30)
    assert all(hypothesis.score <= 0 < hypothesis.nats for hypothesis in found)


def test_samplers_without_a_graph_form_hear_the_prompt_and_each_beginning():
    class Early(Tired):
        before_temperature = True

    options = build_options(Tired.Options, {"strength": 2}, "test")
    (found,) = MODEL.beam_search("aaab", samplers=[Early(MODEL.vocabulary, options)], length=20)
    (other,) = MODEL.beam_search("aaab", samplers=[("frequency", {"penalty": 2})], length=20)
    assert found == other != MODEL.beam_search("aaab", length=20)[0]


def test_of_equals_the_first_is_found():
    class Even(Sampler):
        before_temperature = True

        def adjust(self, logits, state, options):
            return np.where(np.isfinite(logits), np.float32(-1e30), logits)

    found = MODEL.beam_search(samplers=[Even(MODEL.vocabulary, None)], best=3, length=3)
    assert [hypothesis.text for hypothesis in found] == ["aaa", "aab", "aac"]
    again = MODEL.beam_search(samplers=[Even(MODEL.vocabulary, None)], best=3, length=3)
    assert again == found


def test_a_sampler_that_forbids_everything():
    class Mute(Sampler):
        before_temperature = True

        def adjust(self, logits, state, options):
            return np.full_like(logits, -np.inf)

    with pytest.raises(PluginError, match="left no symbol"):
        MODEL.beam_search(samplers=[Mute(MODEL.vocabulary, None)])


@pytest.mark.parametrize("sampler", ["greedy", "temperature", "top-k", "top-p", "mirostat"])
def test_what_shapes_a_draw_is_refused(sampler):
    with pytest.raises(UserError, match="draws nothing"):
        MODEL.beam_search(samplers=["repetition", sampler])


@pytest.mark.parametrize(
    "options",
    [
        {"beams": 0},
        {"beams": -1},
        {"best": 0},
        {"beams": 2, "best": 3},
        {"length": -1},
        {"length_penalty": -0.1},
        {"length_penalty": float("nan")},
        {"length_penalty": float("inf")},
        {"stop": ("",)},
        {"samplers": ["no-such"]},
    ],
)
def test_impossible_options(options):
    with pytest.raises(UserError) as caught:
        MODEL.beam_search("a", **options)
    assert caught.value.remedy


def test_nothing_to_write():
    (found,) = LINES.beam_search("a", length=0)
    assert (found.text, found.ids, found.ended, found.nats) == ("", (), "length", 0)


def test_bytes_that_are_no_text():
    found = OCTETS.beam_search("a", beams=4, best=4, length=30)
    for hypothesis in found:
        assert hypothesis.text == spelt(OCTETS, hypothesis.ids)


def test_it_is_json():
    (found,) = MODEL.beam_search("a", length=5)
    told = json.loads(json.dumps(found.to_json()))
    assert told["text"] == found.text and told["ids"] == list(found.ids)
    assert told["nats"] == pytest.approx(5 * told["nats_per_symbol"])
