"""Runs commands as a person does: in a folder of their own, as whole processes, or in this one
where what is tried does not depend on how a process begins and ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from textgen import cli


@dataclass(frozen=True)
class Done:
    """What a command left: exit status, and the bytes of both streams as text."""

    status: int
    out: str
    err: str


@pytest.fixture
def textgen_command(tmp_path) -> Callable[..., Done]:
    """Calls ``textgen`` in ``tmp_path``; ``env`` adds to the environment."""

    def call(*words: object, stdin: bytes = b"", env: dict[str, str] | None = None) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "textgen", *map(str, words)],
            cwd=tmp_path,
            input=stdin,
            capture_output=True,
            timeout=300,
            env={**os.environ, **(env or {})},
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    return call


@pytest.fixture
def command_here(tmp_path, monkeypatch, capfd) -> Callable[..., Done]:
    """Calls ``textgen`` in ``tmp_path`` within this process, which has imported torch already."""

    def call(*words: object) -> Done:
        monkeypatch.chdir(tmp_path)
        capfd.readouterr()
        status = cli.run([str(word) for word in words])
        return Done(status, *capfd.readouterr())

    return call


@pytest.fixture
def workplace(tmp_path, trained, trained_names) -> Path:
    """A folder with two models in exported/."""
    from textgen.storage import copy

    copy(trained_names.model, tmp_path / "exported" / "names.onnx")
    copy(trained.model, tmp_path / "exported" / "verses.onnx")
    copy(trained.model, tmp_path / "exported" / "model.onnx")
    return tmp_path
