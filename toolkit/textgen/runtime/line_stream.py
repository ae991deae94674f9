"""Lines of a stream as they come, in batches that wait for no more than they must."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

LONGEST = 4096
"""Characters after which a line is cut."""

_WAIT = 0.02
"""Seconds for which a batch waits for more lines."""

_SYMBOLS = 1 << 14
"""Characters of a batch, so that it is scored in a fraction of a second."""

_MARK = "\ufeff"

_AHEAD = 1024
"""Lines that are read ahead."""


@dataclass(frozen=True)
class Line:
    """One line without its end."""

    number: int
    text: str
    cut: bool
    """Whether it was longer than ``LONGEST``, and the rest left out."""


def line_batches(stream: BinaryIO, encoding: str = "utf-8") -> Iterator[list[Line]]:
    """Batches of lines in order, read as those of a corpus are: a byte order mark is dropped, and a
    carriage return is where a line feed follows. What cannot be decoded is replaced.

    A thread reads ahead by a bounded number of lines, so memory is bounded too. An error of the
    stream is raised here.
    """
    lines: queue.Queue[Line | BaseException | None] = queue.Queue(_AHEAD)
    threading.Thread(target=_read, args=(stream, encoding, lines), daemon=True).start()
    going = True
    while going:
        batch: list[Line] = []
        characters = 0
        item = lines.get()
        until = time.monotonic() + _WAIT
        while True:
            if isinstance(item, BaseException):
                raise item
            if item is None:
                going = False
                break
            batch.append(item)
            characters += len(item.text)
            if characters >= _SYMBOLS:
                break
            try:
                item = lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
        if batch:
            yield batch


def _read(stream: BinaryIO, encoding: str, lines: queue.Queue[Line | BaseException | None]) -> None:
    try:
        for number, (data, cut) in enumerate(_pieces(stream), 1):
            end = next(filter(data.endswith, (b"\r\n", b"\n")), b"")
            text = data.removesuffix(end).decode(encoding, "replace")
            text = text.removeprefix(_MARK) if number == 1 else text
            lines.put(Line(number, text[:LONGEST], cut or len(text) > LONGEST))
        lines.put(None)
    except Exception as error:
        lines.put(error)


def _pieces(stream: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """The beginning of each line, and whether there was more of it."""
    limit = 4 * LONGEST + 2  # bytes that LONGEST characters and a line's end take at most
    while piece := stream.readline(limit):
        cut = False
        rest = piece
        while rest and not rest.endswith(b"\n"):
            rest = stream.readline(1 << 16)
            cut = cut or bool(rest.strip(b"\r\n"))
        yield piece, cut
