"""Text from models, corpora and plugins, made fit for a terminal.

Control characters, invisible ones and those that turn the direction of writing are shown as
escapes, so that no text can move the cursor, hide, or speak to the terminal. The escapes are for
eyes: a backslash of the text itself is left as it is, or every line of LaTeX would double.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Categories: controls, format characters (bidi, zero-width), surrogates, private, unassigned."""

_BLANK = {*"\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0", *map(chr, range(0x180B, 0x1810))}
_BLANK.update(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))
"""Fillers, joiners and variation selectors: letters or marks by category, yet never seen."""

_JOINERS = "\u200c\u200d\ufe0e\ufe0f"
"""They shape Persian, Indic scripts and emoji: kept after a character they can shape."""

_SHAPED = rf"(?<![^\x00-\x7f{_JOINERS}])"
_LOOSE = re.compile(rf"{_SHAPED}[\u200c\ufe0e\ufe0f]|{_SHAPED}(?<!\ufe0f)\u200d")
"""A joiner that joins nothing: at the start, after ASCII or after another joiner."""


def visible(text: str, *, before: str = "") -> str:
    """``text`` with everything a terminal might obey written as an escape such as ``\\x1b``.

    Line feeds and tabs stay. ``before`` is what the same stream showed last, where a text comes in
    pieces: it decides whether a joiner at the start of ``text`` joins anything.
    """
    if text.isascii() and text.isprintable():
        return text
    previous = before[-1:].translate(_TABLE)[-1:]
    shown = previous + text.translate(_TABLE)
    # after the translation: what was hidden is ASCII now, and shaped by nothing
    return _LOOSE.sub(_escape_later(len(previous)), shown)[len(previous) :]


def one_line(text: str) -> str:
    """``visible``, with line ends and tabs written as escapes too."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def is_hidden(character: str) -> bool:
    """Whether a terminal would obey the character, or show nothing for it."""
    return character in _BLANK or unicodedata.category(character) in _HIDDEN


def escape(character: str) -> str:
    """``\\x1b``, ``\\u202e`` or ``\\U000e0041``."""
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escape_later(start: int) -> Callable[[re.Match[str]], str]:
    return lambda found: escape(found[0]) if found.start() >= start else found[0]


class _Table(dict[int, str]):
    """For ``str.translate``: what each code point is shown as, found once."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kept = character in "\n\t" or character in _JOINERS or not is_hidden(character)
        shown = self[code] = character if kept else escape(character)
        return shown


_TABLE = _Table()
