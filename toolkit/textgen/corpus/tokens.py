"""What a tokenizer gave, before it is believed: other ids would be learnt as if they were text."""

from __future__ import annotations

import numpy as np

from textgen.contracts.errors import PluginError
from textgen.contracts.tokenizer import Tokenizer


def check_learnt(tokenizer: object, wanted: type[Tokenizer]) -> None:
    """Raises PluginError unless what ``wanted.learn`` returned is a tokenizer with a vocabulary."""
    if not isinstance(tokenizer, Tokenizer):
        raise _wrong(wanted, f"learns a {type(tokenizer).__name__}, and not a Tokenizer")
    symbols, boundary = tokenizer.symbols, tokenizer.boundary
    if not isinstance(symbols, tuple) or not all(isinstance(s, bytes) for s in symbols):
        raise _wrong(wanted, "has symbols that are not a tuple of bytes")
    if boundary not in range(len(symbols)) or symbols[boundary]:
        raise _wrong(wanted, f"has {boundary} as its boundary, which is no symbol without bytes")


def check_encoded(tokenizer: Tokenizer, found: object) -> None:
    """Raises PluginError unless ``encode`` returned ids of the vocabulary, and what is unknown."""
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], np.ndarray)):
        raise _wrong(type(tokenizer), "encodes a text as other than ids and what is unknown")
    ids = found[0]
    if ids.dtype != np.int64 or ids.ndim != 1:
        raise _wrong(type(tokenizer), f"gives ids in {ids.ndim} dimensions of {ids.dtype}")
    if len(ids) and ids.view(np.uint64).max() >= len(tokenizer.symbols):  # or below 0
        raise _wrong(type(tokenizer), "gives ids that are none of its symbols")


def _wrong(tokenizer: type[Tokenizer], what: str) -> PluginError:
    return PluginError(
        f"The tokenizer {tokenizer.__name__} {what}.", "textgen plugins check tries its rules."
    )
