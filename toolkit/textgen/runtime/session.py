"""A text that can be continued exactly where it stopped, fed, rewound, forked, and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textgen.contracts.errors import UserError
from textgen.runtime import session_file
from textgen.runtime.chain import Chain
from textgen.runtime.encoding import Decoder
from textgen.runtime.generation import check_seed
from textgen.runtime.history import History, Settings
from textgen.runtime.retracing import Stand, draw_again, packed, stand_at_end, under_settings
from textgen.runtime.session_file import SessionFile
from textgen.runtime.writer import Chunk, Limits, Stream, Writer, read_prompt

if TYPE_CHECKING:
    from textgen.runtime.model import Model

_FED_AT_ONCE = 4096


class Session:
    """One stream of a model: what it has read and written, and its states.

    Written in parts it is the same text as written at once; half a character at the end of one
    part comes with the next.
    """

    def __init__(self, model: Model, history: History, end: np.ndarray | None = None) -> None:
        self._model = model
        self._history = history
        self._stand = stand_at_end(model, history, end)
        self._decoder = self._decoder_at_end()

    @classmethod
    def begin(cls, model: Model, settings: Settings) -> Session:
        """An empty one. Raises UserError for settings that no text can be drawn with."""
        boundary = model.vocabulary.boundary if model.info.ends else None
        return cls(model, History([(0, _checked(model, settings))], boundary))

    @classmethod
    def load(cls, model: Model, path: Path) -> Session:
        """The one in the file ``path``; ``Model.load_session`` tells what is raised."""
        file = session_file.read(path)
        if file.digest != model.digest:
            raise UserError(
                f"{path.name} was written by another model, {file.model}.",
                "Load that one, or begin a new session.",
            )
        model.check_ids(file.history.numbers())
        for _, settings in file.history.settings:
            _checked(model, settings)
        return cls(model, file.history, file.end)

    def __len__(self) -> int:
        """Symbols so far: fed, drawn, and the boundaries that ended texts."""
        return len(self._history)

    @property
    def settings(self) -> Settings:
        """What the next symbol is drawn with."""
        return self._history.settings_at(len(self))

    @property
    def seed(self) -> int:
        return self.settings.seed

    @property
    def chain(self) -> Chain:
        """The samplers of the next symbol."""
        return self._model.chain(**self.settings.sampling)

    @property
    def position(self) -> int:
        """Symbols drawn so far, boundaries that ended a text included; what was fed is not."""
        return self._history.drawn()

    @property
    def state(self) -> dict[str, np.ndarray]:
        """The model's states (1, ...) before the newest symbol is read."""
        return self._stand.cursor.states

    @property
    def text(self) -> str:
        """All that was fed and written; a text that has ended is followed by a line end."""
        return self._history.text(self._model.vocabulary)

    def change(self, **settings: Any) -> None:
        """Other ``settings`` from here on: ``seed``, ``temperature`` and the others of
        ``Model.session``; those left out stay. Raises UserError for impossible ones.

        A sampler that goes on with other numbers keeps its states; one that is new has read the
        text so far, as it would a prompt.
        """
        changed = _checked(self._model, replace(self.settings, **settings))
        self._history.change(changed)

    def feed(self, text: str | np.ndarray) -> list[str]:
        """Reads ``text``, or ids, as if it had been written; returns what the model has no symbol
        for, which is left out. Half a character that was held back is dropped."""
        ids, unknown = self._model.encode(text) if isinstance(text, str) else (text, [])
        ids = self._model.check_ids(ids)
        if not ids.size:
            return unknown
        history, stand = self._history.copy(), self._ready()
        engine = self._model.engine(stand.chain)
        history.keep(packed(self._stand))
        for first in range(0, len(ids), _FED_AT_ONCE):
            part = ids[first : first + _FED_AT_ONCE]
            stand = replace(stand, cursor=read_prompt(engine, stand.chain, stand.cursor, part))
            history.feed(part)
            history.keep(packed(stand))
        self._history, self._stand = history, stand
        self._decoder.end()
        return unknown

    def write(self, length: int = 500, *, stop: Sequence[str] = ()) -> str:
        """Up to ``length`` more symbols. A text that ends is begun anew by the next call.

        A stop string is found where this call writes all of it; what follows it is not written,
        and the next call goes on behind it.
        """
        return "".join(chunk.text for chunk in self.stream(length, stop=stop))

    def stream(
        self,
        length: int = 500,
        *,
        stop: Sequence[str] = (),
        enough: Callable[[], bool] | None = None,
    ) -> Iterator[Chunk]:
        """``write`` as it comes. The session goes on from the end once all has been taken, and
        stays where it was if not. To end early, let ``enough`` say so: it is asked once a chunk."""
        limits = Limits(length, tuple(stop), boundary=self.chain.ends)
        return self._stream(limits, enough)

    def _stream(self, limits: Limits, enough: Callable[[], bool] | None) -> Iterator[Chunk]:
        history, stand, decoder = self._history.copy(), self._ready(), self._decoder.fork()
        engine, seed = self._model.engine(stand.chain), self.seed
        history.keep(packed(self._stand))
        stream = Stream(0, limits, decoder, seed, number=0, position=history.drawn(), goes_on=True)
        writer = Writer(engine, stand.chain, self._model.vocabulary)
        writer.begin([stream], stand.cursor)
        while True:
            ((_, chunk, rest),) = writer.turn(enough)
            history.draw(chunk.ids)
            yield chunk
            if rest is not None:
                break
            history.keep(packed(Stand(stand.chain, writer.cursor)))
        if chunk.ended == "boundary":
            history.boundary = self._model.vocabulary.boundary  # a sampler may be first to draw it
            history.draw([history.boundary])  # it took its noise as well
            cursor = self._model.start(stand.chain, 1)
        else:
            position = history.drawn() - len(rest.ids)
            cursor = draw_again(engine, stand.chain, rest.cursor, rest.ids, seed, position)
        if len(history) > len(self):
            self._history, self._stand = history, Stand(stand.chain, cursor)
            self._decoder = decoder

    def rewind(self, symbols: int) -> None:
        """Forgets the last ``symbols``, whether fed or drawn. The settings are those of then, so
        that the same text would come again; ``change`` the seed for another.

        Raises UserError where there are fewer.
        """
        history = self._history.copy()
        history.cut(history.back(symbols))
        self._stand = stand_at_end(self._model, history)
        self._history = history
        self._decoder = self._decoder_at_end()

    def fork(self) -> Session:
        """A second session that goes on from here by itself."""
        forked = Session.__new__(Session)
        forked._model, forked._stand = self._model, self._stand
        forked._history, forked._decoder = self._history.copy(), self._decoder.fork()
        return forked

    def save(self, path: str | Path) -> None:
        """Puts the session into the file ``path``, whole or not at all; ``Model.load_session``
        goes on with it. Raises UserError where one of its samplers is an object, not a name."""
        session_file.write(
            Path(path),
            SessionFile(
                model=self._model.name,
                digest=self._model.digest,
                vocabulary=self._model.vocabulary,
                history=self._history,
                end=packed(self._stand),
            ),
        )

    def _ready(self) -> Stand:
        """Where it stands under the settings of the next symbol."""
        if self._history.settings[-1][0] < len(self):
            return self._stand
        return under_settings(self._model, self._history, len(self), self._stand)

    def _decoder_at_end(self) -> Decoder:
        history, decoder = self._history, Decoder(self._model.vocabulary)
        for stretch in history.stretches(history.begin_of(len(history)), len(history)):
            decoder.feed(history.numbers(stretch.first, stretch.last))
            if stretch.fed:
                decoder.end()
        return decoder


def _checked(model: Model, settings: Settings) -> Settings:
    """The settings, if a text can be drawn with them. Raises UserError."""
    model.chain(**settings.sampling).options(1)  # one stream: no lists
    return replace(settings, seed=check_seed(settings.seed))
