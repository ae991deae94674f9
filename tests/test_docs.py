"""Runs the examples of README.md and docs/: python blocks as a program, commands as typed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = Path(sys.executable).parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
BLOCK = re.compile(r"^```(?P<language>\w+)(?P<flags>[^\n]*)\n(?P<body>.*?)^```$", re.M | re.S)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)(?P<target>[^)#]+)")


def blocks(page: Path, language: str) -> list[str]:
    """The page's code blocks in ``language``, but those marked ``not-run``."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [
        match["body"]
        for match in found
        if match["language"] == language and "not-run" not in match["flags"]
    ]


def pages_with(language: str) -> list[pytest.param]:
    return [
        pytest.param(page, id=str(page.relative_to(ROOT)))
        for page in PAGES
        if page.exists() and blocks(page, language)
    ]


@pytest.mark.parametrize("page", pages_with("python"))
def test_python_examples(page, tmp_path):
    program = tmp_path / "example.py"
    program.write_text("\n".join(blocks(page, "python")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", pages_with("console"))
def test_console_examples(page, tmp_path):
    for block in blocks(page, "console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                done = subprocess.run(
                    ["bash", "-c", line[len("$ ") :]],
                    cwd=tmp_path,
                    env={**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"},
                    capture_output=True,
                    text=True,
                    timeout=300,
                )
                assert done.returncode == 0, f"{line}\n{done.stderr}"


@pytest.mark.parametrize("page", [pytest.param(p, id=p.name) for p in PAGES])
def test_links_lead_somewhere(page):
    for match in LINK.finditer(page.read_text(encoding="utf-8")):
        assert (page.parent / match["target"]).exists(), match["target"]


def test_every_bundled_sampler_is_explained():
    from textgen.registry import discover

    page = (ROOT / "docs" / "sampling.md").read_text(encoding="utf-8")
    named = {entry.name for entry in discover().entries("sampler") if entry.bundled}
    rows = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("| `")]
    sources = {cells[0].strip(" `"): cells[-1].strip() for cells in rows}
    assert {name for name in named if not sources.get(name)} == set()
