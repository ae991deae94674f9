"""The options of ``generate`` that say which texts are wanted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from textgen.commands.parameters import assignments
from textgen.contracts.errors import UserError
from textgen.runtime.wanted import TRIES, Wanted


def wanted_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them; the command gets ``wanted``, a dictionary of their values, and ``given``."""
    options = [
        click.option("--unique", is_flag=True, help="No text twice."),
        click.option("--new", is_flag=True, help="No text that stands in the corpus."),
        click.option("--min-length", default=0, help="Only texts of at least so many symbols."),
        click.option("--max-length", type=int, help="Only texts of at most so many symbols."),
        click.option("--match", metavar="REGEX", help="Only texts in which REGEX is found."),
        click.option("--block", metavar="FILE", help="No text that holds a line of FILE."),
        click.option(
            "--tries",
            default=TRIES,
            show_default=True,
            help="How often each text is tried at most, where some are refused.",
        ),
        click.option(
            "--given",
            "given_words",
            multiple=True,
            metavar="FIELD=VALUE",
            help="Begin with this field of the template the model was trained with, and write the "
            "rest. May be repeated.",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def build_wanted(
    *,
    unique: bool,
    new: bool,
    min_length: int,
    max_length: int | None,
    match: str | None,
    block: str | None,
    tries: int,
) -> Wanted:
    """What was typed. Raises UserError for what cannot be."""
    words = () if block is None else _lines(block)
    return Wanted(unique, new, min_length, max_length, match, words, tries)


def build_given(words: tuple[str, ...]) -> dict[str, str]:
    """The fields that were typed."""
    return assignments(words, "--given")


def _lines(file: str) -> tuple[str, ...]:
    """The lines of a file that are not empty."""
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{file} could not be read: {error.strerror}.", "Check it.") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file} is not UTF-8 at byte offset {error.start}.", "Convert it first."
        ) from None
    return tuple(line.strip() for line in text.splitlines() if line.strip())
