"""The files that tell what a comparison has found: written anew at every end, whole or not at
all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textgen.screen.compare_chart import draw
from textgen.screen.compare_page import write_page
from textgen.screen.compare_tables import write_csv, write_latex
from textgen.storage import write_bytes, write_json, write_text


def write_comparison(folder: Path, found: Mapping[str, Any]) -> None:
    """Writes results.json, results.csv, table.tex, the plots as SVG and PDF, and report.html."""
    write_json(folder / "results.json", found)
    # an error that a cell raised may hold half characters, which UTF-8 has no bytes for
    write_bytes(folder / "results.csv", write_csv(found).encode("utf-8", "backslashreplace"))
    write_text(folder / "table.tex", write_latex(found))
    plots = {}
    for budget in ("symbols", "time"):
        drawn = draw(found, budget)
        for kind, data in drawn.items():
            write_bytes(folder / f"loss-{budget}.{kind}", data)
        plots[f"Validation loss in equal {budget}"] = drawn["svg"]
    write_text(folder / "report.html", write_page(found, plots))
