"""Where a cell's source lies has no part in its model."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    "name",
    [
        "\x1b[31m[bold].py",
        "café 日本.py",
        pytest.param(
            "caf\udce9.py",
            marks=pytest.mark.xfail(
                strict=True, reason="torch's exporter writes the path down, in UTF-8"
            ),
        ),
    ],
    ids=["markup", "words", "bytes"],
)
def test_a_plugin_file_of_any_name_exports(name, tmp_path):
    """The last is named in another encoding, as files from elsewhere are."""
    (tmp_path / name).write_text(CELL)
    plugin = discover(files=[tmp_path / name]).load("cell", "mine")
    file, _ = exported_model(plugin, layers=1)
    assert tmp_path.name.encode() not in file.data
