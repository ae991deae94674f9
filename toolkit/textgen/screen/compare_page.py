"""A comparison as one HTML page: nothing in it runs, and it asks for nothing from anywhere."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from textgen.screen import figures
from textgen.screen.compare_tables import caption, cell_rows
from textgen.screen.safe import one_line

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
blockquote { margin: 1rem 0; padding: .1rem 1rem; border-left: 3px solid #0072b2; }
div { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #8884; }
th { font-weight: 600; } th:first-child, td:first-child { text-align: left; }
td { white-space: nowrap; }
img { width: 100%; max-width: 40rem; background: white; border-radius: 6px; }
.quiet { color: #777; }
"""


def write_page(found: Mapping[str, Any], plots: Mapping[str, bytes]) -> str:
    """The page; ``plots`` are SVG files by their titles."""
    title = f"Comparison {found['name']}"
    columns, rows = cell_rows(found)
    rows = [
        [*row, cell["state"], cell["reason"]]
        for row, cell in zip(rows, found["cells"], strict=True)
    ]
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
    parts += ["<h2>Cells</h2>", _table([*columns, "state", "reason"], rows)]
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


def _parameters(found: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [
            cell["cell"],
            *(
                figures.count(cell["parameters"][part])
                for part in ("embedding", "recurrent", "head", "total")
            ),
            f"{cell['differs']:+.2%}",
        ]
        for cell in found["cells"]
        if cell["hidden_size"]
    ]
    wanted = f"of {figures.count(found['parameters'])}"
    return ["cell", "embedding", "recurrent", "head", "total", wanted], rows


def _differences(found: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [
            f"{difference['cell']} to {difference['to']}",
            f"equal {difference['budget']}",
            difference["text"],
            str(len(difference["seeds"])),
            f"{difference['p']:.2g}",
            "larger than its interval" if difference["beyond"] else "not larger than its interval",
        ]
        for difference in found["differences"]
    ]
    return ["difference", "budget", "nats", "seeds", "p", ""], rows


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
    heading = "".join(f"<th>{_text(name)}</th>" for name in columns)
    lines = ["".join(f"<td>{_text(cell)}</td>" for cell in row) for row in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<div><table><thead><tr>{heading}</tr></thead><tbody>\n{body}\n</tbody></table></div>"


def _text(text: str) -> str:
    return escape(one_line(text))
