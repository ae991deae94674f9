"""What is held back: a small share, whole documents where they are short, never learnt."""

from __future__ import annotations

import numpy as np
import pytest

from textgen.training.held_back import MOST, SpansWithout, hold_back


def spans_of(lengths):
    ends = np.cumsum(np.asarray(lengths) + 1)
    return np.stack([ends - lengths, ends], axis=1)


def held_back(lengths):
    learnt, held = hold_back(spans_of(lengths), int(np.sum(lengths)))
    return learnt[:], held, int((held[:, 1] - held[:, 0]).sum())


def assert_shared_out(lengths, learnt, held):
    """Every symbol is learnt or held back, none is both."""
    whole = np.zeros(int(np.sum(np.asarray(lengths) + 1)) + 1, np.int64)
    for start, end in [*learnt, *held]:
        whole[start:end] += 1
    expected = np.zeros_like(whole)
    for start, end in spans_of(lengths):
        expected[start:end] = 1
    assert (whole == expected).all()


@pytest.mark.parametrize(
    ("lengths", "symbols"),
    [
        ([1_000_000], 25_000),
        ([50_000_000], MOST),
        ([40_000], 2048),
        ([9_000], 900),
        ([300_000, 80_000, 20_000], 10_000),
        ([7] * 30_000, 5_250),
        ([40 + i % 90 for i in range(5_000)], 10_600),
        ([2_000_000, *[30] * 2_000], 51_500),
    ],
)
def test_a_share_is_held_back_and_the_rest_is_learnt(lengths, symbols):
    learnt, held, count = held_back(lengths)
    assert symbols / 2 <= count <= symbols * 1.01
    if sum(lengths) < 5_000_000:
        assert_shared_out(lengths, learnt, held)


def test_short_documents_are_held_back_whole_from_everywhere():
    lengths = np.random.default_rng(0).integers(3, 60, 20_000)
    spans = spans_of(lengths)
    learnt, held, _ = held_back(lengths)
    whole = {tuple(span) for span in spans.tolist()}
    assert {tuple(span) for span in held.tolist()} < whole
    assert len(learnt) + len(held) == len(spans)
    places = held[:, 0] / spans[-1, 1]
    assert np.abs(np.histogram(places, 4)[0] / len(held) - 0.25).max() < 0.08


def test_of_running_text_pieces_are_held_back_from_everywhere():
    """No part is left out as a whole, and the end is learnt: what follows goes on from there."""
    learnt, held, _ = held_back([1_000_000])
    assert len(held) == 12 and len(learnt) == 13
    assert set((held[:, 1] - held[:, 0]).tolist()) == {2083}
    gaps = (learnt[:, 1] - learnt[:, 0]).tolist()
    assert max(gaps) - min(gaps) <= 1
    assert learnt[-1, 1] == 1_000_001


@pytest.mark.parametrize("lengths", [[2_000], [], [5] * 400])
def test_of_a_tiny_text_nothing_is(lengths):
    learnt, held, _ = held_back(lengths)
    assert len(held) == 0
    assert learnt.tolist() == spans_of(lengths).tolist()


def test_it_is_the_same_every_time():
    lengths = [40 + i % 90 for i in range(5_000)]
    assert held_back(lengths)[1].tolist() == held_back(lengths)[1].tolist()


def test_looking_up_what_is_left():
    spans = spans_of([3] * 50)
    out = np.array([0, 1, 7, 30, 49])
    left = SpansWithout(spans, out)
    expected = np.delete(spans, out, axis=0)
    assert len(left) == 45
    assert (left[:] == expected).all()
    assert (left[10:99:3] == expected[10:99:3]).all()
    assert (left[np.array([44, 0, 5])] == expected[[44, 0, 5]]).all()
    assert all((left[i] == expected[i]).all() for i in range(45))
