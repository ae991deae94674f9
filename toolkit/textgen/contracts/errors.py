"""Errors a person reads: what is wrong, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TextgenError(Exception):
    """Something failed. ``problem`` is one line, ``remedy`` another; no traceback is shown.

    ``exit_status`` is what the command exits with: 1 for a failure.
    """

    exit_status = 1

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}\n{self.remedy}" if self.remedy else self.problem


class UserError(TextgenError):
    """The user's mistake: a name, a number or a file that cannot be meant. Exit status 2."""

    exit_status = 2


class PluginError(TextgenError):
    """A plugin broke its promise: it did not import, or what it offers is not what it says."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name nobody offers, listing those that exist and the nearest of them."""
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1)
    guess = f"Did you mean {nearest[0]}? " if nearest else ""
    listing = ", ".join(names) if names else "none"
    return UserError(f"There is no {kind} named {name!r}.", f"{guess}Known: {listing}.")
