"""The wheel in a clean environment and an empty folder: first to write, then to train."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*words: object, folder: Path, **kwargs) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        **kwargs,
    )


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_wheel_works_from_an_empty_folder(trained, tmp_path):
    built = run(
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        tmp_path,
        ROOT,
        folder=tmp_path,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")

    environment = tmp_path / "env"
    venv.create(environment, with_pip=True)
    python = environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt"]
    empty = tmp_path / "empty"
    empty.mkdir()

    base = run(*pip, wheel, folder=empty)
    assert base.returncode == 0, base.stderr
    assert run(python, "-c", "import torch", folder=empty).returncode != 0
    model = (empty / "mine.onnx").write_bytes(trained.model.read_bytes())
    assert model > 10_000
    light = ("--help", "plugins", "plugins new cell mine", "corpora", "show mine.onnx", "doctor")
    for words in light:
        done = run(python, "-m", "textgen", *words.split(), folder=empty)
        assert done.returncode == 0, f"{words}\n{done.stderr}"
    written = run(
        python, "-m", "textgen", "generate", "--onnx", "mine.onnx", "--length", 40, folder=empty
    )
    assert written.returncode == 0, written.stderr
    assert len(written.stdout) == 41
    refused = run(python, "-m", "textgen", "train", folder=empty)
    assert refused.returncode == 1
    assert "textgen-toolkit[train]" in refused.stderr

    whole = run(*pip, f"{wheel}[train]", folder=empty)
    assert whole.returncode == 0, whole.stderr
    learnt = run(
        python,
        "-m",
        "textgen",
        "train",
        "python-docs",
        "--cell",
        "lstm",
        "--steps",
        20,
        "--hidden-size",
        32,
        folder=empty,
    )
    assert learnt.returncode == 0, learnt.stderr
    verbatim = run(
        python, "-m", "textgen", "generate", "--onnx", "model.onnx", "--length", 40, folder=empty
    )
    assert verbatim.returncode == 0, verbatim.stderr
    assert len(verbatim.stdout) == 41
