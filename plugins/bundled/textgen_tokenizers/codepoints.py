"""Code points of a text as numbers, shared by the tokenizers here."""

from __future__ import annotations

import numpy as np

CODE_POINTS = 0x110000
SURROGATES = slice(0xD800, 0xE000)
"""No text in UTF-8 holds one; Python strings may, one by one. They are unknown to every tokenizer
here: left out of the ids, and returned."""


def code_points(text: str) -> np.ndarray:
    """The code points of ``text``, uint32."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def without_surrogates(text: str) -> tuple[str, list[str]]:
    """``text`` as UTF-8 can hold it, and the surrogates it had, each once, in order."""
    try:
        text.encode("utf-8")
        return text, []
    except UnicodeEncodeError:
        found = [c for c in dict.fromkeys(text) if "\ud800" <= c <= "\udfff"]
        return "".join(c for c in text if not "\ud800" <= c <= "\udfff"), found
