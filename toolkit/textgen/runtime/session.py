"""A text that can be continued exactly where it stopped, fed, and forked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from textgen.runtime.chain import Chain
from textgen.runtime.engine import Cursor, Engine
from textgen.runtime.generation import Limits, read_prompt, write

if TYPE_CHECKING:
    from textgen.runtime.model import Model


class Session:
    """One stream of a model: its state, its samplers' states, and how much it has written.

    Written in parts it is the same text as written at once.
    """

    def __init__(
        self, model: Model, engine: Engine, chain: Chain, cursor: Cursor, seed: int
    ) -> None:
        self._model = model
        self._engine = engine
        self._chain = chain
        self.cursor = cursor
        self.seed = seed
        self.position = 0
        """Symbols written so far; what was fed does not count."""

    def feed(self, text: str) -> list[str]:
        """Reads ``text`` as if it had been written; returns what the model has no symbol for."""
        ids, unknown = self._model.encode(text)
        self.cursor = read_prompt(self._engine, self._chain, self.cursor, ids)
        return unknown

    def write(self, length: int = 500, *, stop: Sequence[str] = ()) -> str:
        """Up to ``length`` more symbols. A text that ends is begun anew by the next call."""
        limits = Limits(length, tuple(stop), boundary=self._chain.ends)
        written: list[str] = []
        ids: list[int] = []
        before = self.cursor
        vocabulary = self._model.vocabulary
        chunks = write(
            self._engine,
            self._chain,
            before,
            vocabulary,
            limits,
            seed=self.seed,
            positions=[self.position],
        )
        ended = None
        for chunk in chunks:
            written.append(chunk.text)
            ids.extend(chunk.ids)
            ended = chunk.ended
        if ended == "boundary":
            self.cursor = self._model.start(self._chain, 1)
        else:
            # the states of exactly these symbols, whatever chunks they came in
            self.cursor = read_prompt(self._engine, self._chain, before, np.array(ids, np.int64))
        self.position += len(ids)
        return "".join(written)

    def fork(self) -> Session:
        """A second session that goes on from here by itself."""
        forked = Session(self._model, self._engine, self._chain, self.cursor, self.seed)
        forked.position = self.position
        return forked
