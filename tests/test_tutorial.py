"""The tutorial's cell, of thirty lines, gets all that the bundled ones have; ``test_docs`` runs the
page's lines."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from test_docs import ROOT, all_blocks, blocks, write_example
from textgen.conformance.check_export import exported_model
from textgen.export.int8_file import in_int8
from textgen.registry import discover
from textgen.runtime.model import Model

PAGE = ROOT / "docs" / "tutorial.md"


@pytest.fixture
def cell(tmp_path) -> Path:
    (block,) = (b for b in all_blocks(PAGE) if b["flags"].strip() == "file=fastgrnn.py")
    return write_example(block, tmp_path)


def test_thirty_lines_are_enough(cell):
    assert len(cell.read_text().splitlines()) <= 30
    assert "30 lines" in PAGE.read_text()


def test_the_page_shows_all_that_a_cell_gets():
    lines = [line for block in blocks(PAGE, "console") for line in block.splitlines()]
    for words in (
        ["plugins check fastgrnn"],
        ["train", "--cell fastgrnn", "--steps"],
        ["train", "--cell fastgrnn", "--verify-resume"],
        ["export", "--int8"],
        ["generate --onnx fast-int8"],
        ["compare", "--cells gru,fastgrnn"],
    ):
        assert [line for line in lines if all(word in line for word in words)], words


def test_it_writes_inside_the_loop(cell):
    registry = discover(files=[cell])
    file, network = exported_model(registry.load("cell", "fastgrnn"))
    for made in (file, in_int8(file, network)):
        model = Model(made, None, partial(registry.load, "sampler"))
        chain = model.chain(temperature=0.8, top_k=5)
        assert model.way(chain).startswith("loop: step, samplers and draw in one graph")
