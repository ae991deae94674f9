"""A terminal for tests: a pseudo-terminal to run a script in, and the screen it would leave."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import struct
import subprocess
import sys
import textwrap
import time
import unicodedata
from dataclasses import dataclass, field

from soak import count

_PATIENCE = count(60, 1800)
"""Seconds until a script is said to hang."""

_CODE = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])")


@dataclass
class Screen:
    """Obeys what our views may send, and nothing else: an unknown escape fails the test."""

    columns: int
    lines: list[str] = field(default_factory=lambda: [""])
    row: int = 0
    column: int = 0
    wraps: bool = True
    cursor_shown: bool = True
    frames: int = 0

    def feed(self, data: str) -> Screen:
        position = 0
        while position < len(data):
            if data[position] == "\x1b":
                found = _CODE.match(data, position)
                assert found, f"no code of ours: {data[position : position + 12]!r}"
                self._obey(*found.groups())
                position = found.end()
            else:
                self._show(data[position])
                position += 1
        return self

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines).rstrip()

    def _obey(self, private: str, parameters: str, code: str) -> None:
        if private:
            assert (parameters, code) not in {("1049", "h"), ("47", "h")}, "took the whole screen"
            if parameters == "25":
                self.cursor_shown = code == "h"
            elif parameters == "7":
                self.wraps = code == "h"
            elif parameters == "2026":
                self.frames += code == "h"
            else:
                raise AssertionError(f"unknown mode {parameters}")
        elif code == "A":
            self.row = max(0, self.row - int(parameters or 1))
        elif code == "K":
            kept = self.lines[self.row][: self.column] if parameters in ("", "0") else ""
            self.lines[self.row] = kept
        else:
            assert code == "m", f"unknown code {parameters}{code}"

    def _show(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row, self.column = self.row + 1, 0
            if self.row == len(self.lines):
                self.lines.append("")
        else:
            seen = character.isprintable() or character in "\t\u200c\u200d\ufe0e\ufe0f"
            assert seen or unicodedata.category(character) == "Zs", repr(character)
            if self.column >= self.columns:
                if not self.wraps:
                    return
                self._show("\n")
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1


@dataclass
class Outcome:
    """What a script left: its terminal's bytes, standard output where that was a pipe, status."""

    raw: str
    piped: bytes
    status: int
    screen: Screen


def run_in_terminal(
    script: str,
    *,
    columns: int = 80,
    rows: int = 24,
    stdout_piped: bool = False,
    interrupt_after: float | None = None,
    narrow: tuple[float, int] | None = None,
    **environment: str,
) -> Outcome:
    """Runs a Python script whose streams are a terminal; ``narrow`` is (seconds, new columns)."""
    import pty

    master, slave = pty.openpty()
    _resize(master, columns, rows)
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "CI", "COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=slave,
        stdout=subprocess.PIPE if stdout_piped else slave,
        stderr=slave,
        env={**clean, "TERM": "xterm-256color", **environment},
        start_new_session=True,
        # a shell starts background jobs with SIGINT ignored; a person at a terminal has not
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(slave)
    began, gathered = time.monotonic(), b""
    while True:
        now = time.monotonic() - began
        assert now < _PATIENCE, "the script does not end"
        if interrupt_after is not None and now > interrupt_after and b"ready" in gathered:
            process.send_signal(signal.SIGINT)
            interrupt_after = None
        if narrow is not None and now > narrow[0] and b"ready" in gathered:
            _resize(master, narrow[1], rows)
            narrow = None
        if not select.select([master], [], [], 0.05)[0]:
            continue
        data = b""
        with contextlib.suppress(OSError):  # Linux's way to say that the other end is closed
            data = os.read(master, 65536)
        if not data:
            break
        gathered += data
    piped = process.stdout.read() if process.stdout else b""
    status = process.wait(10)
    os.close(master)
    raw = gathered.decode("utf-8")
    return Outcome(raw, piped, status, Screen(columns).feed(raw))


def _resize(terminal: int, columns: int, rows: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
