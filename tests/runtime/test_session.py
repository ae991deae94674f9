"""Sessions: a text goes on exactly where it stopped."""

from __future__ import annotations

import numpy as np
import pytest

from awkward.samplers import Surprised, Tired
from step_models import BYTES, loaded, lstm, memory
from textgen.contracts.errors import UserError
from textgen.contracts.options import build_options

MODELS = {"lstm": loaded(lstm()), "memory": loaded(memory()), "bytes": loaded(lstm(symbols=BYTES))}


@pytest.mark.parametrize("stateful", [None, Tired, Surprised])
@pytest.mark.parametrize("name", MODELS)
def test_parts_are_the_whole(name, stateful):
    model = MODELS[name]
    samplers = []
    if stateful:
        samplers = [stateful(model.vocabulary, build_options(stateful.Options, {}, "test"))]
    whole = model.generate("abc", length=90, seed=6, samplers=samplers).text
    session = model.session(seed=6, samplers=samplers)
    assert session.feed("abc") == []
    parts = [session.write(length) for length in (1, 0, 17, 40, 32)]
    written = "".join(parts) + session._decoder.end()  # generate ends, a session may go on
    assert written == whole
    assert session.position == 90


def test_a_fork_goes_on_by_itself():
    model = MODELS["memory"]
    session = model.session(seed=1)
    session.feed("ab")
    session.write(20)
    twin, other = session.fork(), session.fork()
    assert twin.write(30) == session.write(30)
    other.feed("jjj")
    assert other.write(30) != twin.fork().write(30)
    np.testing.assert_array_equal(session.state["layer0.m"], twin.state["layer0.m"])


def test_what_is_fed_reads_as_if_written():
    model = MODELS["lstm"]
    one, other = model.session(seed=2), model.session(seed=2)
    assert one.feed("a\u2603b") == ["\u2603"]
    other.feed(np.array([1, 2]))
    assert one.write(40) == other.write(40)
    with pytest.raises(UserError):
        one.feed(np.array([999]))


def test_a_stop_string_leaves_the_state_behind_it():
    """Stopped in the middle of a chunk, the session goes on from there."""
    model = MODELS["lstm"]
    whole = model.generate(length=200, seed=4).text
    stop = whole[30:33]
    session = model.session(seed=4)
    assert session.write(200, stop=[stop]) == whole[: whole.index(stop)]
    read = whole.index(stop) + len(stop)
    assert session.position == read
    assert session.write(200 - read) == whole[read:]


def test_a_text_that_ended_is_followed_by_another():
    model = loaded(lstm(documents="lines", seed=3))
    session = model.session(seed=1)
    texts, positions = [], []
    for _ in range(6):
        texts.append(session.write(500))
        positions.append(session.position)
    assert len(set(texts)) > 3
    # each boundary took its noise, so the next text does not begin with the same
    assert positions == [sum(len(text) + 1 for text in texts[: n + 1]) for n in range(6)]


def test_a_stream_left_early_changes_nothing():
    model = MODELS["lstm"]
    session = model.session(seed=3)
    next(session.stream(400))
    assert session.position == 0
    assert session.write(50) == model.generate(length=50, seed=3).text
