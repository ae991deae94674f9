"""Text as it is written: alone on standard output, escaped on a terminal, bytes in a pipe.

How texts are parted, in a pipe as on a terminal: a text that does not end with a newline gets one;
between texts of running text stands an empty line; short ones (``lines``) stand one a line.
"""

from __future__ import annotations

import sys

from textgen.screen import console, figures
from textgen.screen.safe import visible


class GenerationView:
    """Shows streams of text: the first flows as it comes, the others follow in their order, each
    flowing as soon as those before it have ended. Nothing of a text is shown before it comes.

    ``prompt`` is repeated before each text, in bold on a terminal; give an empty one not to. Where
    texts come ``whole``, some may have been thrown away on the way.
    """

    def __init__(self, samples: int, *, lines: bool, prompt: str, whole: bool = False) -> None:
        self._samples = samples
        self._lines = lines
        self._prompt = prompt
        self._whole = whole
        self._terminal = console.is_terminal(console.stdout())
        self._lively = console.lively(console.stdout())
        self._waiting = [""] * samples
        self._ended = [False] * samples
        self._flowing = 0
        self._begun = False
        self._last = "\n"

    def add(self, stream: int, text: str, ended: bool) -> None:
        """The next piece of a stream."""
        self._waiting[stream] += text
        self._ended[stream] = self._ended[stream] or ended
        while self._flowing < self._samples and self._flow():
            self._go_on()

    def finish(self) -> None:
        """Ends the last line; what of other streams was still waiting is shown too, as it may be
        after an interrupt."""
        while self._flowing < self._samples:
            self._flow()
            self._go_on()
        self._end_line()

    def _go_on(self) -> None:
        """To the next text."""
        self._flowing += 1
        self._begun = False

    def _flow(self) -> bool:
        """Shows what has come of the text whose turn it is; whether it has ended."""
        text, ended = self._waiting[self._flowing], self._ended[self._flowing]
        if (text or ended) and not self._begun:
            self._begun = True
            self._begin()
        self._put(text)
        self._waiting[self._flowing] = ""
        return ended

    def figures(self, symbols: int, seconds: float, seed: str, device: str) -> None:
        """What it took, and on what, on standard error."""
        # of texts that come whole some were thrown away: a speed would say little
        speed = "" if self._whole else f", {figures.count(symbols / max(seconds, 1e-9))} a second"
        self.remark(f"{figures.count(symbols)} symbols{speed} on {device}, seed {seed}")

    def remark(self, line: str) -> None:
        """A line on standard error, apart from the texts."""
        if self._terminal and console.is_terminal(sys.stderr):
            console.say("")
        console.show_notice(line)

    def _begin(self) -> None:
        """The line end and the gap before a text, and its prompt."""
        if self._flowing:
            self._end_line()
            if not self._lines:
                self._write("\n")
        if self._samples > 1 and not self._lines and self._lively and console.lively(sys.stderr):
            console.show_notice(f"{self._flowing + 1} of {self._samples}")
        if self._samples > 1:
            self._last = ""  # among several, an empty text is a line of its own
        if self._lively and self._prompt:
            self._write(f"\x1b[1m{visible(self._prompt)}\x1b[0m")
            self._last = self._prompt[-1]
        else:
            self._put(self._prompt)

    def _end_line(self) -> None:
        if self._last != "\n":
            self._put("\n")

    def _put(self, text: str) -> None:
        if text:
            self._write(visible(text, before=self._last) if self._terminal else text)
            self._last = text[-1]

    def _write(self, text: str) -> None:
        console.stdout().write(text)
        console.stdout().flush()
