"""Numbers for people: sizes, times, counts, and a curve in one line."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

LOSSES = {"held_back": "held back from training", "nanogpt": "nanoGPT's minimum"}
"""Losses by what they are called for people, where that is not the name in files."""

_BARS = "▁▂▃▄▅▆▇█"
_ASCII_BARS = "_.-=*#"


def size(count: float | None) -> str:
    """Bytes: ``1.1 MB``."""
    if count is None or not math.isfinite(count):
        return "?"
    for unit in ("B", "kB", "MB", "GB"):
        shown = f"{count:.0f}" if unit == "B" else f"{count:.1f}"
        if float(shown) < 1000:
            return f"{shown} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def duration(seconds: float) -> str:
    """``48 s``, ``2 min 05 s``, ``3 h 20 min``; ``?`` for what is not finite."""
    if not math.isfinite(seconds):
        return "?"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def count(number: float) -> str:
    """``12,345``."""
    return f"{number:,.0f}" if math.isfinite(number) else "?"


def steps(number: int) -> str:
    """``1 step``, ``12,345 steps``."""
    return f"{count(number)} step{'' if number == 1 else 's'}"


def setting(value: object) -> str:
    """A setting's value as it is typed: ``0.004``, ``256``, ``yes``; nothing for None."""
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "no"}[value]
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def sparkline(
    values: Sequence[float], width: int, *, top: float | None = None, ascii_only: bool = False
) -> str:
    """The values as at most ``width`` bars, each the mean of its share.

    The extremes touch the ends; what lies above ``top`` is cut to it, so that a high start does not
    flatten the rest. What is not finite stands at the top.
    """
    bars = _ASCII_BARS if ascii_only else _BARS
    width = min(width, len(values))
    if width < 1:
        return ""
    edges = [round(i * len(values) / width) for i in range(width + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
    finite = [mean for mean in means if math.isfinite(mean)]
    if not finite:
        return bars[-1] * width
    low, high = min(finite), max(finite)
    if top is not None:
        high = min(high, max(low, top))
    scale = (len(bars) - 1) / (high - low) if high > low else 0.0
    levels = (min(mean, high) if math.isfinite(mean) else None for mean in means)
    return "".join(
        bars[-1] if level is None else bars[round((level - low) * scale)] for level in levels
    )
