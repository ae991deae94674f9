"""textgen compare: what is typed, shown and left."""

from __future__ import annotations

import json
import re
import sys

import pytest

from awkward import cells
from textgen import cli
from textgen.commands.compare import Amount

SMALL = "--embedding-size 4 --batch-size 4 --sequence-length 16 --steps 8 --seeds 3 --trials 1"


def test_a_comparison_from_beginning_to_the_sentence(command_here, few_verses, tmp_path):
    words = [*SMALL.split(), "--cells", "lstm,leaky", "--plugin", cells.__file__]
    words += ["--cell-option", "leaky.window=2", "--parameters", "1.5k"]
    done = command_here("compare", few_verses, *words)
    assert done.status == 0, done.err
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert [row[0] for row in rows] == ["lstm", "leaky"]
    assert {len(row) for row in rows} == {7} and {row[-1] for row in rows} == {"complete"}
    assert [row[1] for row in rows] == ["fused", "loop of steps"]
    assert all("±" in row[4] and "±" in row[5] for row in rows)
    assert "1,500 parameters, equal time" in done.err and "trials of each cell: 1, then" in done.err
    assert "embedding" in done.err and "leaky, trial 1: " in done.err
    assert re.search("leaky, equal symbols( and time)?, seed 2: ", done.err), "if as fast, one run"
    assert "nats per character on the test text of verses.txt" in done.err
    folder = tmp_path / "comparisons" / "verses.txt-lstm-leaky"
    assert f"Report: {(folder / 'report.html').relative_to(tmp_path)}" in done.err
    assert "[I " not in done.err and "Warning" not in done.err

    again = command_here("compare", few_verses, *words, "--json")
    *lines, last = [json.loads(line) for line in again.out.splitlines()]
    assert {line["event"] for line in lines} == {"run", "cell"}
    assert last["event"] == "comparison" and last["finished"]
    assert last["folder"] == str(folder.relative_to(tmp_path))
    leaky = next(line for line in lines if line["event"] == "cell" and line["cell"] == "leaky")
    assert leaky["options"]["window"] == 2
    assert "seed 2: " not in again.err, "nothing was trained"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--cells lstm", "two cells or more"),
        ("--cells lstm,gruu", "There is no cell named 'gruu'"),
        ("--cell-option window=2", "names no cell"),
        ("--cell-option leaky.window=2", "leaky, which is not compared"),
        ("--parameters many", "1200000 or 1.2M"),
        ("--parameters 0", "1200000 or 1.2M"),
        ("--seeds 2", "--seeds"),
        ("--vary layers=1,2", "sizes are equal here"),
        ("--tie-weights", "No such option"),
    ],
)
def test_what_cannot_be_meant_is_two_lines(command_here, few_verses, tmp_path, words, said):
    done = command_here("compare", few_verses, *words.split())
    assert done.status == 2 and said in done.err
    assert len(done.err.splitlines()) == 2 and done.out == ""
    assert not (tmp_path / "comparisons").exists()


def test_where_no_cell_comes_to_its_end_it_is_a_failure(command_here, few_verses):
    words = [
        *SMALL.split(),
        "--cells",
        "lstm,gru",
        "--hidden-size",
        "8",
        "--learning-rate",
        "1e38",
        "--dropout",
        "0",
    ]
    done = command_here("compare", few_verses, *words)
    assert done.status == 1
    assert "No cell came to its end.\nThe last: No run came to its end." in done.err
    assert "diverged" in done.err


def test_a_missing_extra_is_told_with_the_line_that_installs_it(command_here, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = command_here("compare")
    assert done.status == 1
    assert "matplotlib" in done.err and 'pip install "textgen-toolkit[train,compare]"' in done.err


@pytest.mark.parametrize(
    ("word", "number"),
    [("1200000", 1_200_000), ("1.2M", 1_200_000), ("64k", 64_000), ("2e6", 2_000_000)],
)
def test_parameters_are_typed_in_many_ways(word, number):
    assert Amount().convert(word, None, None) == number


def test_its_options_are_those_of_train_and_its_own():
    train = {parameter.name for parameter in cli.textgen.get_command(None, "train").params}
    ours = {parameter.name for parameter in cli.textgen.get_command(None, "compare").params}
    own = {"cells", "parameters", "seeds", "trials", "vary", "as_json"}
    assert ours - own <= train
