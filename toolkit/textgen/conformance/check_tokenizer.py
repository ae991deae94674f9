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
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from textgen.conformance.rules import Finding, Findings, enforce, in_turn
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


_BLOCK = 0x1000
"""Code points of Unicode that are encoded together."""


def check_tokenizer(
    tokenizer_class: type[Tokenizer],
    options: Mapping[str, Any] | None = None,
    texts: Sequence[str] = TEXTS,
    seed: int = 0,
    trials: int = 200,
) -> None:
    """Learns from ``texts``, and tries encoding, decoding and cutting: them, all of Unicode, and
    ``trials`` random texts. Of a text that breaks a rule the smallest part that does so is told.

    ``options`` are as a person would give them. Raises BrokenRuleError for the first broken rule.
    """
    enforce(examine_tokenizer(tokenizer_class, options, texts, seed, trials))


def examine_tokenizer(
    tokenizer_class: type[Tokenizer],
    options: Mapping[str, Any] | None = None,
    texts: Sequence[str] = TEXTS,
    seed: int = 0,
    trials: int = 200,
) -> Findings:
    """The same, rule by rule. Raises UserError for options that the tokenizer does not have."""
    built = build_options(tokenizer_class.Options, options or {}, tokenizer_class.__name__)
    return in_turn(_parts(tokenizer_class, built, texts, random.Random(seed), trials))


def _parts(
    tokenizer_class: type[Tokenizer],
    options: Any,
    texts: Sequence[str],
    rng: random.Random,
    trials: int,
) -> Iterator[Findings]:
    tokenizer = tokenizer_class.learn(_whole(texts), options)
    yield _vocabulary(tokenizer.vocabulary)
    yield _learning(tokenizer, options, texts)
    yield _learnt(tokenizer, texts)
    drawn = _drawn(rng, "".join(texts), trials)
    yield _round_trips(tokenizer, (*STRANGE, *drawn))
    yield _round_trips(tokenizer, _all_of_unicode())
    yield _cuts(tokenizer, (*texts, *STRANGE, *drawn))
    yield _json(tokenizer, drawn)


def check_round_trip(tokenizer: Tokenizer, text: str) -> list[str]:
    """Encodes ``text``, decodes it as the core does, and returns what was unknown.

    Raises BrokenRuleError.
    """
    enforce(_round_trip(tokenizer, text))
    return tokenizer.encode(text)[1]


def check_safe_cut(tokenizer: Tokenizer, text: str, more: str) -> None:
    """Cuts ``text`` where it is safe, and compares with the whole when ``more`` follows.

    Raises BrokenRuleError.
    """
    enforce(_safe_cut(tokenizer, text, more))


def _drawn(rng: random.Random, learnt: str, trials: int) -> list[str]:
    """Random texts: of the characters learnt and strange ones, and of all there are."""
    familiar = learnt + "".join(STRANGE)
    texts = []
    for trial in range(trials):
        length = rng.randrange(60)
        if trial % 4:
            texts.append("".join(rng.choices(familiar, k=length)))
        else:
            texts.append("".join(chr(rng.randrange(0x110000)) for _ in range(length)))
    return texts


def _round_trips(tokenizer: Tokenizer, texts: Iterable[str]) -> Findings:
    for text in texts:
        _, found = _smallest(lambda part: list(_round_trip(tokenizer, part)), text)
        yield from found


def _all_of_unicode() -> Iterator[str]:
    for start in range(0, 0x110000, _BLOCK):
        yield "".join(map(chr, range(start, start + _BLOCK)))


def _cuts(tokenizer: Tokenizer, texts: Sequence[str]) -> Findings:
    for text, more in pairwise((*texts, texts[0])):
        yield from _cut_found(tokenizer, text, more)


def _cut_found(tokenizer: Tokenizer, text: str, more: str) -> list[Finding]:
    """What is found of the smallest ``text`` and then the smallest ``more`` that break a rule."""
    part, found = _smallest(lambda part: list(_safe_cut(tokenizer, part, more)), text)
    if any(finding.broken for finding in found):
        _, found = _smallest(lambda after: list(_safe_cut(tokenizer, part, after)), more)
    return found


def _smallest(examine: Callable[[str], list[Finding]], text: str) -> tuple[str, list[Finding]]:
    """``text``, or the smallest part of it that breaks a rule, and what is found of it."""
    found = examine(text)
    size = len(text) // 2
    while size and any(finding.broken for finding in found):
        for start in range(0, len(text), size):
            smaller = text[:start] + text[start + size :]
            again = examine(smaller)
            if any(finding.broken for finding in again):
                text, found = smaller, again
                size = min(size, len(text))
                break
        else:
            size //= 2
    return text, found


def _round_trip(tokenizer: Tokenizer, text: str) -> Findings:
    encoded = yield from _encoding(tokenizer, text)
    if encoded is None:
        return
    ids, unknown = encoded
    size = len(tokenizer.symbols)
    yield Finding(
        isinstance(ids, np.ndarray) and ids.dtype == np.int64 and ids.ndim == 1,
        "encode() gives ids as int64 in one dimension.",
        f"{getattr(ids, 'dtype', type(ids))}, shape {getattr(ids, 'shape', None)}",
        "a list, or the dtype of an empty or a lookup array",
    )
    yield Finding(
        bool(((ids >= 0) & (ids < size) & (ids != tokenizer.boundary)).all()),
        "Ids are symbols of the vocabulary, and never the boundary, which stands for no text.",
        f"{sorted(set(ids.tolist()))[:5]} of {size}, boundary {tokenizer.boundary}",
        "unknown characters were given an id, or the boundary's",
    )
    characters = set(text)
    yield Finding(
        len(set(unknown)) == len(unknown)
        and all(u and (u in characters or u in text) for u in unknown),
        "What is unknown is returned as it stands in the text, each once.",
        f"{unknown[:5]} in {text[:40]!r}",
        "repeats, or escaped forms, were returned",
    )
    if all(len(symbol) == 1 for symbol in unknown):
        left = text.translate(dict.fromkeys(map(ord, unknown)))
        decoded = b"".join(tokenizer.symbols[i] for i in ids)
        yield Finding(
            decoded == left.encode("utf-8", "replace"),
            "The symbols' bytes join to the text, less what is unknown.",
            f"{decoded[:60]!r} for {text[:60]!r}",
            "the text was normalised, stripped or lower-cased, or a symbol's bytes are not UTF-8",
        )


def _safe_cut(tokenizer: Tokenizer, text: str, more: str) -> Findings:
    cut = tokenizer.safe_cut(text)
    inside = isinstance(cut, int) and 0 <= cut <= len(text)
    yield Finding(
        inside,
        "safe_cut() is a place in the text.",
        f"{cut!r} in a text of {len(text)} characters",
        "a negative index, or one counted in bytes",
    )
    if not inside:
        return
    whole = yield from _encoding(tokenizer, text + more)
    before = yield from _encoding(tokenizer, text[:cut])
    after = yield from _encoding(tokenizer, text[cut:] + more)
    if whole is None or before is None or after is None:
        return
    yield Finding(
        np.array_equal(whole[0], np.concatenate([before[0], after[0]])),
        "Cut at safe_cut(), the pieces encode as the whole does, whatever follows.",
        f"cut at {cut} of {text[-40:]!r}, followed by {more[:20]!r}: "
        f"{len(whole[0])} ids as a whole, {len(before[0])} + {len(after[0])} in pieces",
        "a symbol can begin before the cut and end after it, or a rule looks ahead",
    )


Encoded = tuple[np.ndarray, list[str]]


def _encoding(tokenizer: Tokenizer, text: str) -> Generator[Finding, None, Encoded | None]:
    error: Exception | None = None
    encoded: Encoded | None = None
    try:
        encoded = tokenizer.encode(text)
    except Exception as raised:
        error = raised
    yield Finding(
        error is None,
        "encode() never raises.",
        f"{type(error).__name__}: {error} for {text[:40]!r}" if error else f"for {text[:40]!r}",
        "an unseen character, half of a surrogate pair, or an empty text",
        error=error,
    )
    return encoded


def _vocabulary(vocabulary: Vocabulary) -> Findings:
    symbols = vocabulary.symbols
    yield Finding(
        isinstance(symbols, tuple) and all(isinstance(symbol, bytes) for symbol in symbols),
        "symbols is a tuple of bytes.",
        f"{type(symbols).__name__} of {type(symbols[0]).__name__ if symbols else 'nothing'}",
        "strings were not encoded",
    )
    empty = [i for i, symbol in enumerate(symbols) if not symbol]
    yield Finding(
        empty == [vocabulary.boundary],
        "The boundary's bytes are empty, and no other symbol's.",
        f"empty: {empty[:5]}, boundary: {vocabulary.boundary}",
        "an end or unknown symbol was given text, or there are two of them",
    )
    yield Finding(
        len(set(symbols)) == len(symbols),
        "No two symbols have the same bytes.",
        f"{len(symbols) - len(set(symbols))} repeats among {len(symbols)}",
        "a word of one letter stands beside the letter",
    )


def _learning(tokenizer: Tokenizer, options: Any, texts: Sequence[str]) -> Findings:
    """What is learnt again is the same."""
    learn = type(tokenizer).learn
    for pieces in (_whole(texts), _crumbs(texts)):
        other = learn(iter(pieces), options)
        changed = sum(a != b for a, b in zip(tokenizer.symbols, other.symbols, strict=False))
        yield Finding(
            tokenizer.vocabulary == other.vocabulary,
            "The same documents give the same symbols in the same order, however they are cut.",
            f"{len(tokenizer.symbols)} symbols and {len(other.symbols)}, {changed} differ",
            "the order is that of a set or of counting, or pieces are learnt from one by one",
        )
    if tokenizer.learns_characters:
        once = Document("characters", ("".join(sorted(set("".join(texts)))),))
        other = learn(iter([once]), options)
        yield Finding(
            tokenizer.vocabulary == other.vocabulary,
            "With learns_characters, the same is learnt from each character once.",
            f"{len(tokenizer.symbols)} symbols of the texts, {len(other.symbols)} of their "
            "characters",
            "characters are counted, or more than characters is learnt",
        )


def _learnt(tokenizer: Tokenizer, texts: Sequence[str]) -> Findings:
    yield from _round_trips(tokenizer, texts)
    for text in texts:
        unknown = tokenizer.encode(text)[1]
        yield Finding(
            not unknown,
            "Every text that was learnt from can be encoded.",
            f"{unknown[:5]} unknown in {text[:40]!r}" if unknown else f"{len(texts)} texts",
            "rare symbols were dropped without single characters or bytes to spell them with",
        )


def _json(tokenizer: Tokenizer, texts: Sequence[str]) -> Findings:
    data = json.loads(json.dumps(dict(tokenizer.to_json())))
    again = type(tokenizer).from_json(tokenizer.vocabulary, data)
    yield Finding(
        again.vocabulary == tokenizer.vocabulary,
        "from_json() keeps the vocabulary it is given.",
        f"{len(again.symbols)} symbols of {len(tokenizer.symbols)}",
        "it was sorted or completed again",
    )
    for text in texts:
        ids, unknown = tokenizer.encode(text)
        others, also = again.encode(text)
        yield Finding(
            np.array_equal(ids, others) and unknown == also,
            "from_json(to_json()) encodes as the original does.",
            f"{ids[:10].tolist()} and {others[:10].tolist()} for {text[:40]!r}",
            "something learnt is missing in to_json()",
        )


def _whole(texts: Sequence[str]) -> list[Document]:
    return [Document(f"text {i}", (text,)) for i, text in enumerate(texts)]


def _crumbs(texts: Sequence[str]) -> list[Document]:
    return [Document(f"text {i}", tuple(text)) for i, text in enumerate(texts)]
