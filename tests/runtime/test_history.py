"""The history of a session: how far apart states are kept, and what remains after a cut."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from textgen.contracts.errors import UserError
from textgen.contracts.tokenizer import Vocabulary
from textgen.runtime.history import FIRST_SPACING, KEPT_BYTES, History, Settings, Stretch

SETTINGS = Settings(seed=1)
VOCABULARY = Vocabulary((b"", b"a", b"b", b"\xe2\x98", b"\x83"), 0)


def written(symbols: int, state_size: int, boundary: int | None = None, text: int = 0) -> History:
    """A history of so many drawn symbols, texts of ``text`` of them each, that came in chunks."""
    history = History([(0, SETTINGS)], boundary)
    state = np.zeros(state_size, np.float32)
    for first in range(0, symbols, 250):
        ids = np.ones(min(250, symbols - first), np.int64)
        if text:
            ids[(first + np.arange(len(ids)) + 1) % text == 0] = 0
        history.draw(ids.tolist())
        history.keep(state)
    return history


@pytest.mark.parametrize("state_size", [8, 2048, 100_000, KEPT_BYTES])
@pytest.mark.parametrize("symbols", [0, 200, 3_000, 100_000, 400_000])
def test_states_stay_small_and_near(state_size, symbols):
    history = written(symbols, state_size)
    places = [at for at, _ in history.kept]
    assert sum(state.nbytes for _, state in history.kept) <= KEPT_BYTES
    assert np.diff([0, *places, symbols]).max(initial=0) < history.spacing + 250
    # no farther apart than the bytes ask for
    twice = symbols // (history.spacing // 2) + 1
    assert history.spacing == FIRST_SPACING or twice * state_size * 4 > KEPT_BYTES


def test_short_texts_need_no_states():
    """The beginning of a text is known."""
    assert not written(50_000, 8, boundary=0, text=100).kept
    assert written(50_000, 8, boundary=None, text=100).kept


def test_stretches():
    history = History([(0, SETTINGS)], 0)
    history.feed(np.array([1, 0, 2]))  # a boundary that was given ends nothing
    history.feed(np.array([1]))
    history.draw([1, 2, 0, 1])
    other = Settings(seed=2)
    history.change(other)
    history.draw([2])
    history.feed(np.array([2]))
    assert list(history.stretches(0, 10)) == [
        Stretch(0, 4, True, SETTINGS),
        Stretch(4, 7, False, SETTINGS),
        Stretch(7, 8, False, SETTINGS),
        Stretch(8, 9, False, other),
        Stretch(9, 10, True, other),
    ]
    assert [history.drawn_before(place) for place in (0, 2, 4, 5, 9, 10)] == [0, 0, 0, 1, 5, 5]
    assert [history.begin_of(place) for place in (0, 6, 7, 10)] == [0, 0, 7, 7]
    assert history.text(VOCABULARY) == "abaab\nabb"
    for place in range(11):
        cut = history.copy()
        cut.cut(place)
        assert list(cut.stretches(0, place)) == list(history.stretches(0, place))
        assert cut.settings_at(place) == history.settings_at(place)
        found = cut.copy()
        found.find_begins()
        assert found.begins == cut.begins == [begin for begin in history.begins if begin <= place]
    assert len(history) == 10


@pytest.mark.parametrize("place", [-1, 11])
def test_places_that_are_none(place):
    history = written(10, 1)
    with pytest.raises(UserError, match="10"):
        history.cut(place)
    with pytest.raises(UserError, match="10"):
        history.back(place)


def test_half_a_character_waits_for_its_other_half():
    snow, man = 3, 4
    for parts in itertools.product([[snow, man]], [[snow], []], [[1]]):
        history = History([(0, SETTINGS)], None)
        for part in parts[:-1]:
            history.draw(part)
        history.change(Settings(seed=5))
        assert history.text(VOCABULARY) == "\u2603"
        history.draw([man])
        whole = "\u2603" if parts[1] else "\ufffd"
        assert history.text(VOCABULARY) == f"\u2603{whole}"
    history = History([(0, SETTINGS)], 0)
    history.draw([snow])
    history.feed(np.array([1, snow]))  # what was given is no half of what was drawn
    history.draw([man, snow, 0, 1])
    assert history.text(VOCABULARY) == "a\ufffd\ufffd\ufffd\na"
