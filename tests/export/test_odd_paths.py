"""Where a cell's source lies has no part in its model."""

from __future__ import annotations

import pytest
from onnx_ir.serde import SerdeError

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
    file, _ = exported_model(mine(tmp_path / name), layers=1)
    assert tmp_path.name.encode() not in file.data


def test_a_name_that_is_no_text_is_what_torch_cannot_write(tmp_path):
    """Named in another encoding, as files from elsewhere are: torch's exporter writes the path down,
    in UTF-8. When this fails, it is mended there, and the test belongs with those above."""
    cell = mine(tmp_path / "caf\udce9.py")
    with pytest.raises(SerdeError):
        exported_model(cell, layers=1)


def mine(path):
    """The cell in a file that is written to ``path``."""
    path.write_text(CELL)
    return discover(files=[path]).load("cell", "mine")
