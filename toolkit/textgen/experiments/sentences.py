"""What one may write of a comparison, and what it does not tell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from textgen.split_scoring import LIMIT

TOLERANCE = 0.01
"""By which share of the parameters a cell may differ without being told of."""

_LEVEL = 0.05
"""Below which p a difference is told as one."""

_FEW = 10_000
"""Symbols of test text, about; of fewer, a loss depends much on which they are."""

_BROKEN_OFF = ("interrupted", "killed")
"""States of trials that chose nothing, and were begun again."""

_EDGE = 0.05
"""At how small a share of a range a chosen value lies at its end."""

_COUNTS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_FORMS = {"symbols": "equal symbols", "time": "equal time"}


def sentences(found: Mapping[str, Any]) -> list[str]:
    """One for equal symbols, one for equal time, and one that tells how settings were chosen."""
    told = [line for budget in _FORMS if (line := _of_budget(found, budget))]
    return [*told, _conditions(found)] if told else []


def excluded(found: Mapping[str, Any]) -> list[str]:
    """What is in no figure, and what the figures are not of."""
    cells = found["cells"]
    lines = [f"{cell['cell']} is out: {cell['reason']}" for cell in cells if cell["reason"]]
    for cell in cells:
        for budget, form in _FORMS.items():
            lost = sum(cell[budget]["states"].values()) - cell[budget]["runs"]
            if lost and not cell["reason"]:
                whole = sum(cell[budget]["states"].values())
                lines.append(
                    f"{count(lost).capitalize()} of {count(whole)} runs of {cell['cell']} in "
                    f"{form} did not come to their end. Its mean is of the others, which flatters "
                    "it."
                )
        if _off(cell):
            lines.append(f"{cell['cell']} has {_more(cell)} parameters than was asked for.")
        lines += _at_an_end(cell, found["varied"])
    if _alone(found):
        lines.append(
            f"Differences are told to {found['reference']}, which has too few runs that came to "
            "their end: none is told."
        )
    seconds = sum(cell["trials"]["seconds"] for cell in cells)
    trials = sum(
        number
        for cell in cells
        for state, number in cell["trials"]["states"].items()
        if state not in _BROKEN_OFF
    )
    if trials:
        lines.append(
            f"{trials} trials chose settings, in {seconds:,.0f} s; no budget holds them. They were "
            "in equal symbols: settings may suit equal time less, where a cell takes more or fewer "
            "steps."
        )
    lines.append(
        "Equal time is of training steps, at the speed measured before the first of them; what "
        "evaluation and checkpoints took is not in it."
    )
    if len({cell["precision"] for cell in cells if cell["precision"]}) > 1:
        lines.append("Not all cells were computed in the same precision; see the table.")
    lines.append(
        "Intervals are of the seeds: first weights, order of the text, dropout. They say nothing "
        "of another text, another split or other settings."
    )
    if (symbols := found["corpus"]["symbols"]["test"]) > LIMIT:
        lines.append(f"Of {symbols:,} symbols of test text the first {LIMIT:,} were read.")
    elif symbols < _FEW:
        lines.append(f"The test text is short: {symbols:,} symbols.")
    if _most(found["differences"]) > 1:
        lines.append(
            "Each difference has an interval of its own, not corrected for their number; its p is."
        )
    return lines


def plus_minus(mean: float, half_width: float | None) -> str:
    """``1.523 ± 0.012``: two digits of the interval, and as many places of the mean."""
    places = digits(half_width)
    return f"{mean:.{places}f}" + ("" if half_width is None else f" ± {half_width:.{places}f}")


def digits(half_width: float | None) -> int:
    """Places behind the point that an interval leaves worth telling: two to five."""
    if not half_width:
        return 4
    return max(2, min(5, 1 - math.floor(math.log10(half_width))))


def short(number: float) -> str:
    """``950``, ``12 k``, ``1.2 M``: two digits or three."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= 0.9995 * size:
            return f"{float(f'{number / size:.3g}'):g}{unit}"
    return f"{number:.0f}"


def power(number: float) -> str:
    """``2.05e7``."""
    mantissa, exponent = f"{number:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def probability(p: float) -> str:
    """``p = 0.031``, ``p < 0.0001``."""
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def count(number: int) -> str:
    """In a word up to ten."""
    return _COUNTS[number] if number < len(_COUNTS) else f"{number:,}"


def _of_budget(found: Mapping[str, Any], budget: str) -> str:
    cells = sorted(
        (cell for cell in found["cells"] if cell[budget]["runs"] > 1),
        key=lambda cell: float(cell[budget]["carried"]["mean"]),
    )
    if len(cells) < 2:
        return ""
    amount = found["budgets"][budget]
    if budget == "time":
        equal = f", in {_seconds(amount['seconds'])} of training each"
    else:
        equal = f" and {power(amount['symbols'])} symbols"
    runs = {cell[budget]["runs"] for cell in cells}
    seeds = f"{count(runs.pop())} seeds" if len(runs) == 1 else "the seeds that came to their end"
    line = (
        f"At {short(found['parameters'])} parameters{equal}, "
        f"{_listed([_reached(cell, budget) for cell in cells])} nats per {found['unit']} on the "
        f"test text of {found['corpus']['name']} (means over {seeds}, 95 % intervals)"
    )
    differences = [d for d in found["differences"] if d["budget"] == budget]
    if differences:
        line += f"; paired by seed, {_listed([_difference(d) for d in differences])}"
    if len(differences) > 1:
        line += f"; p with Holm's correction for {count(len(differences))} differences"
    if budget == "time":
        line += f". In that time {_listed([_saw(cell) for cell in cells])}"
    return f"{line}."


def _reached(cell: Mapping[str, Any], budget: str) -> str:
    return f"{cell['cell']} reached {cell[budget]['carried']['text']}"


def _difference(difference: Mapping[str, Any]) -> str:
    """One that chance may have made is told as one that was not found."""
    cell, to, p = difference["cell"], difference["to"], probability(difference["p_holm"])
    if difference["p_holm"] >= _LEVEL:
        return f"{cell} cannot be told from {to} ({difference['text']}, {p})"
    order = "better" if difference["mean"] < 0 else "worse"
    size = plus_minus(abs(difference["mean"]), difference["interval"])
    return f"{cell} is {order} than {to} by {size} ({p})"


def _saw(cell: Mapping[str, Any]) -> str:
    symbols = power(cell["time"]["symbols"])
    return f"{cell['cell']} saw {symbols} symbols ({cell['kernel']}, {cell['precision']})"


def _conditions(found: Mapping[str, Any]) -> str:
    names = [name.replace("_", " ") for name in found["varied"]]
    if not names:
        return "No settings were searched for: all cells had the same, which may suit one better."
    trials = found["trials"]
    tried = "one trial, of the usual ones," if trials == 1 else f"{count(trials)} trials"
    return (
        f"{_listed(names).capitalize()} of each cell were chosen by {tried} of equal symbols, on "
        "text held back from training; the test text was read once, by the runs told of here."
    )


def _alone(found: Mapping[str, Any]) -> bool:
    """Whether there are means to tell, but none of the cell that others are compared with."""
    able = [c["cell"] for c in found["cells"] if any(c[b]["runs"] > 1 for b in _FORMS)]
    return found["finished"] and len(able) > 1 and found["reference"] not in able


def _most(differences: Sequence[Mapping[str, Any]]) -> int:
    """How many differences one budget has, of that which has more."""
    return max((sum(d["budget"] == budget for d in differences) for budget in _FORMS), default=0)


def _at_an_end(cell: Mapping[str, Any], varied: Mapping[str, Any]) -> list[str]:
    """Tells of chosen values that a wider range might have let go further; none of what cannot be
    less, such as no dropout."""
    lines = []
    for name, value in cell["settings"].items():
        words = varied.get(name)
        if not isinstance(words, str) or ".." not in words:
            continue
        ends, _, log = words.partition(":")
        low, high, at = (float(end) for end in (*ends.split(".."), value))
        if log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        share = (at - low) / (high - low)
        if share > 1 - _EDGE or (share < _EDGE and (log or low)):
            lines.append(
                f"{name.replace('_', ' ').capitalize()} {value:g} of {cell['cell']} lies at an end "
                f"of what was searched, {words}: beyond it may be better ones."
            )
    return lines


def _off(cell: Mapping[str, Any]) -> bool:
    return bool(cell["hidden_size"]) and abs(cell["differs"]) > TOLERANCE


def _more(cell: Mapping[str, Any]) -> str:
    share = cell["differs"]
    return f"{abs(share):.1%} {'more' if share > 0 else 'fewer'}"


def _seconds(seconds: float) -> str:
    if seconds >= 600:
        return f"{seconds / 60:,.0f} min"
    return f"{seconds:.3g} s"


def _listed(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
