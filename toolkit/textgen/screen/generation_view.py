"""Text as it is written: alone on standard output, escaped on a terminal, bytes in a pipe."""

from __future__ import annotations

import sys

from textgen.screen import console, figures
from textgen.screen.safe import visible


class GenerationView:
    """Shows streams of text.

    One text flows as it comes. Several are shown one after the other, each when it is whole: short
    ones (``lines``) one a line, longer ones parted by an empty line. A last newline is added
    where a text does not end with one.
    """

    def __init__(self, samples: int, *, lines: bool, prompt: str) -> None:
        self._samples = samples
        self._lines = lines
        self._prompt = prompt
        self._gathered = [""] * samples
        self._shown = 0
        self._ended = [False] * samples
        self._last = "\n"
        if samples == 1:
            self._show_prompt()

    def add(self, stream: int, text: str, ended: bool) -> None:
        """The next piece of a stream."""
        if self._samples == 1:
            self._put(text)
            return
        self._gathered[stream] += text
        self._ended[stream] = self._ended[stream] or ended
        while self._shown < self._samples and self._ended[self._shown]:
            self._show_whole(self._gathered[self._shown])
            self._shown += 1

    def finish(self) -> None:
        """Ends the last line."""
        if self._last != "\n":
            self._put("\n")

    def figures(self, symbols: int, seconds: float, seed: int) -> None:
        """What it took, on standard error."""
        speed = symbols / max(seconds, 1e-9)
        console.show_notice(
            f"{figures.count(symbols)} symbols, {figures.count(speed)} a second, seed {seed}"
        )

    def _show_whole(self, text: str) -> None:
        self._show_prompt()
        self._put(text)
        if self._last != "\n":
            self._put("\n")
        if not self._lines and self._shown < self._samples - 1:
            self._put("\n")

    def _show_prompt(self) -> None:
        if not self._prompt:
            return
        if console.lively(sys.stdout):
            sys.stdout.write(f"\x1b[1m{visible(self._prompt)}\x1b[0m")
            self._last = self._prompt[-1]
        else:
            self._put(self._prompt)

    def _put(self, text: str) -> None:
        if text:
            console.write_text(text)
            self._last = text[-1]
