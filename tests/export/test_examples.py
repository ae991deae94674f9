"""The examples run a model file without any code of ours, and write what our runtime writes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import textgen
from awkward.cells import LearnedStart
from textgen import model_file
from textgen.conformance.check_export import exported_model
from textgen.contracts.tokenizer import Vocabulary
from textgen.runtime.noise import noise

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LENGTH = 60
TEMPERATURE = 0.8
NEAR = 5e-5
"""Where a number lies this close to a boundary of the distribution, another runtime may draw the
neighbour."""


@pytest.fixture(scope="session")
def node(request, tmp_path_factory):
    """The command that runs the example under Node, onnxruntime-web installed in pytest's cache."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    folder = Path(request.config.cache.mkdir("node-example"))
    for name in ("generate.mjs", "package.json", "package-lock.json", ".npmrc"):
        shutil.copyfile(EXAMPLES / "node" / name, folder / name)
    marker = folder / "installed.json"
    lock = (folder / "package-lock.json").read_text()
    if not marker.exists() or marker.read_text() != lock:
        command = ["npm", "ci", "--no-audit", "--no-fund", "--fetch-retries=0"]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired:
            pytest.skip("npm could not fetch onnxruntime-web: it took more than five minutes")
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if "error" in line]
            pytest.skip(f"npm could not fetch onnxruntime-web: {errors or done.stderr}")
        marker.write_text(lock)
    return ["node", str(folder / "generate.mjs")]


PYTHON = [sys.executable, str(EXAMPLES / "plain_python.py")]


@pytest.fixture(params=["onnxruntime", "reference evaluator", "node"])
def command(request):
    return {
        "onnxruntime": lambda: PYTHON,
        "reference evaluator": lambda: [*PYTHON, "--reference"],
        "node": lambda: request.getfixturevalue("node"),
    }[request.param]()


def run(command, *arguments):
    """What an example prints."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        env={**environment, "PYTHONUTF8": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def compare(command, path, folder, prompt):
    """The example's logits are ours, and so are its symbols with the same noise."""
    model = textgen.load(path, provider="cpu")
    numbers = noise(11, np.arange(1), np.arange(LENGTH))[:, 0]
    given = folder / "noise.json"
    given.write_text(json.dumps(numbers.tolist()))
    arguments = ["--prompt", prompt, "--length", LENGTH, "--temperature", TEMPERATURE]
    found = json.loads(run(command, path, *arguments, "--noise", given, "--json"))
    read = [model.vocabulary.boundary, *model.encode(prompt)[0], *found["ids"]]
    state = model.initial_state(1)
    rows = []
    for token, logits in zip(read, found["logits"], strict=False):
        expected, state = model.step(np.array([token]), state)
        rows.append(expected[0])
        assert np.abs(np.array(logits, np.float32) - expected[0]).max() <= 1e-4
    written = rows[len(model.encode(prompt)[0]) :]
    for row, index, u in zip(written, found["ids"], numbers, strict=False):
        low, high = _share(row, index, model)
        assert low - NEAR <= u <= high + NEAR
    ours = model.generate(prompt, length=LENGTH, temperature=TEMPERATURE, seed=11)
    assert found["text"].startswith(prompt)
    return found, ours


def _share(logits, index, model):
    """The numbers that draw ``index`` lie between these two."""
    logits = logits.astype(np.float64) / TEMPERATURE
    if not model.info.ends:
        logits[model.vocabulary.boundary] = -np.inf
    shares = np.cumsum(np.exp(logits - logits.max()))
    shares /= shares[-1]
    return (shares[index - 1] if index else 0.0), shares[index]


def test_running_text(command, trained, tmp_path):
    found, ours = compare(command, trained.model, tmp_path, "ANNA:\n")
    assert len(found["ids"]) == LENGTH
    assert tuple(found["ids"]) == ours.ids[0]
    assert found["text"] == "ANNA:\n" + ours.text


def test_a_list_ends_its_text(command, trained_names, tmp_path):
    found, ours = compare(command, trained_names.model, tmp_path, "")
    assert 0 < len(found["ids"]) < LENGTH
    assert tuple(found["ids"]) == ours.ids[0]
    assert found["text"] == ours.text


def test_a_learned_start_and_bytes_that_are_not_text(command, tmp_path):
    """Nested initial values; symbols that are pieces of characters, two of them at a time."""
    file, _ = exported_model(LearnedStart, vocabulary_size=6, embedding_size=0)
    symbols = (b"", b"\xc3", b"\xa4", b"\xc3\xa4", "😀".encode(), b"x")
    path = write(tmp_path / "pieces.onnx", file, symbols)
    found, _ = compare(command, path, tmp_path, "äx😀?")
    text = b"".join(symbols[index] for index in found["ids"]).decode("utf-8", "replace")
    assert found["text"] == "äx😀?" + text
    assert len(found["logits"]) == LENGTH + 3  # the prompt is three symbols; "?" is none


def write(path, file, symbols):
    info = replace(file.info, vocabulary=Vocabulary(symbols, 0), tokenizer="none of ours")
    model_file.write(path, model_file.seal(file.graph(), info))
    return path


def test_a_seed_repeats(command, trained):
    first, again, other = (
        run(command, trained.model, "--length", 40, "--seed", seed) for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize("path", ["plain_python.py", "node/generate.mjs"])
def test_examples_hold_no_code_of_ours(path):
    source = (EXAMPLES / path).read_text(encoding="utf-8")
    assert not re.search(r"(import|from|require).*textgen", source)


def test_the_lock_file_names_no_registry():
    lock = (EXAMPLES / "node" / "package-lock.json").read_text()
    assert "resolved" not in lock and "http" not in lock
    wanted = json.loads((EXAMPLES / "node" / "package.json").read_text())["dependencies"]
    packages = json.loads(lock)["packages"]
    for name, version in wanted.items():
        assert packages[f"node_modules/{name}"]["version"] == version
