"""What is held back: a small part of the training text that no step learns from.

Weights are chosen by it, so that nothing told of the validation text was chosen on the validation
text. It depends on the corpus alone: trainings with other settings choose by the same text.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from textgen.training.permutation import permuted_all
from textgen.training.targets import Spans

SHARE = 40
"""One symbol in so many is held back,"""
MOST = 100_000
"""but at most so many of them,"""
ENOUGH = 2048
"""and of a small text so many, or a tenth of it."""

_LEAST = 256
"""With fewer symbols a choice would be chance: then nothing is held back."""

_PIECE = 2048
"""Symbols of a piece of a long document, about."""

_PIECES = 4
"""Documents at least, where whole ones are held back."""

_ORDER = (0, 5)
"""Key of the order in which documents are drawn."""


def hold_back(spans: np.ndarray, symbols: int) -> tuple[Spans, np.ndarray]:
    """What is learnt of the training split, and the spans (m, 2) held back from it.

    ``symbols`` are those of all ``spans`` (n, 2), which may be memory-mapped. Whole documents are
    held back, drawn at random, where they are short; else the ends of the longest. Of a text of
    fewer than 2,560 symbols nothing is. A line that stands twice in a list may be learnt and held
    back: that tilts the choice a little, and no figure on the validation text.
    """
    wanted = min(MOST, max(symbols // SHARE, min(ENOUGH, symbols // 10)))
    if wanted < _LEAST:
        return spans, spans[:0]
    drawn = _draw(spans, wanted, symbols)
    held = np.asarray(spans[drawn])
    if 2 * int((held[:, 1] - held[:, 0]).sum()) >= wanted:
        return SpansWithout(spans, drawn), held
    return _cut(spans, wanted)


class SpansWithout:
    """Spans but for those with the sorted numbers ``out``, without a table of all that are left."""

    def __init__(self, spans: np.ndarray, out: np.ndarray) -> None:
        self._spans = spans
        self._left = len(spans) - len(out)
        self._before = out - np.arange(len(out))
        """How many that are left stand before each that is out."""

    def __len__(self) -> int:
        return self._left

    def __getitem__(self, which: Any) -> np.ndarray:
        if isinstance(which, slice):
            which = np.arange(*which.indices(self._left))
        chosen: np.ndarray = self._spans[which + np.searchsorted(self._before, which, "right")]
        return chosen


def _draw(spans: np.ndarray, wanted: int, symbols: int) -> np.ndarray:
    """The sorted numbers of short documents drawn at random, at most ``wanted`` symbols of them."""
    count = len(spans)
    tries = min(count, 1 + 2 * wanted * count // symbols)
    numbers = permuted_all(np.arange(tries), count, _ORDER)
    lengths = spans[numbers, 1] - spans[numbers, 0]
    short = lengths <= wanted // _PIECES
    numbers, lengths = numbers[short], lengths[short]
    return np.sort(numbers[np.cumsum(lengths) <= wanted])


def _cut(spans: np.ndarray, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """The spans without pieces of the longest, ``wanted`` symbols in all, and those pieces.

    Each gives by its length, and at most a half of itself, in pieces spread evenly: its end alone
    may be of a subject of its own, of which nothing would then be learnt. tinyshakespeare's
    validation text goes on with the play that its training text ends with.
    """
    lengths = spans[:, 1] - spans[:, 0]
    longest = np.sort(np.argsort(-lengths, kind="stable")[: max(1, wanted // (4 * _LEAST))])
    given = lengths[longest] * wanted // int(lengths[longest].sum())
    given = np.minimum(given, lengths[longest] // 2)
    learnt, held = [np.delete(spans, longest, axis=0)], []
    for (start, end), share in zip(spans[longest].tolist(), given.tolist(), strict=True):
        count = max(1, round(share / _PIECE))
        size, rest = share // count, end - start - share // count * count
        places = np.arange(1, count + 1)
        lows = start + places * rest // (count + 1) + (places - 1) * size
        held.append(np.stack([lows, lows + size], axis=1))
        edges = np.concatenate([[start], held[-1].ravel(), [end]])
        learnt.append(edges.reshape(-1, 2))
    together = np.concatenate(learnt)
    return together[np.argsort(together[:, 0], kind="stable")], np.concatenate(held)
