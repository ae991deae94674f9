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

_INCHES = (6.4, 4.0)
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

_AXES = {"symbols": "symbols seen", "time": "seconds of training, at the speed measured before"}


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
        figure = Figure(figsize=_INCHES, layout="constrained")
        axes = figure.add_subplot()
        for number, cell in enumerate(found["cells"]):
            _draw_cell(axes, number, cell, _curves(found, cell, budget))
        axes.xaxis.set_major_formatter(EngFormatter())
        axes.set_xlabel(_AXES[budget])
        axes.set_ylabel(f"validation loss, nats per {found['unit']}")
        axes.set_title(_plain(f"{found['corpus']['name']}: equal {budget}"), loc="left")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend(frameon=False)
        return {
            "svg": _saved(figure, "svg", {"Date": None}),
            "pdf": _saved(figure, "pdf", {"CreationDate": None}),
        }


def _saved(figure: Figure, kind: str, metadata: Mapping[str, None]) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind, metadata=dict(metadata))
    return file.getvalue()


Curve = Sequence[tuple[float, float]]


def _curves(found: Mapping[str, Any], cell: Mapping[str, Any], budget: str) -> list[Curve]:
    """The points of each run of a cell that came to its end."""
    unit = "symbols" if budget == "symbols" else "step"
    each = 1.0 if budget == "symbols" else float(cell["seconds_a_step"])
    curves = []
    for run in found["runs"]:
        if run["cell"] == cell["cell"] and budget in run["budgets"] and run["state"] == "complete":
            losses = [(line[unit] * each, _loss(line)) for line in run["curve"]]
            curves.append([(at, loss) for at, loss in losses if loss is not None])
    return [curve for curve in curves if curve]


def _loss(line: Mapping[str, Any]) -> float | None:
    """On the validation text; on the text held back, where there is no such text."""
    loss: float | None = line["validation"]
    return line["held_back"] if loss is None else loss


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
