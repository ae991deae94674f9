"""A text that can be continued exactly where it stopped, fed, and forked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from textgen.runtime.chain import Chain
from textgen.runtime.encoding import Decoder
from textgen.runtime.engine import Cursor, Engine
from textgen.runtime.writer import Chunk, Limits, Stream, Writer, read_prompt

if TYPE_CHECKING:
    from textgen.runtime.model import Model


class Session:
    """One stream of a model: its state, its samplers' states, and how much it has written.

    Written in parts it is the same text as written at once; half a character at the end of one
    part comes with the next.
    """

    def __init__(
        self, model: Model, engine: Engine, chain: Chain, cursor: Cursor, seed: int
    ) -> None:
        self._model = model
        self._engine = engine
        self._chain = chain
        self._decoder = Decoder(model.vocabulary)
        self.cursor = cursor
        self.seed = seed
        self.position = 0
        """Symbols drawn so far, boundaries that ended a text included; what was fed is not."""

    @property
    def state(self) -> dict[str, np.ndarray]:
        """The model's states (1, ...) before the newest symbol is read."""
        return self.cursor.states

    def feed(self, text: str | np.ndarray) -> list[str]:
        """Reads ``text``, or ids, as if it had been written; returns what the model has no symbol
        for, which is left out. Half a character that was held back is dropped."""
        ids, unknown = self._model.encode(text) if isinstance(text, str) else (text, [])
        ids = self._model.check_ids(ids)
        self.cursor = read_prompt(self._engine, self._chain, self.cursor, ids)
        self._decoder.end()
        return unknown

    def write(self, length: int = 500, *, stop: Sequence[str] = ()) -> str:
        """Up to ``length`` more symbols. A text that ends is begun anew by the next call.

        A stop string is found where this call writes all of it; what follows it is not written.
        """
        return "".join(chunk.text for chunk in self.stream(length, stop=stop))

    def stream(self, length: int = 500, *, stop: Sequence[str] = ()) -> Iterator[Chunk]:
        """``write`` as it comes. The session goes on from the end once all has been taken, and
        stays where it was if not."""
        limits = Limits(length, tuple(stop), boundary=self._chain.ends)
        return self._stream(limits)

    def _stream(self, limits: Limits) -> Iterator[Chunk]:
        decoder = self._decoder.fork()
        stream = Stream(
            0, limits, decoder, self.seed, number=0, position=self.position, goes_on=True
        )
        writer = Writer(self._engine, self._chain, self._model.vocabulary)
        writer.begin([stream], self.cursor)
        drawn = 0
        while writer.streams:
            ((_, chunk, rest),) = writer.turn()
            drawn += len(chunk.ids)
            if chunk.text or chunk.ids or chunk.ended:
                yield chunk
        assert rest is not None
        if chunk.ended == "boundary":
            drawn += 1  # the boundary took its noise as well
            self.cursor = self._model.start(self._chain, 1)
        else:
            self.cursor = read_prompt(self._engine, self._chain, rest.cursor, rest.ids)
        self._decoder = decoder
        self.position += drawn

    def fork(self) -> Session:
        """A second session that goes on from here by itself."""
        forked = Session(self._model, self._engine, self._chain, self.cursor, self.seed)
        forked.position = self.position
        forked._decoder = self._decoder.fork()
        return forked
