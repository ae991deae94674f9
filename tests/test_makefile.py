"""The Makefile says what a machine lacks before it installs anything."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(
    shutil.which("make") is None or sys.platform == "win32", reason="there is no make"
)


@pytest.mark.parametrize("target", ["demo", "test"])
@pytest.mark.parametrize(
    ("lacks", "problem", "remedy"),
    [
        ("ensurepip", "lacks the venv module", "sudo apt install python3-venv"),
        ("version_info", "textgen needs Python 3.11 or newer", "make PYTHON="),
    ],
)
def test_what_python_lacks(target, lacks, problem, remedy, tmp_path):
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\ncase "$*" in *{lacks}*) exit 1;; esac\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    done = subprocess.run(
        ["make", target, f"PYTHON={python}", f"VENV={tmp_path / 'environment'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert problem in done.stdout and remedy in done.stdout
    assert not (tmp_path / "environment").exists()


def test_targets_explain_themselves():
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "test", "soak", "extras", "bench"):
        assert f"  make {target}" in shown
