"""The losses of a comparison on the way, as matplotlib draws them; it is imported when it draws.

The same findings give the same bytes: no ids, no dates.
"""

from __future__ import annotations

import io
import logging
import statistics
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from textgen.screen.safe import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDE, _HIGH, _LEGEND = 6.4, 3.8, 0.2
"""Inches: of the plot, and of each line of the legend below it."""

_COLUMNS = 2
"""Of the legend."""

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Of Okabe and Ito, which most eyes tell apart."""
_LINES = ("solid", "dashed", "dashdot", "dotted")
"""In print without colours."""

_LOOKS: Any = {
    "font.size": 9,
    "pdf.fonttype": 42,
    "svg.hashsalt": "textgen",  # what numbers ids, which else differ each time
    "text.parse_math": False,  # no text of anyone's is a formula
}

_EARLY = 0.19
"""Share of a training whose losses may lie above the plot: two of its ten evaluations."""

_KEYS = {"validation": "validation", "held-back": "held_back"}
"""Losses in a curve, by the text that they are of."""

_TIMES = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


def draw(found: Mapping[str, Any], budget: str) -> dict[str, bytes]:
    """The validation loss of each cell in the runs of one budget, over what is equal by it:
    ``symbols`` or ``time``; as ``svg`` and as ``pdf``."""
    with _quietly():
        from matplotlib import rc_context, rcdefaults, rcParams
        from matplotlib.figure import Figure
        from matplotlib.ticker import EngFormatter

    with _quietly(), rc_context():
        rcdefaults()  # what a user has set for other plots is not for these
        rcParams.update(_LOOKS)
        lines = -(-len(found["cells"]) // _COLUMNS)
        figure = Figure(figsize=(_WIDE, _HIGH + lines * _LEGEND), layout="constrained")
        axes = figure.add_subplot()
        unit, seconds = _time_unit(found["budgets"]["time"]["seconds"])
        every = []
        for number, cell in enumerate(found["cells"]):
            each = None if budget == "symbols" else float(cell["seconds_a_step"]) / seconds
            curves = _curves(found, cell, budget, each)
            _draw_cell(axes, number, cell, curves)
            every += curves
        _show_the_end(axes, every)
        axes.set_xlabel(f"{unit} of training, at the speed measured before")
        if budget == "symbols":
            axes.xaxis.set_major_formatter(EngFormatter())
            axes.set_xlabel("symbols seen")
        axes.set_ylabel(f"{_text(found)} loss, nats per {found['unit']}")
        axes.set_title(_plain(f"{found['corpus']['name']}: equal {budget}"), loc="left")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:  # beside the lines there is room for none, where cells are many
            figure.legend(loc="outside lower center", ncols=_COLUMNS, frameon=False)
        return {
            "svg": _saved(figure, "svg", {"Date": None}),
            "pdf": _saved(figure, "pdf", {"CreationDate": None}),
        }


def _saved(figure: Figure, kind: str, metadata: Mapping[str, None]) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind, metadata=dict(metadata))
    return file.getvalue()


Curve = Sequence[tuple[float, float]]


def _curves(
    found: Mapping[str, Any], cell: Mapping[str, Any], budget: str, each: float | None
) -> list[Curve]:
    """The points of each run of a cell that came to its end, over the symbols, or over the time
    that ``each`` step takes."""
    unit = "symbols" if each is None else "step"
    loss = _KEYS[_text(found)]
    curves = []
    for run in found["runs"]:
        if run["cell"] == cell["cell"] and budget in run["budgets"] and run["state"] == "complete":
            points = [(line[unit] * (each or 1.0), line[loss]) for line in run["curve"]]
            curves.append([(at, loss) for at, loss in points if loss is not None])
    return [curve for curve in curves if curve]


def _text(found: Mapping[str, Any]) -> str:
    """Of which text the losses are: of the validation text, where there is any."""
    return "validation" if found["corpus"]["symbols"].get("validation") else "held-back"


def _time_unit(seconds: float) -> tuple[str, float]:
    """In what so long a time is told, and how many seconds it has."""
    return next((unit for unit in _TIMES if seconds >= 3 * unit[1]), _TIMES[-1])


def _show_the_end(axes: Axes, curves: Sequence[Curve]) -> None:
    """Leaves out what lies above all losses after the first fifth: there, cells hardly differ."""
    if not curves:
        return
    last = max(curve[-1][0] for curve in curves)
    late = [loss for curve in curves for at, loss in curve if at >= last * _EARLY]
    low, high = min(late), max(late)
    if high > low:
        axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))


def _draw_cell(axes: Axes, number: int, cell: Mapping[str, Any], curves: Sequence[Curve]) -> None:
    """The mean of the seeds, over the lines of each."""
    colour = _COLOURS[number % len(_COLOURS)]
    style = _LINES[number % len(_LINES)]
    for curve in curves:
        axes.plot(*zip(*curve, strict=True), color=colour, alpha=0.25, linewidth=0.8)
    points = list(zip(*curves, strict=False))
    if points:
        places = [statistics.fmean(at for at, _ in point) for point in points]
        means = [statistics.fmean(loss for _, loss in point) for point in points]
        label = _plain(f"{cell['cell']} ({cell['kernel']})")
        axes.plot(places, means, color=colour, linestyle=style, linewidth=1.6, label=label)


def _plain(text: str) -> str:
    """Text that matplotlib shows as it is."""
    shown = one_line(text)
    return f" {shown}" if shown.startswith("_") else shown  # else it is in no legend


@contextmanager
def _quietly() -> Iterator[None]:
    """matplotlib tells of fonts and caches, which is of no use here."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
