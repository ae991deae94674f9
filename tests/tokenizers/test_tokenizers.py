"""The bundled tokenizers: the public kit, all of Unicode, and what each promises beyond it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgen.conformance.check_tokenizer import check_round_trip, check_safe_cut, check_tokenizer
from textgen.conformance.rules import BrokenRuleError
from textgen.contracts.options import build_options
from textgen.contracts.reader import Document
from textgen.contracts.tokenizer import Tokenizer, Vocabulary
from textgen_tokenizers.bytes import Bytes
from textgen_tokenizers.characters import Characters
from textgen_tokenizers.words import LONGEST_WORD, Words

KINDS: list[type[Tokenizer]] = [Characters, Bytes, Words]


def learn(kind: type[Tokenizer], *texts: str, **options: object) -> Tokenizer:
    documents = [Document(str(i), (text,)) for i, text in enumerate(texts)]
    return kind.learn(iter(documents), build_options(kind.Options, options, "tokenizer"))


def decode(tokenizer: Tokenizer, ids: np.ndarray) -> str:
    return b"".join(tokenizer.symbols[i] for i in ids).decode("utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_kit(kind: type[Tokenizer]) -> None:
    check_tokenizer(kind)


@pytest.mark.parametrize("options", [{"max_size": 0}, {"max_size": 3}, {"min_count": 1}])
def test_kit_words_with_options(options: dict[str, int]) -> None:
    check_tokenizer(Words, options, seed=1)


@pytest.mark.parametrize("kind", KINDS)
def test_all_of_unicode(kind: type[Tokenizer]) -> None:
    everything = "".join(chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000)
    tokenizer = learn(kind, everything)
    ids, unknown = tokenizer.encode(everything)
    assert not unknown
    assert decode(tokenizer, ids) == everything


@pytest.mark.parametrize("kind", KINDS)
def test_surrogates_are_unknown(kind: type[Tokenizer]) -> None:
    tokenizer = learn(kind, "abc \ud83d abc")
    ids, unknown = tokenizer.encode("a\ud83db\udc00c\ud83d")
    assert decode(tokenizer, ids) == "abc"
    assert unknown == ["\ud83d", "\udc00"]
    assert all(b"\xed\xa0" not in symbol for symbol in tokenizer.symbols)


@pytest.mark.parametrize("kind", KINDS)
def test_boundary_is_zero_and_empty(kind: type[Tokenizer]) -> None:
    tokenizer = learn(kind, "some text")
    assert tokenizer.boundary == 0
    assert tokenizer.symbols[0] == b""


text_of = st.text(st.characters(codec=None, categories=None, exclude_categories=()), max_size=60)
words_of = st.text(st.sampled_from("ab \n.é日x_'"), max_size=100)


@settings(max_examples=150, deadline=None)
@given(learnt=words_of, text=st.one_of(text_of, words_of), more=st.one_of(text_of, words_of))
@pytest.mark.parametrize("kind", KINDS)
def test_round_trip_and_cut(kind: type[Tokenizer], learnt: str, text: str, more: str) -> None:
    options = {"min_count": 1} if kind is Words else {}
    tokenizer = learn(kind, learnt, **options)
    check_round_trip(tokenizer, learnt)
    check_round_trip(tokenizer, text)
    check_safe_cut(tokenizer, text, more)


def test_characters_are_sorted() -> None:
    tokenizer = learn(Characters, "hello wörld", "日")
    assert tokenizer.symbols == (b"", *(c.encode() for c in sorted(set("hello wörld日"))))


def test_characters_agree_with_a_plain_loop() -> None:
    tokenizer = learn(Characters, "the quick brown fox ✓")
    text = "fix the ✓ box, quick"
    ids, unknown = tokenizer.encode(text)
    table = {symbol.decode(): i for i, symbol in enumerate(tokenizer.symbols)}
    assert ids.tolist() == [table[c] for c in text if c in table]
    assert unknown == [","]


def test_bytes_are_bytes() -> None:
    tokenizer = learn(Bytes)
    ids, _ = tokenizer.encode("é")
    assert ids.tolist() == [0xC3 + 1, 0xA9 + 1]
    assert len(tokenizer.symbols) == 257


def test_words_are_the_most_frequent() -> None:
    text = "the cat and the dog and the bird"
    tokenizer = learn(Words, text, max_size=2, min_count=2)
    characters = sorted(set(text))
    words = [symbol.decode() for symbol in tokenizer.symbols[1 + len(characters) :]]
    assert words == [" and", " the"]  # equal counts in the order of their code points
    ids, unknown = tokenizer.encode("tad and")
    assert not unknown
    assert [tokenizer.symbols[i] for i in ids] == [b"t", b"a", b"d", b" and"]


def test_words_spell_what_is_no_word() -> None:
    tokenizer = learn(Words, "abc " * 10)
    ids, unknown = tokenizer.encode("cab")
    assert [tokenizer.symbols[i] for i in ids] == [b"c", b"a", b"b"]
    assert not unknown


def test_words_stream_without_spaces() -> None:
    tokenizer = learn(Words, "日" * 1000)
    cut = tokenizer.safe_cut("日" * 1000)
    assert 1000 - cut < LONGEST_WORD


def test_words_learnt_do_not_span_documents() -> None:
    apart = learn(Words, *["ab", "cd"] * 5)
    assert b"abcd" not in apart.symbols
    assert b"ab" in apart.symbols


def test_from_json_after_json() -> None:
    tokenizer = learn(Words, "one two two three three three " * 3)
    again = Words.from_json(tokenizer.vocabulary, json.loads(json.dumps(dict(tokenizer.to_json()))))
    assert again.encode("three two")[0].tolist() == tokenizer.encode("three two")[0].tolist()


class Stripping(Characters):
    def encode(self, text: str) -> tuple[np.ndarray, list[str]]:
        return super().encode(text.strip())


class Raising(Characters):
    def encode(self, text: str) -> tuple[np.ndarray, list[str]]:
        text.encode("utf-8")
        return super().encode(text)


class Hasty(Words):
    def safe_cut(self, text: str) -> int:
        return len(text)


class Forgetful(Characters):
    def encode(self, text: str) -> tuple[np.ndarray, list[str]]:
        ids, _ = super().encode(text)
        return ids, []


class Wrapping(Characters):
    def encode(self, text: str) -> tuple[np.ndarray, list[str]]:
        ids, unknown = super().encode(text)
        return np.append(0, ids), unknown


class Counting(Characters):
    @classmethod
    def learn(cls, documents: Iterable[Document], options: Any) -> Self:
        text = "".join(piece for document in documents for piece in document.pieces)
        order = sorted(set(text), key=lambda character: (-text.count(character), character))
        return cls(Vocabulary((b"", *(character.encode() for character in order)), 0))


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        (Counting, "from each character once"),
        (Stripping, "join to the text"),
        (Raising, "never raises"),
        (Hasty, "Cut at safe_cut"),
        (Forgetful, "join to the text"),
        (Wrapping, "never the boundary"),
    ],
)
def test_kit_finds_what_is_wrong(kind: type[Tokenizer], rule: str) -> None:
    with pytest.raises(BrokenRuleError, match=re.escape(rule)) as caught:
        check_tokenizer(kind, {"min_count": 1} if kind is Hasty else None)
    assert "usual cause" in str(caught.value)


class Shortening(Characters):
    def encode(self, text: str) -> tuple[np.ndarray, list[str]]:
        return super().encode(text.replace("ee", "e"))


def test_the_smallest_text_that_breaks_a_rule_is_told() -> None:
    with pytest.raises(BrokenRuleError) as caught:
        check_tokenizer(Shortening)
    assert caught.value.found == "b'e' for 'ee'"
