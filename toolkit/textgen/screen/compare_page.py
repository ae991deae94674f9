"""A comparison as one HTML page: nothing in it runs, and it asks for nothing from anywhere."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from textgen.screen import figures
from textgen.screen.compare_tables import PARTS, caption, cell_rows
from textgen.screen.safe import one_line

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 66rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
blockquote { margin: 1rem 0; padding: .1rem 1rem; border-left: 3px solid #0072b2; }
div { overflow-x: auto; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .5rem; text-align: right; border-bottom: 1px solid #8884; }
th { font-weight: 600; vertical-align: bottom; } td { white-space: nowrap; }
th.text, td.text { text-align: left; } td.text:last-child { white-space: normal; }
img { width: 100%; max-width: 40rem; background: white; border-radius: 6px; }
.quiet { opacity: .7; }
@media print {
  body { font-size: 10px; margin: 0; max-width: none; } div { overflow: visible; }
  img, tr, blockquote { break-inside: avoid; } h2 { break-after: avoid; }
}
"""

_TEXTS = {"cell", "kernel", "precision", "state", "reason", "difference", "budget", "", "trials"}
_TEXTS |= {"what", "value"}
"""Columns that hold no numbers."""

_FIRST = ("cell", "equal symbols", "equal time")
"""What one looks for in the table of the cells."""


def write_page(found: Mapping[str, Any], plots: Mapping[str, bytes]) -> str:
    """The page; ``plots`` are SVG files by their titles."""
    title = f"Comparison {found['name']}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{_text(title)}</h1>",
    ]
    if not found["finished"]:
        parts.append("<p><strong>Unfinished: not all runs have come to their end.</strong></p>")
    if found["sentences"]:
        parts += ["<h2>What one may write</h2>", "<blockquote>", *_paragraphs(found["sentences"])]
        parts.append("</blockquote>")
    parts += ["<h2>Cells</h2>", _table(*_cells(found))]
    parts.append(f'<p class="quiet">{_text(caption(found))}</p>')
    parts += [_picture(name, plot) for name, plot in plots.items()]
    parts += ["<h2>Parameters</h2>", _table(*_parameters(found))]
    if found["differences"]:
        parts += ["<h2>Differences, paired by seed</h2>", _table(*_differences(found))]
    parts += ["<h2>What is not told</h2>", *_paragraphs(found["excluded"])]
    parts += ["<h2>Trials</h2>", _table(*_trials(found))]
    parts += ["<h2>Runs</h2>", _table(*_runs(found))]
    parts += ["<h2>Terms</h2>", _table(["what", "value"], _terms(found)), "</body></html>", ""]
    return "\n".join(parts)


def _cells(found: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    columns, rows = cell_rows(found)
    order = [*map(columns.index, _FIRST), *(i for i, c in enumerate(columns) if c not in _FIRST)]
    columns, rows = [columns[i] for i in order], [[row[i] for i in order] for row in rows]
    if all(cell["state"] == "complete" for cell in found["cells"]):
        return columns, rows
    states = [[cell["state"], cell["reason"]] for cell in found["cells"]]
    rows = [row + state for row, state in zip(rows, states, strict=True)]
    return [*columns, "state", "reason"], rows


def _parameters(found: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [
            cell["cell"],
            *(figures.count(cell["parameters"][part]) for part in PARTS),
            f"{cell['differs']:+.2%}",
        ]
        for cell in found["cells"]
        if cell["hidden_size"]
    ]
    wanted = f"of {figures.count(found['parameters'])}"
    return ["cell", *PARTS, wanted], rows


def _differences(found: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [
            f"{difference['cell']} to {difference['to']}",
            f"equal {difference['budget']}",
            difference["text"],
            str(len(difference["seeds"])),
            _probability(difference["p"]),
            _probability(difference["p_holm"]),
        ]
        for difference in found["differences"]
    ]
    return ["difference", "budget", "nats", "seeds", "p", "p with Holm's correction"], rows


def _probability(p: float) -> str:
    return f"{p:.2g}" if p >= 1e-4 else "< 0.0001"


def _trials(found: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [
            cell["cell"],
            ", ".join(f"{count} {state}" for state, count in cell["trials"]["states"].items()),
            figures.duration(cell["trials"]["seconds"]),
            *(figures.setting(cell["settings"].get(name)) for name in found["varied"]),
        ]
        for cell in found["cells"]
    ]
    return ["cell", "trials", "took", *(n.replace("_", " ") for n in found["varied"])], rows


def _runs(found: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [
            run["cell"],
            "equal " + " and ".join(run["budgets"]),
            str(run["seed"]),
            figures.count(run["steps"]) if run["steps"] else "",
            figures.count(run["symbols"]) if run["symbols"] else "",
            figures.duration(run["seconds"]) if run["seconds"] else "",
            "" if run["carried"] is None else f"{run['carried']:.4f}",
            "" if run["cold"] is None else f"{run['cold']:.4f}",
            run["state"],
            run["reason"],
        ]
        for run in found["runs"]
    ]
    columns = ["cell", "budget", "seed", "steps", "symbols", "took", "carried", "cold", "state", ""]
    return columns, rows


def _terms(found: Mapping[str, Any]) -> list[list[str]]:
    corpus, budgets = found["corpus"], found["budgets"]
    symbols = ", ".join(f"{part} {figures.count(n)}" for part, n in corpus["symbols"].items())
    equal, steps = (figures.count(budgets["symbols"][name]) for name in ("symbols", "steps"))
    rows = [
        ["corpus", f"{corpus['name']}, SHA-256 {corpus['sha256'][:16]}"],
        ["symbols", symbols],
        ["equal symbols", f"{equal} in {steps} steps"],
        ["equal time", f"{budgets['time']['seconds']:.3g} s"],
        ["seeds", ", ".join(map(str, found["seeds"]))],
    ]
    rows += [[name.replace("_", " "), str(value)] for name, value in found["varied"].items()]
    rows += [[n.replace("_", " "), figures.setting(v)] for n, v in found["settings"].items()]
    return rows + [[name, str(value)] for name, value in found["machine"].items()]


def _picture(title: str, plot: bytes) -> str:
    # as an image an SVG can run nothing, whatever is written in it
    data = base64.b64encode(plot).decode("ascii")
    return f'<p><img alt="{_text(title)}" src="data:image/svg+xml;base64,{data}"></p>'


def _paragraphs(lines: Iterable[str]) -> list[str]:
    return [f"<p>{_text(line)}</p>" for line in lines]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    kinds = [' class="text"' if name in _TEXTS else "" for name in columns]

    def line(tag: str, cells: Sequence[str]) -> str:
        parts = zip(kinds, cells, strict=True)
        return "".join(f"<{tag}{kind}>{_text(cell)}</{tag}>" for kind, cell in parts)

    heading, lines = line("th", columns), [line("td", row) for row in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<div><table><thead><tr>{heading}</tr></thead><tbody>\n{body}\n</tbody></table></div>"


def _text(text: str) -> str:
    return escape(one_line(text))
