"""A picture of a terminal: a screen with its colours as an SVG file, for the documentation.

    tmux capture-pane -e -p > screen.txt
    python -m textgen.screen.picture "textgen train --cell lstm" < screen.txt > picture.svg

The same screen gives the same file, byte for byte: no ids, no dates. It asks for no font from
anywhere.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from textgen.screen.safe import visible

if TYPE_CHECKING:
    from rich.style import Style
    from rich.terminal_theme import TerminalTheme
    from rich.text import Text

_COLUMN, _ROW = 8.4, 19.0
_FONT_SIZE = 14
_MARGIN, _TITLE = 18.0, 34.0
FONTS = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_COLOUR = re.compile(r"(\x1b\[[0-9;:]*m)")

PAPER = (22, 25, 31)
INK = (214, 218, 224)
QUIET = (120, 126, 138)
PALETTE = [
    (40, 44, 52),
    (224, 108, 117),
    (152, 195, 121),
    (229, 192, 123),
    (97, 175, 239),
    (198, 120, 221),
    (86, 182, 194),
    (200, 204, 212),
]
_BRIGHT = [(84, 90, 102), *PALETTE[1:7], (255, 255, 255)]


def picture(screen: str, *, title: str = "", columns: int = 0) -> str:
    """The SVG of a screen: lines of text, with the escape sequences of colours and weights.

    Other escape sequences and controls are shown as escapes. ``columns`` is the width of the
    terminal; 0 takes the longest line's.
    """
    lines = _decode(screen)
    columns = columns or max((line.cell_len for line in lines), default=0)
    width = 2 * _MARGIN + columns * _COLUMN
    top = _TITLE if title else _MARGIN
    height = top + len(lines) * _ROW + _MARGIN
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
            f'width="{width:g}" height="{height:g}" role="img">'
        ),
        f"<title>{escape(visible(title or 'A terminal'))}</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{css(PAPER)}"/>',
        f'<g font-family="{FONTS}" font-size="{_FONT_SIZE}" fill="{css(INK)}">',
    ]
    if title:
        parts.append(
            f'<text x="{_MARGIN:g}" y="22" fill="{css(QUIET)}" font-size="12">'
            f"{_words(visible(title))}</text>"
        )
    for number, line in enumerate(lines):
        parts += _draw_line(line, top + number * _ROW)
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _decode(screen: str) -> list[Text]:
    from rich.ansi import AnsiDecoder

    safe = "".join(
        part if _COLOUR.fullmatch(part) else visible(part)
        for part in _COLOUR.split(screen.replace("\r\n", "\n").expandtabs(8))
    )
    decoder = AnsiDecoder()
    lines = [decoder.decode_line(line) for line in safe.split("\n")]
    while lines and not lines[-1].plain.strip():
        lines.pop()
    return lines


def _draw_line(line: Text, top: float) -> list[str]:
    """One element for each run of one style: its place and length are given, so that any font of
    fixed width fits."""
    from rich.cells import cell_len
    from rich.console import Console

    theme = _theme()
    parts = []
    column = 0
    for segment in line.render(Console(file=sys.stderr, width=1000, color_system="truecolor")):
        cells = cell_len(segment.text)
        x, wide = _MARGIN + column * _COLUMN, cells * _COLUMN
        column += cells
        colour, ground, attributes = _look(segment.style, theme)
        if ground is not None:
            parts.append(
                f'<rect x="{x:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{_ROW:g}" '
                f'fill="{ground}"/>'
            )
        if segment.text.strip():
            parts.append(
                f'<text x="{x:.1f}" y="{top + 0.75 * _ROW:.1f}" textLength="{wide:.1f}" '
                f'lengthAdjust="spacingAndGlyphs"{colour}{attributes}>{_words(segment.text)}</text>'
            )
    return parts


def _look(style: Style | None, theme: TerminalTheme) -> tuple[str, str | None, str]:
    """The attribute of the colour, the ground's colour or None, and the other attributes."""
    if style is None:
        return "", None, ""
    colour = css(style.color.get_truecolor(theme)) if style.color else None
    ground = style.bgcolor and not style.bgcolor.is_default
    behind = css(style.bgcolor.get_truecolor(theme, False)) if ground and style.bgcolor else None
    if style.reverse:
        colour, behind = behind or css(PAPER), colour or css(INK)
    attributes = ' font-weight="bold"' if style.bold else ""
    attributes += ' font-style="italic"' if style.italic else ""
    attributes += ' text-decoration="underline"' if style.underline else ""
    attributes += ' opacity="0.62"' if style.dim else ""
    return f' fill="{colour}"' if colour else "", behind, attributes


def _words(text: str) -> str:
    """Escaped, with spaces that no viewer takes together."""
    return escape(text).replace(" ", "\u00a0")


def _theme() -> TerminalTheme:
    from rich.terminal_theme import TerminalTheme

    return TerminalTheme(PAPER, INK, PALETTE, _BRIGHT)


def css(colour: tuple[int, int, int]) -> str:
    """Red, green and blue as ``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


if __name__ == "__main__":
    from textgen.screen.console import prepare_streams

    prepare_streams()
    sys.stdout.write(
        picture(sys.stdin.buffer.read().decode("utf-8", "replace"), title=" ".join(sys.argv[1:]))
    )
