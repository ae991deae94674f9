"""Where a cell's source lies has no part in its model."""

from __future__ import annotations

import subprocess
import sys

import pytest

from textgen.conformance.check_export import exported_model
from textgen.registry import discover

CELL = """
import torch
from textgen.contracts.cell import Cell
from textgen.contracts.hooks import hookimpl

TEXTGEN_CONTRACT = 1

class Mine(Cell):
    def __init__(self, layer):
        super().__init__(layer)
        self.mix = torch.nn.Linear(layer.input_size + layer.hidden_size, layer.hidden_size)

    def step(self, x, state):
        h = torch.tanh(self.mix(torch.cat([x, state[0]], -1)))
        return h, (h,)

@hookimpl
def textgen_cells():
    return {"mine": Mine}
"""


@pytest.mark.parametrize("name", ["\x1b[31m[bold].py", "café 日本.py"], ids=["markup", "words"])
def test_a_plugin_file_of_any_name_exports(name, tmp_path):
    (tmp_path / name).write_text(CELL)
    plugin = discover(files=[tmp_path / name]).load("cell", "mine")
    file, _ = exported_model(plugin, layers=1)
    assert tmp_path.name.encode() not in file.data


def test_a_name_that_is_no_text_is_what_torch_cannot_write(tmp_path):
    """Named in another encoding, as files from elsewhere are: torch's exporter writes the path
    down, in UTF-8. When this fails, it is mended there, and the name belongs with those above.

    In a process of its own, for what is told of it cannot be handed from one to another either.
    """
    path = tmp_path / "caf\udce9.py"
    path.write_text(CELL)
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "program.py", path.name], cwd=tmp_path, capture_output=True, timeout=120
    )
    assert done.stdout == b"SerdeError\n"


PROGRAM = """
import sys
from pathlib import Path
from textgen.conformance.check_export import exported_model
from textgen.registry import discover

cell = discover(files=[Path(sys.argv[1])]).load("cell", "mine")
try:
    exported_model(cell, layers=1)
except Exception as error:
    print(type(error).__name__)
"""
