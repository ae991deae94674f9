"""The plugins of plugins/extra are as a third party would write them."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXTRA = ROOT / "plugins" / "extra"
PROJECTS = sorted(EXTRA.glob("*/pyproject.toml"))


def checked(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, EXTRA / "imports.py", folder]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_they_import_the_contracts_alone():
    found = checked(EXTRA)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize(
    ("file", "line", "forbidden"),
    [
        ("textgen_x/a.py", "from textgen.contracts.cell import Cell", ""),
        ("textgen_x/a.py", "from textgen_x.b import c", ""),
        ("textgen_x/a.py", "import torch", ""),
        ("textgen_x/a.py", "import textgen", "textgen"),
        ("textgen_x/a.py", "from textgen import storage", "textgen.storage"),
        ("textgen_x/a.py", "import textgen.contractsy", "textgen.contractsy"),
        ("textgen_x/a.py", "def f():\n    import textgen.runtime.model", "textgen.runtime.model"),
        ("textgen_x/a.py", "from textgen.conformance.rules import x", "textgen.conformance"),
        ("textgen_x/a.py", "from textgen_cells.lstm import LSTM", "textgen_cells.lstm.LSTM"),
        ("tests/test_x.py", "from textgen.conformance.rules import x", ""),
        ("tests/test_x.py", "import textgen\nfrom textgen import train", ""),
        ("tests/test_x.py", "from textgen.training.network import x", "textgen.training"),
    ],
)
def test_other_imports_are_found(file, line, forbidden, tmp_path):
    path = tmp_path / "textgen-x" / file
    path.parent.mkdir(parents=True)
    (path.parent.parent / "pyproject.toml").touch()
    path.write_text(line, encoding="utf-8")
    found = checked(tmp_path)
    assert found.returncode == bool(forbidden)
    assert forbidden in found.stdout


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.parent.name)
def test_each_is_found_as_a_plugin_is(project):
    described = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    assert described["name"] == project.parent.name
    assert "textgen-plugin" in described["keywords"]
    assert any(group.startswith("textgen.") for group in described["entry-points"])
    assert list((project.parent / "tests").glob("test_*.py"))
    table = (EXTRA / "README.md").read_text(encoding="utf-8")
    assert f"[`{described['name']}`]({described['name']}/README.md)" in table
