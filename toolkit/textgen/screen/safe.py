"""Text from models, corpora and plugins, made fit for a terminal.

Control characters, invisible ones and those that turn the direction of writing are shown as
escapes, so that no text can move the cursor, hide, or speak to the terminal.
"""

from __future__ import annotations

import unicodedata

_SHOWN = {"\n", "\t"}
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Categories: controls, format characters (bidi, zero-width), surrogates, private, unassigned."""

_JOINERS = {"\u200c", "\u200d"}
"""Zero-width (non-)joiners: they shape Persian, Indic scripts and emoji, and can do no harm."""


def visible(text: str) -> str:
    """``text`` with everything a terminal might obey written as an escape such as ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(c if _harmless(c) else _escape(c) for c in text)


def one_line(text: str) -> str:
    """``visible``, with line ends and tabs written as escapes too."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def _harmless(character: str) -> bool:
    if character in _SHOWN or character in _JOINERS:
        return True
    return unicodedata.category(character) not in _HIDDEN


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
