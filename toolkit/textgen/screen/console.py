"""The two streams: the text alone on standard output, everything else on standard error."""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, TextIO

from textgen.screen.safe import one_line, visible

if TYPE_CHECKING:
    from rich.console import Console

PIPE_CLOSED = 141
"""Exit status when the reader of a pipe has gone: 128 + SIGPIPE, as a shell reports it."""


def prepare_streams() -> None:
    """UTF-8 and LF on every system; what cannot be encoded does not end the program."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="replace", newline="\n")


def lively(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal that wants more than plain lines."""
    if os.environ.get("NO_COLOR") or os.environ.get("CI") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


@functools.cache
def errors() -> Console:
    """Where progress, notices and errors go."""
    return _console(sys.stderr)


@functools.cache
def output() -> Console:
    """Where tables go."""
    return _console(sys.stdout)


def show_error(problem: str, remedy: str = "") -> None:
    """One line for what is wrong, one for what to do."""
    if lively(sys.stderr):
        from rich.text import Text

        errors().print(Text.assemble(("error  ", "bold red"), one_line(problem)), soft_wrap=True)
        if remedy:
            errors().print(Text.assemble(("  try  ", "bold"), one_line(remedy)), soft_wrap=True)
        return
    _plain(f"Error: {one_line(problem)}")
    if remedy:
        _plain(one_line(remedy))


def show_warning(line: str) -> None:
    """Something that did not go well, though the command goes on."""
    _said("yellow", line)


def show_notice(line: str) -> None:
    """Something worth knowing."""
    _said("dim", line)


def write_text(text: str) -> None:
    """Text for standard output: escaped on a terminal, byte for byte in a pipe."""
    sys.stdout.write(visible(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def pipe_closed() -> int:
    """Ends quietly when the reader of a pipe has gone; returns the exit status."""
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)  # the interpreter's last flush must not fail again
    return PIPE_CLOSED


def _said(style: str, line: str) -> None:
    if lively(sys.stderr):
        from rich.text import Text

        errors().print(Text(one_line(line), style=style), soft_wrap=True)
    else:
        _plain(one_line(line))


def _plain(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    return Console(
        file=stream, highlight=False, markup=False, emoji=False, no_color=not lively(stream)
    )
