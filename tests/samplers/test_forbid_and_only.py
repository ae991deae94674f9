"""Forbidden characters are never written, and only allowed ones are."""

from __future__ import annotations

import numpy as np
import pytest
from sampler_forms import REGISTRY, both_forms, chain_of, letters

from step_models import BYTES, LETTERS, loaded, lstm
from textgen.conformance.check_sampler import check_sampler
from textgen.contracts.errors import UserError
from textgen.contracts.tokenizer import Vocabulary

ABC = letters(5)  # boundary a b c d
WORDS = Vocabulary((b"", *(w.encode() for w in ["a", "b", "t", "h", "e", " the", "bé", "é"])), 0)
PARTS = Vocabulary(
    (b"", b"a", b"\xc3", b"\xa9", b"\xa8", "é".encode(), b"caf\xc3", b"\xa9s", b"\xe2", b"\x82"), 0
)
EURO = Vocabulary((b"", b"x", b"\xe2", b"\x82", b"\xac", b"\x84", b"\xe2\x82", b"\x82\xac"), 0)


def kept(vocabulary, name, text, history=()):
    """The symbols that may be written after ``history``; both forms agree."""
    logits = np.zeros((1, vocabulary.size), np.float32)
    ids = np.array(history, np.int64)[:, None]
    both = both_forms(logits, (name, {"text": text}), history=ids, vocabulary=vocabulary)
    np.testing.assert_array_equal(*both)
    return [vocabulary.symbols[i] for i in np.flatnonzero(np.isfinite(both[0][0]))]


def test_characters():
    assert kept(ABC, "forbid", "ac") == [b"", b"b", b"d"]
    assert kept(ABC, "only", "ac") == [b"", b"a", b"c"]
    for name in ("forbid", "only"):
        assert kept(ABC, name, "") == list(ABC.symbols)


def test_a_symbol_that_holds_a_forbidden_character_is_forbidden():
    assert kept(WORDS, "forbid", "e") == [b"", b"a", b"b", b"t", b"h", "bé".encode(), "é".encode()]
    assert kept(WORDS, "forbid", " ") == [s for s in WORDS.symbols if s != b" the"]
    assert kept(WORDS, "only", "the") == [b"", b"t", b"h", b"e"]
    assert kept(WORDS, "only", "the ") == [b"", b"t", b"h", b"e", b" the"]
    assert kept(WORDS, "only", "éb") == [b"", b"b", "bé".encode(), "é".encode()]


def test_a_character_spelt_in_parts_is_not_completed():
    free = [s for s in PARTS.symbols if s != "é".encode()]
    completed = [b"\xa9", b"\xa9s"]
    assert kept(PARTS, "forbid", "é") == free
    assert kept(PARTS, "forbid", "é", [1, 2]) == [s for s in free if s not in completed]
    assert kept(PARTS, "forbid", "é", [6]) == [s for s in free if s not in completed]
    assert kept(PARTS, "forbid", "é", [2, 0]) == [s for s in free if s not in completed]
    assert kept(PARTS, "forbid", "é", [2, 4]) == free
    assert kept(PARTS, "forbid", "è", [2]) == [s for s in PARTS.symbols if s != b"\xa8"]


def test_three_bytes_in_any_parts():
    for history in ([2, 3], [6], [1, 6], [1, 1, 1, 2, 3]):
        assert b"\xac" not in kept(EURO, "forbid", "€", history)
        assert b"\x82\xac" in kept(EURO, "forbid", "€", history)
    assert b"\x82\xac" not in kept(EURO, "forbid", "€", [2])
    assert b"\xac" in kept(EURO, "forbid", "€", [2])
    assert kept(EURO, "forbid", "€", [2, 5]) == list(EURO.symbols)


@pytest.mark.parametrize("vocabulary", [PARTS, EURO, Vocabulary(BYTES, 0)])
def test_forbidden_characters_are_never_written(vocabulary):
    """Through the loop: models of bytes and of parts of characters, held to be wild."""
    text = "é" if vocabulary is PARTS else "€"
    model = loaded(lstm(symbols=vocabulary.symbols, seed=4))
    spelt = [("only", {}), ("forbid", {"text": text})]
    sizes = (len(vocabulary.symbols) < 50) * 400 or 20
    options = {"temperature": 1.5, "samples": 16, "length": sizes, "seed": 3}
    assert text not in "".join(model.generate(samplers=spelt, **options).texts)
    if len(vocabulary.symbols) < 50:
        assert text in "".join(model.generate(**options).texts)


def test_the_loop_writes_only_what_it_may():
    model = loaded(lstm())
    text = model.generate(samplers=[("only", {"text": "bad "})], length=300, seed=1).text
    assert set(text) == set("bad ")
    text = model.generate(samplers=[("forbid", {"text": "bad "})], length=300, seed=1).text
    assert set(text) == set("cefghij.\n")


def test_where_nothing_is_left_the_likeliest_stays():
    inf = np.inf
    logits = [[1, 3, 2, 3, 1], [-inf, 4, -inf, 2, -inf], [-inf, -inf, 0, 1, -inf]]
    for found in both_forms(logits, ("forbid", {"text": "ac"}), vocabulary=ABC):
        assert np.isfinite(found).astype(int).tolist() == [
            [1, 0, 1, 0, 1],
            [0, 1, 0, 0, 0],
            [0, 0, 1, 0, 0],
        ]
    for found in both_forms([[-inf, -inf, 2, -inf, 2]], ("only", {"text": "ac"}), vocabulary=ABC):
        assert np.isfinite(found).tolist() == [[False, False, True, False, True]]


@pytest.mark.parametrize("name", ["forbid", "only"])
def test_unknown_characters_are_named(name):
    with pytest.raises(UserError) as caught:
        chain_of((name, {"text": "aéb\n\udc80"}), vocabulary=ABC)
    for character in ("'é'", r"'\n'", r"'\udc80'"):
        assert character in caught.value.problem
    assert "'a'" not in caught.value.problem
    assert "\n" not in caught.value.problem


def test_what_cannot_be_held_to_is_refused():
    with pytest.raises(UserError, match="Every symbol"):
        chain_of(("forbid", {"text": "abcd"}), vocabulary=ABC)
    with pytest.raises(UserError, match="'é'"):
        chain_of(("only", {"text": "aé"}), vocabulary=Vocabulary(BYTES, 0))
    assert kept(Vocabulary(BYTES, 0), "only", "ab") == [b"", b"a", b"b"]


def test_their_text_is_part_of_the_graph():
    chains = [chain_of(("forbid", {"text": t}), vocabulary=ABC).key for t in ("a", "b", "a")]
    assert chains[0] == chains[2] != chains[1]


@pytest.mark.parametrize("vocabulary", [ABC, WORDS, PARTS, EURO, Vocabulary(LETTERS, 0)])
def test_they_conform_with_any_vocabulary(vocabulary):
    """The kit has a vocabulary of its own; the sampler is put beside it."""
    character = next(s for s in vocabulary.symbols if len(s) == 1 and s.isascii()).decode()
    for name in ("forbid", "only"):
        plugin = REGISTRY.load("sampler", name)

        class Given(plugin):
            def __init__(self, kit, options):
                padded = [f"<{i}>".encode() for i in range(kit.size - vocabulary.size)]
                super().__init__(Vocabulary((*vocabulary.symbols, *padded), 0), options)

        check_sampler(Given, {"text": character})
