"""What a comparison has found, as tables for other programs: CSV, and LaTeX with booktabs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from textgen.screen import figures
from textgen.screen.safe import one_line

_COLUMNS = ("cell", "budgets", "seed", "state", "steps", "symbols", "seconds", "carried", "cold")
"""Of a run."""

PARTS = ("embedding", "recurrent", "head", "total")
"""Of the parameters."""

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def write_csv(found: Mapping[str, Any]) -> str:
    """A row a run, with what its cell had: for whoever wants to calculate with it."""
    varied = list(found["varied"])
    cells = {cell["cell"]: cell for cell in found["cells"]}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [*_COLUMNS, "hidden_size", "parameters", "kernel", "precision", *varied, "reason"]
    )
    for run in found["runs"]:
        cell = cells[run["cell"]]
        values = {**run, "budgets": " ".join(run["budgets"])}
        writer.writerow(
            [
                *(values[name] for name in _COLUMNS),
                cell["hidden_size"],
                cell["parameters"]["total"],
                cell["kernel"],
                cell["precision"],
                *(cell["settings"].get(name) for name in varied),
                run["reason"],
            ]
        )
    return text.getvalue()


def write_latex(found: Mapping[str, Any]) -> str:
    """Two tables with captions, to be input where booktabs is used, each as narrow as a page of
    article: what was reached, and what the networks are."""
    count = figures.count(found["parameters"])
    columns, rows = cell_rows(found)
    same = len({cell["precision"] for cell in found["cells"] if cell["precision"]}) < 2
    left_out = {"parameters", *_settings(found)} | ({"precision"} if same else set())
    kept = [at for at, name in enumerate(columns) if name not in left_out]
    of_cells = ["cell", *PARTS, *_settings(found)]
    sizes = [
        [
            cell["cell"],
            *(
                figures.count(cell["parameters"][part]) if cell["hidden_size"] else ""
                for part in PARTS
            ),
            *(figures.setting(cell["settings"].get(name)) for name in found["varied"]),
        ]
        for cell in found["cells"]
    ]
    chosen = f"Parameters, and settings chosen by {found['trials']} trials of each cell."
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            *_latex_table(
                f"{caption(found)} Networks of {count} parameters.",
                [columns[at] for at in kept],
                [[row[at] for at in kept] for row in rows],
            ),
            *_latex_table(chosen if found["trials"] else "Parameters.", of_cells, sizes),
            "",
        ]
    )


def _latex_table(told: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    sides = "".join("l" if name in ("cell", "kernel", "precision") else "r" for name in columns)
    return [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{latex(told)}}}",
        r"  \footnotesize",
        r"  \setlength{\tabcolsep}{3pt}",
        rf"  \begin{{tabular}}{{@{{}}{sides}@{{}}}}",
        r"    \toprule",
        f"    {_row(columns)}",
        r"    \midrule",
        *(f"    {_row(row)}" for row in rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]


def latex(text: str) -> str:
    """``text`` as LaTeX shows it, whatever it holds: no command, no group and no line is left."""
    return re.sub(r"[\\~^<>|\"`±&%$#_{}]", lambda found: _LATEX[found[0]], one_line(text))


def cell_rows(found: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """A heading and a row a cell, as texts. A cell that is out has no losses."""
    varied = list(found["varied"])
    columns = ["cell", "units", "parameters", "kernel", "precision", "symbols/s"]
    columns += _settings(found)
    rows = []
    for cell in found["cells"]:
        known = bool(cell["hidden_size"])
        speed = cell["symbols_per_second"]
        rows.append(
            [
                cell["cell"],
                figures.count(cell["hidden_size"]) if known else "",
                figures.count(cell["parameters"]["total"]) if known else "",
                cell["kernel"],
                cell["precision"],
                figures.count(speed) if speed else "",
                *(figures.setting(cell["settings"].get(name)) for name in varied),
                *(_loss(cell[budget]) for budget in ("symbols", "time")),
            ]
        )
    return [*columns, "equal symbols", "equal time"], rows


def caption(found: Mapping[str, Any]) -> str:
    """What the numbers of ``cell_rows`` are."""
    budgets = found["budgets"]
    return (
        f"Loss on the test text of {found['corpus']['name']} in nats per {found['unit']}, means "
        f"over {len(found['seeds'])} seeds with 95 % intervals: after "
        f"{figures.count(budgets['symbols']['symbols'])} symbols, and after "
        f"{budgets['time']['seconds']:.3g} s of training."
    )


def _settings(found: Mapping[str, Any]) -> list[str]:
    """What was varied, as a heading."""
    return [name.replace("_", " ") for name in found["varied"]]


def _loss(reached: Mapping[str, Any]) -> str:
    if reached["carried"] is None:
        return ""
    text = str(reached["carried"]["text"])
    tried = sum(reached["states"].values())
    return text if reached["runs"] == tried else f"{text} ({reached['runs']} of {tried})"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(latex, cells)) + r" \\"
