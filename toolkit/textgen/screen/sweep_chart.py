"""A sweep as a picture: the loss of its trials in their order, and over each varied setting.

One SVG file, the same bytes for the same trials: no ids, no dates, no font from anywhere.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from xml.sax.saxutils import escape

from textgen.screen.picture import FONTS, INK, PALETTE, PAPER, QUIET, css
from textgen.screen.safe import one_line

_WIDE, _HIGH = 360.0, 220.0
"""A panel, with its margins."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 16.0, 34.0, 44.0
_PANELS_A_ROW = 3
_TITLE = 52.0
_REACH = 4.0
"""The losses end at so many times what lies between the best and the median above the best: what is
above is drawn at the upper edge, for a few bad trials would press all others together."""

_GRID, _DOT, _BEST = (52, 57, 68), PALETTE[4], PALETTE[2]


class Varied(Protocol):
    """A setting: from the first to the last of ``ends``, or one of ``values``."""

    @property
    def name(self) -> str: ...
    @property
    def values(self) -> Sequence[Any]: ...
    @property
    def ends(self) -> tuple[float, float]: ...
    @property
    def log(self) -> bool: ...


class Trial(Protocol):
    """A trial, its loss in nats a symbol; the best comes first."""

    @property
    def number(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def loss(self) -> float | None: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...


Scale = Callable[[Any], float]
"""A value as a place between 0 and 1."""


def draw(title: str, space: Sequence[Varied], trials: Sequence[Trial]) -> str:
    """The SVG: a panel of the trials in their order with the best so far, and one a setting.

    A full dot is a trial that came to its end, an empty one what was ended before: its loss is of
    fewer steps. A small triangle at the upper edge stands for a loss above it.
    """
    told = [trial for trial in trials if trial.loss is not None]
    panels = 1 + len(space)
    columns = min(_PANELS_A_ROW, panels)
    width = columns * _WIDE
    height = _TITLE + math.ceil(panels / columns) * _HIGH
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
            f'width="{width:g}" height="{height:g}" role="img">'
        ),
        f"<title>{_words(f'Sweep {title}')}</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{css(PAPER)}"/>',
        f'<g font-family="{FONTS}" font-size="11" fill="{css(INK)}">',
        _text(18, 26, f"{title}: loss on text held back from training, nats a symbol", size=13),
        _text(18, 44, _legend(told), quiet=True),
    ]
    if told:
        low, high = _reach(told)
        for number in range(panels):
            panel = _Panel(number % columns * _WIDE, _TITLE + number // columns * _HIGH, low, high)
            parts += _order(panel, told) if not number else _over(panel, space[number - 1], told)
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _legend(told: Sequence[Trial]) -> str:
    words = "full: came to its end   empty: ended early, its lowest so far"
    beyond = told and any(trial.loss > _reach(told)[1] for trial in told if trial.loss is not None)
    return f"{words}   triangle: above the edge" if beyond else words


class _Panel:
    """A frame with the losses from ``low`` to ``high`` on its left, its corner at ``x``, ``y``."""

    def __init__(self, x: float, y: float, low: float, high: float) -> None:
        self._x, self._y = x + _LEFT, y + _TOP
        self._wide, self._high = _WIDE - _LEFT - _RIGHT, _HIGH - _TOP - _BOTTOM
        self._low, self._top = low, high

    def frame(self, name: str, ticks: Sequence[tuple[float, str]]) -> list[str]:
        """The grid, its numbers, and ``ticks`` as (place between 0 and 1, text) below."""
        parts = [_text(self._x, self._y - 12, name, weight=True)]
        for share in (0.0, 0.5, 1.0):
            y = self._y + self._high * (1 - share)
            parts.append(
                f'<path d="M{self._x:.1f} {y:.1f}h{self._wide:.1f}" stroke="{css(_GRID)}"/>'
            )
            loss = self._low + share * (self._top - self._low)
            parts.append(_text(self._x - 8, y + 4, f"{loss:#.4g}", anchor="end", quiet=True))
        below = self._y + self._high + 18
        for place, text in ticks:
            x = self._x + place * self._wide
            anchor = "start" if place <= 0.02 else "end" if place >= 0.98 else "middle"
            parts.append(_text(x, below, text, anchor=anchor, quiet=True))
        return parts

    def dot(self, place: float, trial: Trial, *, best: bool) -> str:
        """A trial at ``place`` between 0 and 1."""
        loss = trial.loss if trial.loss is not None else self._top
        x, y = self._at(place, loss)
        colour = css(_BEST if best else _DOT)
        full = trial.state == "complete"
        look = f'fill="{colour if full else "none"}" stroke="{colour}"'
        if loss > self._top:
            return f'<path d="M{x - 4:.1f} {y + 7:.1f}h8l-4 -7z" {look}/>'
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{5 if best else 3.5}" {look}/>'

    def steps(self, points: Sequence[tuple[float, float]]) -> str:
        """A line of steps through (place, loss), held to the right edge."""
        x, y = self._at(*points[0])
        path = f"M{x:.1f} {y:.1f}"
        for place, loss in points[1:]:
            x, y = self._at(place, loss)
            path += f"H{x:.1f}V{y:.1f}"
        path += f"H{self._x + self._wide:.1f}"
        return f'<path d="{path}" fill="none" stroke="{css(_BEST)}" stroke-width="1.5"/>'

    def _at(self, place: float, loss: float) -> tuple[float, float]:
        share = (min(loss, self._top) - self._low) / (self._top - self._low)
        return self._x + place * self._wide, self._y + self._high * (1 - share)


def _order(panel: _Panel, trials: Sequence[Trial]) -> list[str]:
    """The trials in their order, and the best so far among the complete ones."""
    last = max(trial.number for trial in trials)
    place = _between(1, max(2, last), log=False)
    parts = panel.frame("trials, and the best so far", [(0, "1"), (1, f"{max(2, last)}")])
    lowest = math.inf
    line = []
    for trial in sorted(trials, key=lambda t: t.number):
        if trial.state == "complete" and trial.loss is not None and trial.loss < lowest:
            lowest = trial.loss
            line.append((place(trial.number), lowest))
    return [*parts, *([panel.steps(line)] if line else []), *_dots(panel, trials, _number(place))]


def _over(panel: _Panel, varied: Varied, trials: Sequence[Trial]) -> list[str]:
    """The trials over one setting."""
    if varied.values:
        place, shown = _among(varied.values), list(varied.values)
    else:
        low, high = varied.ends
        place = _between(low, high, log=varied.log)
        shown = [low, math.sqrt(low * high) if varied.log else (low + high) / 2, high]
    title = f"{varied.name}, logarithmic" if varied.log else varied.name
    known = [trial for trial in trials if varied.name in trial.settings]
    return [
        *panel.frame(title, [(place(value), _shown(value)) for value in shown]),
        *_dots(panel, known, lambda trial: place(trial.settings[varied.name])),
    ]


def _dots(panel: _Panel, trials: Sequence[Trial], place: Callable[[Trial], float]) -> list[str]:
    """The best last, so that nothing covers it."""
    best = trials[0] if trials and trials[0].state == "complete" else None
    others = [panel.dot(place(t), t, best=False) for t in reversed(trials) if t is not best]
    return [*others, *([panel.dot(place(best), best, best=True)] if best else [])]


def _reach(trials: Sequence[Trial]) -> tuple[float, float]:
    """From which loss to which the panels go."""
    losses = [trial.loss for trial in trials if trial.loss is not None]
    low, high = min(losses), max(losses)
    high = min(high, low + _REACH * (statistics.median(losses) - low)) if len(losses) > 2 else high
    room = 0.06 * (high - low) or 0.05
    return low - room, high + room


def _between(low: float, high: float, *, log: bool) -> Scale:
    if log:
        return lambda value: math.log(value / low) / math.log(high / low)
    return lambda value: (value - low) / ((high - low) or 1)


def _among(values: Sequence[Any]) -> Scale:
    shown = [_shown(value) for value in values]
    return lambda value: (shown.index(_shown(value)) + 0.5) / len(shown)


def _number(place: Scale) -> Callable[[Trial], float]:
    return lambda trial: place(trial.number)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    size: int = 11,
    quiet: bool = False,
    weight: bool = False,
) -> str:
    look = f' fill="{css(QUIET)}"' if quiet else ""
    look += ' font-weight="bold"' if weight else ""
    look += f' font-size="{size}"' if size != 11 else ""
    look += f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{look}>{_words(text)}</text>'


def _words(text: str) -> str:
    return escape(one_line(text)).replace(" ", "\u00a0")
