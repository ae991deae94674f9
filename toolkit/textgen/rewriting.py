r"""Rewriting: what a text says before a model reads it (``--replace REGEX=TEXT``).

Timestamps, ids and counters that never come twice teach nothing, and make every line of a log look
strange. A rule is a regular expression of Python's ``re`` and the text that takes the place of what
it matches, with ``\1`` and ``\g<name>`` for its groups. Rules run one after the other over each
line by itself, without its end: no pattern sees a new line or matches across one, so the pieces in
which a text comes change nothing. The same rules run in training and ever after.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from textgen.contracts.errors import UserError
from textgen.contracts.reader import Document

Rule = tuple[str, str]
"""A pattern, and what takes the place of what it matches."""

LONGEST = 1 << 26
"""Characters of the longest line, which is held in memory."""

_PATTERN = re.compile(r"(?>\\.|\(\?[<P]?=|\[\^?\]?(?:\\.|[^\]\\])*\]|[^=])*+", re.DOTALL)
"""Up to the first ``=`` that is not escaped, in a set, or part of ``(?=``, ``(?<=`` or ``(?P=``."""


class Rewriting:
    """Applies rules to texts. Raises ValueError where one cannot be read, saying where."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self.idle = set(self.rules)
        """Those that have changed nothing yet."""
        self._substitutes = [(rule, partial(_compiled(*rule).sub, rule[1])) for rule in self.rules]

    def text(self, text: str) -> str:
        """``text`` with every line of it rewritten."""
        for rule, substitute in self._substitutes:
            before, text = text, "\n".join(map(substitute, text.split("\n")))
            if text != before:
                self.idle.discard(rule)
        return text

    def document(self, document: Document) -> Document:
        """``document`` rewritten, as it is read."""
        name, pieces = document.name, document.pieces
        if not self.rules:
            return document
        if type(pieces) is tuple and len(pieces) == 1:  # a record: no generator for each of them
            return Document(name, (self.text(pieces[0]),), document.split)
        return Document(name, self.pieces(pieces, name), document.split)

    def pieces(self, pieces: Iterable[str], name: str) -> Iterator[str]:
        """The text that comes in ``pieces``, rewritten; a line waits for its end.

        Raises UserError for a line of more than 64 million characters in the text ``name``.
        """
        if not self.rules:
            yield from pieces
            return
        held: list[str] = []
        length = 0
        for piece in pieces:
            whole, end, rest = piece.rpartition("\n")
            if end:
                yield self.text("".join([*held, whole])) + end
                held, length = [], 0
            held.append(rest)
            length += len(rest)
            if length > LONGEST:
                raise UserError(
                    f"{name} has a line of more than {LONGEST} characters, which is not rewritten.",
                    "Leave out --replace, or break the line.",
                )
        if last := "".join(held):
            yield self.text(last)


def parse_rule(word: str) -> Rule:
    r"""``REGEX=TEXT`` as typed. The first ``=`` ends the pattern, but for one in a set (``[=]``),
    after a backslash, or in a lookaround.

    Raises UserError where it is none, or cannot be read.
    """
    match = _PATTERN.match(word)
    assert match is not None  # it matches nothing at all, too
    pattern, rest = match[0], word[match.end() :]
    if not pattern or not rest:
        raise UserError(
            f"--replace '{word}' is not of the form REGEX=TEXT.",
            r"Write for example --replace '\d+=0'; an = in REGEX is written \=.",
        )
    rule = pattern, rest[1:]
    check_rules([rule])
    return rule


def check_rules(rules: Sequence[Rule]) -> None:
    """Raises UserError where a rule cannot be read."""
    try:
        Rewriting(rules)
    except ValueError as error:
        raise UserError(
            f"--replace cannot be read: {error}.",
            r"REGEX is one of Python's re; an = in it is written \=, and \1 in TEXT is a group.",
        ) from None


def _compiled(pattern: str, text: str) -> re.Pattern[str]:
    if not (isinstance(pattern, str) and isinstance(text, str)):
        raise ValueError("a rule is a pattern and a text")
    what = f"the pattern '{pattern}'"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of patterns that another Python may read otherwise
            compiled = re.compile(pattern)
            what = f"the text '{text}'"
            compiled.sub(text, "")
    except (re.error, IndexError, OverflowError, RecursionError, Warning) as error:
        raise ValueError(f"{what}: {error}") from None
    return compiled
