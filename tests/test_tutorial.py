"""The tutorial's cell, of thirty lines, gets all that the bundled ones have."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import textgen
from test_docs import ROOT, all_blocks, write_example
from textgen import cli
from textgen.registry import discover
from textgen.training.checkpoint import read_checkpoint
from textgen.training.run_folder import RunFolder
from training.watching import StopAt

PAGE = ROOT / "docs" / "tutorial.md"
SMALL = {"steps": 12, "hidden_size": 24, "batch_size": 4, "dropout": 0.2, "seed": 3}
EXACT = {"precision": "float32"}  # else each run takes the faster by its own short probe


@pytest.fixture
def cell(tmp_path) -> Path:
    (block,) = (b for b in all_blocks(PAGE) if b["flags"].strip() == "file=fastgrnn.py")
    return write_example(block, tmp_path)


def test_thirty_lines_are_enough(cell):
    assert len(cell.read_text().splitlines()) <= 30
    assert "30 lines" in PAGE.read_text()


def test_it_trains_resumes_exports_and_writes(cell, verses, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    registry = discover(files=[cell])
    given = {"cell": "fastgrnn", "registry": registry, **SMALL, **EXACT}
    textgen.train(verses, name="straight", **given)
    pieces = textgen.train(verses, name="pieces", observer=StopAt(5), **given)
    assert pieces.interrupted
    assert cli.run(["train", "--resume", "pieces", "--plugin", cell.name]) == 0
    folders = (RunFolder(Path("runs", name)) for name in ("straight", "pieces"))
    one, other = (read_checkpoint(folder.last) for folder in folders)
    assert one.tensors.keys() == other.tensors.keys()
    assert all(torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items())
    assert cli.run(["export", "pieces", "--int8", "--plugin", cell.name]) == 0
    capfd.readouterr()
    for name in ("pieces", "pieces-int8"):
        model = textgen.load(name)
        chain = model.chain(temperature=0.8, top_k=5)
        assert "loop" in model.way(chain)
        words = ["generate", "--onnx", name, "--length", "30", "--seed", "7", "--samples", "3"]
        assert cli.run([*words, "--json"]) == 0  # without the plugin
