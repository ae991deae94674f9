"""A session as a file: what was read and written, and the states along the way.

A line that says what it is, the length of a JSON header, the header, the ids, the states, and last
the SHA-256 of all bytes before it. That is checked before anything else is read; it finds damage,
not malice. The header holds the symbols that occur, so that the text is there without the model.
Numbers are little-endian.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from textgen.contracts.errors import UserError
from textgen.contracts.tokenizer import Vocabulary
from textgen.runtime.history import History, Settings
from textgen.storage import write_bytes

FORMAT = 1
MAGIC = b"textgen session\n"
LARGEST = 1 << 30
"""Bytes; more than a session that is kept small ever has."""

_SYMBOLS = 1 << 24
_LENGTH = 8
_DIGEST = hashlib.sha256().digest_size
_STATE = np.dtype("<f4")


@dataclass(frozen=True)
class SessionFile:
    """What a file of a session holds."""

    model: str
    """The base name of the model's file."""
    digest: str
    """The model's."""
    vocabulary: Vocabulary
    """Read from a file, the symbols that occur; all others are empty."""
    history: History
    end: np.ndarray | None = None
    """The state at the end, where it is known: else it is found by reading on."""

    @property
    def text(self) -> str:
        """All that was fed and written."""
        return self.history.text(self.vocabulary)

    def cut(self, place: int) -> SessionFile:
        """The session as it was at ``place``. Raises UserError where it is not that long."""
        history = self.history.copy()
        history.cut(place)
        end = self.end if place == len(self.history) else None
        return replace(self, history=history, end=end)


def pack(file: SessionFile) -> bytes:
    """The file's bytes. Raises UserError where a sampler is an object, not a name."""
    history = file.history
    ids = history.numbers()
    ids = ids.astype(np.min_scalar_type(ids.max(initial=0)).newbyteorder("<"))
    symbols = {int(i): file.vocabulary.symbols[i] for i in np.unique(ids)}
    states = [state for _, state in history.kept] + ([] if file.end is None else [file.end])
    header = {
        "format": FORMAT,
        "model": file.model,
        "digest": file.digest,
        "symbols": {i: s.decode("utf-8", "surrogateescape") for i, s in symbols.items()},
        "boundary": history.boundary,
        "settings": [(at, settings.to_json()) for at, settings in history.settings],
        "fed": history.fed,
        "spacing": history.spacing,
        "ids": [ids.dtype.str, len(ids)],
        "kept": [(at, len(state)) for at, state in history.kept],
        "end": None if file.end is None else len(file.end),
    }
    text = json.dumps(header, sort_keys=True, default=_number).encode("ascii")
    parts = [MAGIC, len(text).to_bytes(_LENGTH, "little"), text, ids.tobytes()]
    parts += [state.astype(_STATE).tobytes() for state in states]
    data = b"".join(parts)
    return data + hashlib.sha256(data).digest()


def write(path: Path, file: SessionFile) -> None:
    """Puts the session in the place of ``path``, whole or not at all."""
    write_bytes(path, pack(file))


def read(path: Path) -> SessionFile:
    """The session in ``path``. Raises UserError where it is missing, damaged, or none of ours."""
    try:
        if path.exists() and not path.is_file():  # a device or a pipe may never end
            raise UserError(f"{path} is not a file.", "Name a session that was saved.")
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path} is larger than any session.", "Name one that was saved.")
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} could not be read: {reason}.", "Check it.") from None
    return parse(data, path.name)


def parse(data: bytes, name: str) -> SessionFile:
    """The session that ``data`` is; the digest is checked first. ``name`` is told in errors."""
    if not data.startswith(MAGIC):
        raise UserError(f"{name} is no session of textgen.", "Name one that was saved.")
    content = data[:-_DIGEST]
    if hashlib.sha256(content).digest() != data[-_DIGEST:]:
        raise UserError(
            f"{name} is damaged: its digest does not fit its bytes.",
            "Put a copy in its place, or remove it and begin anew.",
        )
    start = len(MAGIC) + _LENGTH
    try:
        size = int.from_bytes(content[len(MAGIC) : start], "little")
        header = json.loads(content[start : start + size])
        if header["format"] > FORMAT:
            raise UserError(f"{name} was written by a newer textgen.", "Install the newer one.")
        return _read(header, content[start + size :])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(
            f"What {name} says of itself cannot be read: {type(error).__name__} {error}.",
            "Put a copy in its place, or remove it and begin anew.",
        ) from None


def _read(header: dict[str, Any], data: bytes) -> SessionFile:
    rest = memoryview(data)
    kind, count = header["ids"]
    ids, rest = _taken(rest, np.dtype(kind), count)
    kept = []
    for at, size in header["kept"]:
        state, rest = _taken(rest, _STATE, size)
        kept.append((at, state))
    end = None
    if header["end"] is not None:
        end, rest = _taken(rest, _STATE, header["end"])
    if rest:
        raise ValueError(f"{len(rest)} bytes too many")
    history = History(
        [(at, Settings.from_json(settings)) for at, settings in header["settings"]],
        header["boundary"],
        array("I", ids.tolist()),
        [(first, last) for first, last in header["fed"]],
        kept=kept,
        spacing=header["spacing"],
    )
    _check(history)
    history.find_begins()
    return SessionFile(
        Path(header["model"]).name, header["digest"], _vocabulary(header, ids), history, end
    )


def _check(history: History) -> None:
    """Raises ValueError where places are none of the text, or not in their order."""
    changes = [at for at, _ in history.settings]
    lists = [changes, [at for at, _ in history.kept], [at for pair in history.fed for at in pair]]
    inside = all(0 <= at <= len(history) for places in lists for at in places)
    if not inside or any(places != sorted(places) for places in lists):
        raise ValueError("places that cannot be")
    if changes[:1] != [0] or history.spacing < 1:
        raise ValueError("no settings, or no spacing")


def _taken(data: memoryview, kind: np.dtype[Any], count: int) -> tuple[np.ndarray, memoryview]:
    """The first ``count`` numbers, and what comes after them."""
    size = count * kind.itemsize
    if not 0 <= size <= len(data):
        raise ValueError(f"{size} bytes of {len(data)}")
    return np.array(np.frombuffer(data[:size] or b"", kind), kind.newbyteorder("=")), data[size:]


def _vocabulary(header: dict[str, Any], ids: np.ndarray) -> Vocabulary:
    occur = {int(i): s.encode("utf-8", "surrogateescape") for i, s in header["symbols"].items()}
    if set(np.unique(ids).tolist()) != occur.keys():
        raise ValueError("other symbols occur")
    if max(occur, default=0) >= _SYMBOLS:
        raise ValueError("a symbol's number is too large")
    symbols = tuple(occur.get(i, b"") for i in range(max(occur, default=0) + 1))
    return Vocabulary(symbols, header["boundary"] or 0)


def _number(value: Any) -> Any:
    """A number of numpy, which JSON does not know, as Python's."""
    return value.item()
