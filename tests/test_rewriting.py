"""Rewriting: rules as typed, lines by themselves, texts that come in any pieces."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgen import rewriting
from textgen.contracts.errors import UserError
from textgen.contracts.reader import Document
from textgen.rewriting import Rewriting, check_rules, parse_rule

RULES = (
    (r"\d+", "0"),
    (r"(?<=id )(\w)\w*", r"\1."),
    (r"\s+", " "),
    (r"(?s)x.*y", "xy"),
    (r"^a|b$", "c"),
    (r"[^x]{3}$", ""),
    (r"\n", "never"),
    ("z", r"q\nr"),
)


@pytest.mark.parametrize(
    ("word", "rule"),
    [
        (r"\d+=0", (r"\d+", "0")),
        (r"\d+=", (r"\d+", "")),
        (r"id\=\d+=id=0", (r"id\=\d+", "id=0")),
        (r"id[=]\d+=id=0", (r"id[=]\d+", "id=0")),
        (r"[^]=]+=x", (r"[^]=]+", "x")),
        (r"(?<=id )\w+=X", (r"(?<=id )\w+", "X")),
        (r"a(?=b)=X", (r"a(?=b)", "X")),
        (r"(?P<q>.)(?P=q)=\g<q>", (r"(?P<q>.)(?P=q)", r"\g<q>")),
        ("a=b=c", ("a", "b=c")),
        (r"\\=x", (r"\\", "x")),
    ],
)
def test_the_first_bare_equals_sign_ends_the_pattern(word, rule):
    assert parse_rule(word) == rule


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (r"\d+", "REGEX=TEXT"),
        ("=x", "REGEX=TEXT"),
        ("", "REGEX=TEXT"),
        ("(?<=id )", "REGEX=TEXT"),
        ("ab(c=x", "position 2"),
        ("[a=x", "position 0"),
        ("*=x", "position 0"),
        (r"a=x\1", "position 2"),
        (r"a=\g<b>", "unknown group name 'b'"),
        (r"a=\d", "position 0"),
        ("[[a]=x", "set at position 1"),
        ("a{99999999999}=x", "too large"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(word, said):
    with pytest.raises(UserError, match="--replace") as caught:
        parse_rule(word)
    assert said in caught.value.problem


def test_rules_are_texts():
    with pytest.raises(UserError):
        check_rules([("a", 3)])


@given(st.text("ab xyz1\nid ", max_size=60), st.lists(st.integers(0, 60)), st.data())
def test_pieces_change_nothing_and_no_pattern_leaves_its_line(text, cuts, data):
    rules = data.draw(st.lists(st.sampled_from(RULES), max_size=4))
    edges = [0, *sorted(cut for cut in cuts if cut <= len(text)), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
    expected = text
    for pattern, replacement in rules:
        lines = expected.split("\n")
        expected = "\n".join(re.sub(pattern, replacement, line) for line in lines)
    rewriter = Rewriting(rules)
    assert rewriter.text(text) == expected
    assert "".join(rewriter.pieces(pieces, "a text")) == expected
    for document in (Document("d", tuple(pieces)), Document("d", (text,), "test")):
        found = rewriter.document(document)
        assert "".join(found.pieces) == expected
        assert (found.name, found.split) == (document.name, document.split)


def test_a_line_that_is_none_is_refused(monkeypatch):
    monkeypatch.setattr(rewriting, "LONGEST", 100)
    rewriter = Rewriting([("a", "b")])
    pieces = ["a" * 60] * 3
    with pytest.raises(UserError, match=r"big\.txt has a line of more than 100"):
        list(rewriter.pieces(pieces, "big.txt"))
    short = [f"{piece}\n" for piece in pieces]
    assert "".join(rewriter.pieces(short, "big.txt")) == ("b" * 60 + "\n") * 3
    assert list(Rewriting(()).pieces(pieces, "big.txt")) == pieces


def test_rules_that_change_nothing_are_known():
    rewriter = Rewriting([("a", "b"), ("c", "d")])
    list(rewriter.pieces(["xay\n", "b"], "a text"))
    assert rewriter.idle == {("c", "d")}
