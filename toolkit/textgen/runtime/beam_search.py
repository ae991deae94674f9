"""Beam search: the likeliest texts that a model goes on with, among those it keeps in sight.

K beams, V symbols. Every turn goes on from K beginnings by one symbol, and keeps the K likeliest
that have not ended (Graves, arXiv 1211.3711; Sutskever, Vinyals and Le, arXiv 1409.3215). Nothing
is drawn: the same prompt finds the same texts.

As in transformers, a text that ends is found where it is among the K likeliest of its turn, and the
search is over once no beginning can come to a better score than the texts that were found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from textgen.contracts.errors import PluginError, UserError
from textgen.contracts.tokenizer import Vocabulary
from textgen.runtime.chain import Chain
from textgen.runtime.engine import Cursor
from textgen.runtime.writer import Limits

Step = Callable[[np.ndarray, dict[str, np.ndarray]], tuple[np.ndarray, dict[str, np.ndarray]]]
"""Ids (B,) and states to logits (B, V) and the states after."""

_STEEPEST = 10.0


@dataclass(frozen=True)
class Search:
    """How many beginnings are kept, how many texts are wanted, and what they are ranked by."""

    beams: int
    best: int = 1
    length_penalty: float = 0.0
    """Alpha of Wu et al., arXiv 1609.08144, equation 14: the log probability of a text of n symbols
    is divided by ((5 + n) / 6) ** alpha. 0 divides by nothing, and so prefers short texts."""

    def __post_init__(self) -> None:
        if self.beams < 1:
            raise UserError(f"The number of beams cannot be {self.beams}.", "It is 1 or more.")
        if not 1 <= self.best <= self.beams:
            raise UserError(
                f"{self.beams} beams cannot find {self.best} texts.",
                "They find as many as they are, and 1 at least.",
            )
        if not 0 <= self.length_penalty <= _STEEPEST:
            raise UserError(
                f"The length penalty cannot be {self.length_penalty:g}.",
                f"It is from 0, which is none, to {_STEEPEST:g}.",
            )

    def score(self, total: float, symbols: int) -> float:
        """What a text of so many symbols is ranked by, ``total`` being its log probability."""
        divisor: float = ((5 + symbols) / 6) ** self.length_penalty
        return total / divisor


@dataclass(frozen=True)
class Hypothesis:
    """A text that was found."""

    text: str
    ids: tuple[int, ...]
    """Its symbols, up to the one that completes a stop string."""
    ended: str
    """``length``, ``boundary`` or ``stop``."""
    nats: float
    """What its symbols cost under the model, the boundary that ended it included."""
    score: float
    """What it was ranked by (see ``Search``), at most 0. Where a sampler takes from a logit, it
    takes from the symbol's log probability; where it adds, a symbol becomes certain at most."""

    @property
    def nats_per_symbol(self) -> float:
        """The boundary that ended it is a symbol too."""
        return self.nats / max(1, len(self.ids) + (self.ended == "boundary"))

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "text": self.text,
            "ids": list(self.ids),
            "ended": self.ended,
            "nats": self.nats,
            "nats_per_symbol": self.nats_per_symbol,
            "score": self.score,
        }


@dataclass(frozen=True)
class _Beginning:
    """A text so far, or all of it."""

    path: tuple[Any, int] | None = None
    """What came before the last symbol, and it: beginnings share what they have in common."""
    symbols: int = 0
    total: float = 0.0
    """The sum of what its symbols are ranked by."""
    nats: float = 0.0
    tail: bytes = b""
    """Its last bytes, in which a stop string may have begun."""
    ended: str = ""


def search(
    step: Step, cursor: Cursor, chain: Chain, limits: Limits, wanted: Search
) -> list[Hypothesis]:
    """The texts that go on from ``cursor``, of one row, the best first.

    There are fewer than wanted where no more are possible. Raises UserError where a sampler of the
    chain neither penalises nor forbids, PluginError where samplers forbid everything.
    """
    _refuse_filters(chain)
    endings = _Endings(chain.vocabulary, limits)
    live, found = [_Beginning()], list[_Beginning]()
    for _ in range(limits.length):
        logits, states = step(cursor.token, cursor.states)
        own, ranked = _log_probabilities(chain, cursor, logits)
        totals = np.array([[beginning.total] for beginning in live]) + ranked
        going: list[tuple[int, int, _Beginning]] = []
        for place, (row, symbol) in enumerate(_likeliest(totals, 2 * wanted.beams)):
            if place >= wanted.beams == len(going):
                break
            nats = live[row].nats - float(own[row, symbol])
            longer = endings.after(live[row], symbol, float(totals[row, symbol]), nats)
            if not longer.ended:
                going.append((row, symbol, longer))
            elif place < wanted.beams:
                found.append(longer)
        found, live = _best(found, wanted), [longer for _, _, longer in going]
        if _is_over(live, found, limits, wanted):
            break
        rows, ids = (np.array([chosen[part] for chosen in going]) for part in (0, 1))
        kept = Cursor(cursor.token, states, cursor.samplers).rows(rows)
        logprobs = own[rows, ids].astype(np.float32)
        cursor = replace(kept, token=ids, samplers=chain.accept(ids, logprobs, kept.samplers))
    else:
        found = _best([*found, *(replace(longer, ended="length") for longer in live)], wanted)
    if not found:
        raise PluginError(
            "The samplers left no symbol that can be written.",
            "A sampler keeps at least one symbol of every row finite.",
        )
    return [endings.hypothesis(beginning, wanted) for beginning in found]


def _refuse_filters(chain: Chain) -> None:
    for link in chain.links:
        if not link.sampler.before_temperature:
            raise UserError(
                f"The sampler {type(link.sampler).__name__} shapes a draw, and beam search draws "
                "nothing.",
                "Leave it out. Samplers that penalise or forbid may stay.",
            )


def _log_probabilities(
    chain: Chain, cursor: Cursor, logits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The model's own log probabilities (B, V), and those after the samplers, float64.

    The latter are not normalised anew: what is forbidden makes nothing else likelier, or texts
    would be preferred for having been forced.
    """
    options = chain.options(len(logits))
    adjusted = chain.adjust(logits, cursor.samplers, options).astype(np.float64)
    exact = logits.astype(np.float64)
    highest = exact.max(axis=1, keepdims=True)
    normaliser = highest + np.log(np.exp(exact - highest).sum(axis=1, keepdims=True))
    return exact - normaliser, np.minimum(adjusted - normaliser, 0)


def _likeliest(totals: np.ndarray, count: int) -> Iterator[tuple[int, int]]:
    """Rows and columns of ``totals`` (B, V), the highest first, of equals the one in the first row
    and column; none of what is forbidden. More than ``count`` of them take longer."""
    places = np.flatnonzero(totals > -np.inf)
    values = totals.ravel()[places]
    parts = [np.ones(len(places), bool)]
    if len(places) > count:
        enough = values >= np.partition(values, -count)[-count]
        parts = [enough, ~enough]
    for part in parts:
        order = np.argsort(-values[part], kind="stable")
        for place in places[part][order].tolist():
            yield divmod(place, totals.shape[1])


def _best(found: Sequence[_Beginning], wanted: Search) -> list[_Beginning]:
    """Of equals those that were found first."""
    ordered = sorted(found, key=lambda text: -wanted.score(text.total, text.symbols))
    return ordered[: wanted.best]


def _is_over(
    live: Sequence[_Beginning], found: Sequence[_Beginning], limits: Limits, wanted: Search
) -> bool:
    """Whether no beginning can become better than what was found, were all that follows certain,
    and as long as is allowed."""
    if not live:
        return True
    if len(found) < wanted.best:
        return False
    highest = wanted.score(max(text.total for text in live), limits.length)
    return highest <= wanted.score(found[-1].total, found[-1].symbols)


class _Endings:
    """What ends a text, and what it then is."""

    def __init__(self, vocabulary: Vocabulary, limits: Limits) -> None:
        self._vocabulary = vocabulary
        self._boundary = vocabulary.boundary if limits.boundary else None
        self._stops = [text.encode("utf-8", "surrogatepass") for text in limits.stop]
        self._held = max(map(len, self._stops), default=1) - 1

    def after(self, text: _Beginning, symbol: int, total: float, nats: float) -> _Beginning:
        """The text with one symbol more."""
        tail, ended = b"", "boundary" if symbol == self._boundary else ""
        if self._stops and not ended:
            data = text.tail + self._vocabulary.symbols[symbol]
            ended = "stop" if any(stop in data for stop in self._stops) else ""
            tail = data[max(0, len(data) - self._held) :]
        return _Beginning((text.path, symbol), text.symbols + 1, total, nats, tail, ended)

    def hypothesis(self, text: _Beginning, wanted: Search) -> Hypothesis:
        """The text itself."""
        ids, path = list[int](), text.path
        while path is not None:
            path, symbol = path
            ids.append(symbol)
        ids = ids[:0:-1] if text.ended == "boundary" else ids[::-1]
        data = b"".join(self._vocabulary.symbols[symbol] for symbol in ids)
        if text.ended == "stop":
            places = [data.find(stop) for stop in self._stops]
            data = data[: min(place for place in places if place >= 0)]
        return Hypothesis(
            data.decode("utf-8", "replace"),
            tuple(ids),
            text.ended,
            text.nats,
            wanted.score(text.total, text.symbols),
        )
