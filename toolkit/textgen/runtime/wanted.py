"""What a text must be to be wanted."""

from __future__ import annotations

import re
from dataclasses import dataclass

from textgen.contracts.errors import UserError

TRIES = 1000
"""Tries of one sample, unless told otherwise."""


@dataclass(frozen=True)
class Wanted:
    """What texts must be. A text is all that is shown: the prompt and what follows it.

    Raises UserError for what cannot be.
    """

    unique: bool = False
    """No two samples are the same text."""
    new: bool = False
    """None is a whole document of the corpus."""
    min_length: int = 0
    """Symbols, of those written: the prompt's do not count."""
    max_length: int | None = None
    match: str | None = None
    """A regular expression that is found in each."""
    block: tuple[str, ...] = ()
    """Words that none contains, in capitals or not."""
    tries: int = TRIES
    """Of one sample, at most."""

    def __post_init__(self) -> None:
        if self.min_length < 0 or (self.max_length is not None and self.max_length < 0):
            raise UserError("A length cannot be negative.", "It is 0 or more symbols.")
        if self.max_length is not None and self.max_length < self.min_length:
            raise UserError(
                f"No text has at least {self.min_length} and at most {self.max_length} symbols.",
                "Exchange them, or leave one out.",
            )
        if self.tries < 1:
            raise UserError(f"The number of tries cannot be {self.tries}.", "It is 1 or more.")
        if self.match is not None:
            self._check(self.match)

    @property
    def anything(self) -> bool:
        """Whether every text will do."""
        return self == Wanted(tries=self.tries)

    @staticmethod
    def _check(pattern: str) -> None:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UserError(
                f"--match {pattern!r} is not a regular expression: {error}.",
                "Put a backslash before a character that is meant as it stands.",
            ) from None

    def refusal(self, text: str, symbols: int, *, cut: bool) -> str | None:
        """Why a text of so many symbols is refused, ``cut`` where it was cut off; None where it
        is wanted as far as can be told from it alone."""
        folded = text.casefold()
        reasons = {
            "too long": self.max_length is not None and symbols > self.max_length,
            "too short": symbols < self.min_length,
            "cut off": cut,
            "not matching": self.match is not None and not re.search(self.match, text),
            "blocked": any(word.casefold() in folded for word in self.block),
        }
        return next((reason for reason, holds in reasons.items() if holds), None)


ANYTHING = Wanted()
