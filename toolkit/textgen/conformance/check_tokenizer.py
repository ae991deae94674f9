"""The rules every tokenizer keeps, as functions to call from a plugin's own tests.

    from textgen.conformance.check_tokenizer import check_tokenizer

    def test_conforms():
        check_tokenizer(MyTokenizer)

Half of a surrogate pair can stand in a Python string, but not in UTF-8: a tokenizer treats one as
unknown, leaves it out of the ids and returns it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from textgen.conformance.rules import BrokenRuleError, require
from textgen.contracts.options import build_options
from textgen.contracts.reader import Document
from textgen.contracts.tokenizer import Tokenizer, Vocabulary

TEXTS = (
    "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n",
    "  two  spaces, a\ttab, 3.14 and e\u0301 beside \u00e9; f\u00fcr",
    "\u0395\u03bb\u03bb\u03ac\u03b4\u03b1, \u0440\u0443\u0441\u0441\u043a\u0438\u0439",
    "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0, \u0639\u0631\u0628\u064a",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \u0000 \ufeff \u202e \r\n \x1b[31m",
    "\uffff \U0010ffff",
    "x" * 200,
    "speak " * 50,
)
"""What is learnt from where nothing else is given: several scripts, signs and odd characters."""

STRANGE = (
    "",
    "\ud800",
    "\udfff\ud800",
    "a\ud83d\ude00b",
    "\x00\x01\x02",
    "\u0378\U000e0001\U000f0000",
    "never seen: \u2603\u2603 \u2604",
    "\n" * 100,
)
"""What is encoded beside that: unseen characters, halves of surrogate pairs, nothing."""


def check_tokenizer(
    tokenizer_class: type[Tokenizer],
    options: Mapping[str, Any] | None = None,
    texts: Sequence[str] = TEXTS,
    seed: int = 0,
    trials: int = 200,
) -> None:
    """Learns from ``texts``, and tries encoding, decoding and cutting on them and on random ones.

    ``options`` are as a person would give them. Raises BrokenRuleError for the first broken rule.
    """
    built = build_options(tokenizer_class.Options, options or {}, tokenizer_class.__name__)
    tokenizer = tokenizer_class.learn(_whole(texts), built)
    _check_vocabulary(tokenizer.vocabulary)
    for pieces in (_whole(texts), _crumbs(texts)):
        _check_same_vocabulary(tokenizer, tokenizer_class.learn(iter(pieces), built))
    if tokenizer_class.learns_characters:
        once = Document("characters", ("".join(sorted(set("".join(texts)))),))
        _check_characters(tokenizer, tokenizer_class.learn(iter([once]), built))
    for text in texts:
        unknown = check_round_trip(tokenizer, text)
        require(
            not unknown,
            "Every text that was learnt from can be encoded.",
            f"{unknown[:5]} unknown in {text[:40]!r}",
            "rare symbols were dropped without single characters or bytes to spell them with",
        )
    rng = random.Random(seed)
    alphabet = "".join(texts) + "".join(STRANGE)
    drawn = ["".join(rng.choices(alphabet, k=rng.randrange(60))) for _ in range(trials)]
    for text in (*STRANGE, *drawn):
        check_round_trip(tokenizer, text)
    for text, more in zip((*texts, *drawn), (*drawn, *texts), strict=True):
        check_safe_cut(tokenizer, text, more)
    _check_json(tokenizer_class, tokenizer, drawn)


def check_round_trip(tokenizer: Tokenizer, text: str) -> list[str]:
    """Encodes ``text``, decodes it as the core does, and returns what was unknown."""
    ids, unknown = _encode(tokenizer, text)
    size = len(tokenizer.symbols)
    require(
        isinstance(ids, np.ndarray) and ids.dtype == np.int64 and ids.ndim == 1,
        "encode() gives ids as int64 in one dimension.",
        f"{getattr(ids, 'dtype', type(ids))}, shape {getattr(ids, 'shape', None)}",
        "a list, or the dtype of an empty or a lookup array",
    )
    inside = bool(((ids >= 0) & (ids < size) & (ids != tokenizer.boundary)).all())
    require(
        inside,
        "Ids are symbols of the vocabulary, and never the boundary, which stands for no text.",
        f"{sorted(set(ids.tolist()))[:5]} of {size}, boundary {tokenizer.boundary}",
        "unknown characters were given an id, or the boundary's",
    )
    require(
        len(set(unknown)) == len(unknown) and all(u and u in text for u in unknown),
        "What is unknown is returned as it stands in the text, each once.",
        f"{unknown[:5]} in {text[:40]!r}",
        "repeats, or escaped forms, were returned",
    )
    left = text
    for symbol in unknown:
        left = left.replace(symbol, "")
    decoded = b"".join(tokenizer.symbols[i] for i in ids)
    if all(len(symbol) == 1 for symbol in unknown):
        require(
            decoded == left.encode("utf-8", "replace"),
            "The symbols' bytes join to the text, less what is unknown.",
            f"{decoded[:60]!r} for {text[:60]!r}",
            "the text was normalised, stripped or lower-cased, or a symbol's bytes are not UTF-8",
        )
    return unknown


def check_safe_cut(tokenizer: Tokenizer, text: str, more: str) -> None:
    """Cuts ``text`` where it is safe, and compares with the whole when ``more`` follows."""
    cut = tokenizer.safe_cut(text)
    require(
        isinstance(cut, int) and 0 <= cut <= len(text),
        "safe_cut() is a place in the text.",
        f"{cut!r} in a text of {len(text)} characters",
        "a negative index, or one counted in bytes",
    )
    whole, _ = _encode(tokenizer, text + more)
    before, _ = _encode(tokenizer, text[:cut])
    after, _ = _encode(tokenizer, text[cut:] + more)
    require(
        np.array_equal(whole, np.concatenate([before, after])),
        "Cut at safe_cut(), the pieces encode as the whole does, whatever follows.",
        f"cut at {cut} of {text[-40:]!r}, followed by {more[:20]!r}: "
        f"{len(whole)} ids as a whole, {len(before)} + {len(after)} in pieces",
        "a symbol can begin before the cut and end after it, or a rule looks ahead",
    )


def _encode(tokenizer: Tokenizer, text: str) -> tuple[np.ndarray, list[str]]:
    try:
        return tokenizer.encode(text)
    except Exception as error:
        raise BrokenRuleError(
            "encode() never raises.",
            f"{type(error).__name__}: {error} for {text[:40]!r}",
            "an unseen character, half of a surrogate pair, or an empty text",
        ) from error


def _check_vocabulary(vocabulary: Vocabulary) -> None:
    symbols = vocabulary.symbols
    require(
        isinstance(symbols, tuple) and all(isinstance(symbol, bytes) for symbol in symbols),
        "symbols is a tuple of bytes.",
        f"{type(symbols).__name__} of {type(symbols[0]).__name__ if symbols else 'nothing'}",
        "strings were not encoded",
    )
    empty = [i for i, symbol in enumerate(symbols) if not symbol]
    require(
        empty == [vocabulary.boundary],
        "The boundary's bytes are empty, and no other symbol's.",
        f"empty: {empty[:5]}, boundary: {vocabulary.boundary}",
        "an end or unknown symbol was given text, or there are two of them",
    )
    require(
        len(set(symbols)) == len(symbols),
        "No two symbols have the same bytes.",
        f"{len(symbols) - len(set(symbols))} repeats",
        "a word of one letter stands beside the letter",
    )


def _check_same_vocabulary(one: Tokenizer, other: Tokenizer) -> None:
    require(
        one.vocabulary == other.vocabulary,
        "The same documents give the same symbols in the same order, however they are cut.",
        f"{len(one.symbols)} symbols and {len(other.symbols)}, "
        f"{sum(a != b for a, b in zip(one.symbols, other.symbols, strict=False))} differ",
        "the order is that of a set or of counting, or pieces are learnt from one by one",
    )


def _check_characters(tokenizer: Tokenizer, other: Tokenizer) -> None:
    require(
        tokenizer.vocabulary == other.vocabulary,
        "With learns_characters, the same is learnt from each character once.",
        f"{len(tokenizer.symbols)} symbols of the texts, {len(other.symbols)} of their characters",
        "characters are counted, or more than characters is learnt",
    )


def _check_json(
    tokenizer_class: type[Tokenizer], tokenizer: Tokenizer, texts: Sequence[str]
) -> None:
    data = json.loads(json.dumps(dict(tokenizer.to_json())))
    again = tokenizer_class.from_json(tokenizer.vocabulary, data)
    require(
        again.vocabulary == tokenizer.vocabulary,
        "from_json() keeps the vocabulary it is given.",
        f"{len(again.symbols)} symbols instead of {len(tokenizer.symbols)}",
        "it was sorted or completed again",
    )
    for text in texts:
        ids, unknown = tokenizer.encode(text)
        others, also = again.encode(text)
        require(
            np.array_equal(ids, others) and unknown == also,
            "from_json(to_json()) encodes as the original does.",
            f"{ids[:10].tolist()} and {others[:10].tolist()} for {text[:40]!r}",
            "something learnt is missing in to_json()",
        )


def _whole(texts: Sequence[str]) -> list[Document]:
    return [Document(f"text {i}", (text,)) for i, text in enumerate(texts)]


def _crumbs(texts: Sequence[str]) -> list[Document]:
    return [Document(f"text {i}", tuple(text)) for i, text in enumerate(texts)]
