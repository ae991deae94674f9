"""The two streams: the text alone on standard output, everything else on standard error.

A stream is *lively* where it is a terminal that wants colour and movement; everywhere else (a pipe,
a file, NO_COLOR, CI, TERM=dumb) plain lines are written. Whatever goes to a terminal, lively or
not, is made safe for it.
"""

from __future__ import annotations

import codecs
import contextlib
import functools
import os
import sys
import textwrap
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from textgen.screen.safe import one_line, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

PIPE_CLOSED = 141
"""Exit status when the reader of a pipe has gone: 128 + SIGPIPE, as a shell reports it."""

_ERRORS = "textgen-output"

_CLEAR = "\r\x1b[K"
_kept: TextIO | None = None
"""Standard output, while what others print goes elsewhere."""

_line_drawn = False
"""Whether standard error ends in a line that draw_line drew."""


def prepare_streams() -> None:
    """LF on every system, UTF-8 everywhere but on a terminal of another encoding; what cannot be
    encoded does not end the program.

    A lone surrogate that stands for a byte of an argument becomes that byte again; any other
    becomes U+FFFD. A stream that was closed (``>&-``) is empty, or takes what is lost.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # opened before any other file, it gets the closed one's number: nobody else shall
            null = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(null, mode, encoding="utf-8"))
    codecs.register_error(_ERRORS, _encode_surrogates)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is None:
            continue
        if is_terminal(stream) and not _is_utf8(stream):
            reconfigure(errors="backslashreplace", newline="\n")
        else:
            reconfigure(encoding="utf-8", errors=_ERRORS, newline="\n")


def is_terminal(stream: TextIO | None) -> bool:
    """Whether someone's terminal shows ``stream``; False where it is missing or closed."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def lively(stream: TextIO | None) -> bool:
    """Whether ``stream`` is a terminal that wants more than plain lines."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        return False
    return is_terminal(stream) and not _is_old_windows()


def ascii_only(stream: TextIO | None) -> bool:
    """Whether bars and rules must be drawn without Unicode's blocks."""
    return not _is_utf8(stream)


def errors() -> Console:
    """Where progress, notices and errors go."""
    return _console_of(sys.stderr)


def output() -> Console:
    """Where tables go."""
    return _console_of(stdout())


def stdout() -> TextIO:
    """Standard output, for what is ours to write; while a view is live on the same terminal, what
    puts it above the view."""
    if _kept is None or (_proxied(sys.stdout) and is_terminal(_kept)):
        return sys.stdout
    return _kept


@contextlib.contextmanager
def keeping_stdout() -> Iterator[None]:
    """Within it standard output is ours alone: what a plugin prints goes to standard error."""
    global _kept
    if _kept is not None or sys.stdout is None:
        yield
        return
    _kept = sys.stdout
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _kept = None


def catches_prints() -> bool:
    """Whether a live view takes what is printed: it would break the view."""
    return _kept is not None or is_terminal(sys.stdout)


def show_error(problem: str, remedy: str = "") -> None:
    """One line for what is wrong, one for what to do."""
    say(problem, label="Error: ", label_style="bold red")
    if remedy:
        say(remedy)


def show_warning(line: str) -> None:
    """Something that did not go well, though the command goes on."""
    say(line, label="Warning: ", label_style="yellow")


def show_notice(line: str) -> None:
    """Something worth knowing."""
    say(line, "dim")


def show_traceback(error: BaseException) -> None:
    """The whole of what went wrong, which was asked for; a message in it may be anyone's text."""
    for line in "".join(traceback.format_exception(error)).splitlines():
        print(one_line(line), file=sys.stderr)


def say(line: str, style: str = "", *, label: str = "", label_style: str = "") -> None:
    """One line on standard error, made safe; a terminal breaks it between words."""
    safe = one_line(line)
    clear_line()
    if not lively(sys.stderr):
        _print(f"{label}{safe}")
        return
    from rich.text import Text

    # a word is never broken, so that a path stays whole when it is copied
    rows = textwrap.wrap(
        label + safe, errors().width, break_long_words=False, break_on_hyphens=False
    )
    text = Text("\n".join(rows), style=style)
    text.stylize(label_style, 0, len(label))
    errors().print(text, soft_wrap=True)


def _print(line: str) -> None:
    """A plain line; where the disk behind standard error is full, the work goes on untold."""
    try:
        print(line, file=sys.stderr, flush=True)
    except BrokenPipeError:
        raise
    except OSError:
        _give_up(2)


def draw_line(text: Text) -> None:
    """Puts ``text`` into the last line of standard error, which must be lively, in place of what
    stood there. The next line said takes its place; the cursor is never hidden, so that nothing has
    to be restored."""
    global _line_drawn
    out = errors()
    out.file.write(_CLEAR)
    out.print(text, end="", no_wrap=True, overflow="crop")
    out.file.flush()
    _line_drawn = True


def clear_line() -> None:
    """Takes the drawn line away, if one stands."""
    global _line_drawn
    if _line_drawn:
        _line_drawn = False
        errors().file.write(_CLEAR)
        errors().file.flush()


def write_text(text: str) -> None:
    """Text for standard output: escaped on a terminal, byte for byte in a pipe."""
    stream = stdout()
    stream.write(visible(text) if is_terminal(stream) else text)
    stream.flush()


def pipe_closed() -> int:
    """Ends quietly when the reader of a pipe has gone; returns the exit status."""
    _give_up(1, 2)
    return PIPE_CLOSED


def output_lost() -> None:
    """What standard output has not taken, on a full disk say, is given up."""
    _give_up(1)


def _give_up(*descriptors: int) -> None:
    """What is written there goes nowhere: the interpreter's last flush must not fail again."""
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    os.close(null)


def _console_of(stream: TextIO) -> Console:
    # while a view is live, rich puts a proxy into sys.stderr: what it shows and what is said beside
    # it must come from one console
    stream = _proxied(stream) or stream
    return _console(stream, lively(stream))


def _proxied(stream: TextIO) -> TextIO | None:
    """What stands behind rich's proxy."""
    found: TextIO | None = getattr(stream, "rich_proxied_file", None)
    return found


@functools.lru_cache(maxsize=4)
def _console(stream: TextIO, is_lively: bool) -> Console:
    from rich.console import Console

    return Console(
        file=stream,
        force_terminal=is_lively,
        force_interactive=is_lively,
        color_system="auto" if is_lively else None,
        highlight=False,
        markup=False,
        emoji=False,
    )


def _is_utf8(stream: TextIO | None) -> bool:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        return codecs.lookup(encoding).name == "utf-8"
    except LookupError:
        return False


def _is_old_windows() -> bool:
    """A Windows console that does not know escape sequences."""
    if sys.platform != "win32":
        return False
    from rich.console import Console

    return Console().legacy_windows


def _encode_surrogates(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unencodable = error.object[error.start : error.end]
    codes = map(ord, unencodable)
    return b"".join(
        bytes([code - 0xDC00]) if 0xDC80 <= code <= 0xDCFF else b"\xef\xbf\xbd" for code in codes
    ), error.end
