"""Nothing from a model, corpus or plugin reaches a terminal but what can be seen."""

from __future__ import annotations

import re
import unicodedata

import pytest
from nasty import FRAGMENTS, nasty_texts

from textgen.screen.safe import one_line, visible

HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
JOINERS = "\u200c\u200d\ufe0e\ufe0f"


def test_nothing_hidden_is_left():
    for text in nasty_texts():
        shown = visible(text)
        for index, character in enumerate(shown):
            if character in JOINERS:
                assert index and not shown[index - 1].isascii(), (text, shown)
            elif character not in "\n\t":
                assert unicodedata.category(character) not in HIDDEN, repr(text)
        assert "\n" not in one_line(text) and "\t" not in one_line(text)
        shown.encode("utf-8")


def test_what_is_seen_stays_and_its_order_too():
    for text in nasty_texts(200, seed=8):
        kept = "".join(c for c in text if c.isprintable() and c not in "\u3164\u115f" + JOINERS)
        shown = re.sub(r"\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\U[0-9a-f]{8}", "", visible(text))
        seen = "".join(c for c in shown if c.isprintable() and c not in JOINERS)
        assert seen == "".join(c for c in kept if visible(c) == c)


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_a_piece_by_piece_stream_shows_what_the_whole_would(fragment):
    whole = f"ا{fragment}e{fragment}日{fragment}"
    shown, before = "", ""
    for character in whole:
        shown += visible(character, before=before)
        before = character
    assert shown == visible(whole)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31m", "\\x9b31m"),
        ("\x1b]52;c;aA==\x07", "\\x1b]52;c;aA==\\x07"),
        ("a\u202eb", "a\\u202eb"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("line\n\ttab", "line\n\ttab"),
        ("[bold]x[/x]", "[bold]x[/x]"),
        (r"\alpha \x1b", r"\alpha \x1b"),
        ("hid\u200dden", "hid\\u200dden"),
        ("می\u200cخواهم ❤\ufe0f\u200d🔥", "می\u200cخواهم ❤\ufe0f\u200d🔥"),
    ],
)
def test_examples(text, shown):
    assert visible(text) == shown


def test_one_line_is_one_line():
    assert one_line("a\nb\tc\r") == "a\\nb\\tc\\x0d"
