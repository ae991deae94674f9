"""Texts that try to reach the terminal, or to be read as markup."""

from __future__ import annotations

import random

FRAGMENTS = [
    "\x1b[31m", "\x1b[2J", "\x1b]0;title\x07", "\x1b]52;c;aGVsbG8=\x07", "\x1b]8;;http://x\x1b\\",
    "\x1bP+q\x1b\\", "\x9b31m", "\x9d52;c;aA==\x9c", "\x90", "\x85", "\x07", "\x08\x08", "\x7f",
    "\r", "\x0b", "\x0c", "\x00", "\u202e", "\u202d", "\u2066", "\u2069", "\u200e", "\u061c",
    "\u200b", "\u2060", "\ufeff", "\u00ad", "\u2028", "\u2029", "\u3164", "\u115f", "\U000e0041",
    "\ufff9", "\U000e0100", "\ud800", "\udcff", "\udfff", "[bold]", "[/x]", "[/]", "[red]x[/red]",
    "[link=http://x]", "\\[", ":smile:", "a\u200db", "\ufe0f", "\ue000", "\uffff",
    "plain", " ", "\n", "\t", "é", "日本", "\u0301", "می\u200cخواهم", "👩\u200d🚒",
]  # fmt: skip


def nasty_texts(count: int = 1000, seed: int = 7) -> list[str]:
    """``count`` texts made of the fragments, of random code points, and of both."""
    draw = random.Random(seed)
    texts = []
    for _ in range(count):
        pieces = draw.choices(FRAGMENTS, k=draw.randint(1, 8))
        pieces += [chr(draw.randrange(0x110000)) for _ in range(draw.randint(0, 4))]
        pieces += [chr(draw.randrange(0xA0)) for _ in range(draw.randint(0, 4))]
        draw.shuffle(pieces)
        texts.append("".join(pieces))
    return texts
