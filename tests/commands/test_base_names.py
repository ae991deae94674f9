"""Row 23: no file that a command writes tells where it was made, by whom or on which machine.

Everything a person is known by carries a mark here: the folders, the home, the user, the host, the
temporary files. Then every byte of every file is searched for it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from soak import SOAK
from step_models import lstm
from textgen import model_file

MARK = "zqj"

MACHINE = """
import os, platform, socket
uname = os.uname()
os.uname = lambda: os.uname_result(("Linux", "zqjhost", *uname[2:]))
socket.gethostname = socket.getfqdn = platform.node = lambda *given: "zqjhost"
"""

DRIVER = """
import contextlib, json, sys
from textgen import cli
for number, words in enumerate(json.load(open(sys.argv[1]))):
    # what is written by > is a file too
    with open(f"output{number}", "w") as out, contextlib.redirect_stdout(out):
        assert cli.run(words) == 0, words
"""

CELL = """
import torch
from dataclasses import dataclass
from textgen.contracts.cell import Cell
from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option

TEXTGEN_CONTRACT = 1

@dataclass(frozen=True)
class Options:
    table: str = option("", "a file with something in it")

class Mine(Cell):
    Options = Options

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

PACK = """
import sys, textgen
for source in sys.argv[1:]:
    textgen.open_corpus(source)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory, verses):
    """A marked folder with texts, a recipe of them and a cell, and a marked home and machine."""
    place = tmp_path_factory.mktemp("zqjplace").resolve()
    for folder in ("texts", "home", "temporary", "site", "work"):
        (place / folder).mkdir()
    for name in ("one.txt", "two.txt"):
        (place / "texts" / name).write_text(verses.read_text() + name)
    (place / "texts" / "mine.py").write_text(CELL)
    about = 'description = "Mine"\nlicence = "CC0-1.0"\n[source]\n'
    for name, path in (("mine", "one.txt"), ("all", str(place / "texts"))):
        source = f'path = "{path}"\nmembers = ["*.txt"]\n'
        (place / "texts" / f"{name}.toml").write_text(about + source)
    library = f'{about}standard_library = "this.py"\n'
    (place / "texts" / "library.toml").write_text(library)
    (place / "site" / "sitecustomize.py").write_text(MACHINE)
    return place


def run(place: Path, *words: str) -> None:
    """Python as somebody whom everything tells apart."""
    marked = dict.fromkeys(("USER", "LOGNAME", "USERNAME"), "zqjuser")
    env = {**os.environ, **marked, "HOSTNAME": "zqjhost", "PYTHONPATH": str(place / "site")}
    env |= {"HOME": str(place / "home"), "XDG_CACHE_HOME": "", "TEXTGEN_CACHE": ""}
    env |= {"TMPDIR": str(place / "temporary")}
    done = subprocess.run(
        [sys.executable, *words], cwd=place / "work", env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def written(place):
    """Every file that the commands and the cache leave, but the texts that recipes took over."""
    texts, work = place / "texts", place / "work"
    chosen = ["--learning-rate", "0.01", "--dropout", "0"]
    small = ["--steps", "3", "--hidden-size", "4", "--batch-size", "2", "--precision", "float32"]
    cell = ["--plugin", str(texts / "mine.py"), "--cell", "mine", "--cell-option", "table=x"]
    from_text = ["train", str(texts / "one.txt"), "--name", "text", *small]
    from_recipe = ["train", str(texts / "mine.toml"), *cell, "--name", "recipe", *small, "--json"]
    commands = [
        from_text,
        from_recipe,
        ["export", "text", "-o", "../work/mine.onnx", "--json"],  # JSON repeats what was typed
        ["generate", "--length", "50", "--seed", "1"],
        ["generate", "--length", "50", "--seed", "1", "--json"],
        ["score", "mine.txt", "--json"],
        ["show", "--json"],
        ["show", str(work / "mine.onnx"), "--json"],
        ["models", "--json"],
        ["runs", "--json"],
        ["runs", "show", "text", "--json"],
        ["corpora", "--json"],
        ["plugins", "--json"],
        ["generate", "--session", "tale", "--length", "50"],
        ["sessions", "show", "tale", "--json"],
        ["sweep", str(texts / "one.txt"), "--vary", "layers=1,2", "--sampler", "grid", *small],
        ["compare", str(texts / "one.txt"), "--cells", "gru,lstm", "--seeds", "3", *chosen, *small],
    ]
    if SOAK:
        commands += [
            ["train", "--resume", "text"],
            ["export", "text"],
            ["export", "text", "--int8"],
            ["train", str(texts / "*.txt"), "--tokenizer", "words", *small],
            ["train", str(texts), "--reader-option", "include=*.txt", *small, "--cell", "gru"],
        ]
    (work / "mine.txt").write_text("ANNA:\nSing the river, and sing it well.\n")
    (place / "commands.json").write_text(json.dumps(commands))
    run(place, "-c", DRIVER, str(place / "commands.json"))
    sources = [str(texts / name) for name in ("", "*.txt", "all.toml", "library.toml", "one.txt")]
    run(place, "-c", PACK, f"{texts.parent}/texts/two.txt", *sources[1:])
    run(place, "-c", "import textgen; textgen.open_corpus('../texts/one.txt', tokenizer='words')")
    cache = place / "home" / ".cache" / "textgen"
    files = [path for root in (work, cache) for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in files}


def test_every_kind_of_file_was_looked_at(written):
    kinds = ("run.json", "metrics.jsonl", "samples.txt", "last.safetensors", "best.safetensors",
             "text.onnx", "recipe.onnx", "model.onnx", "mine.onnx", "output12", "meta.json",
             "ids.bin", "train.bin", "built.json", "tale.session", "study.db",
             "sweep.svg", "comparison.json", "result.json", "report.html", "results.json",
             "results.csv", "table.tex", "loss-time.svg", "loss-symbols.pdf")  # fmt: skip
    for kind in kinds:
        assert any(name.endswith(f"/{kind}") for name in written), kind
    assert sum(name.endswith("meta.json") for name in written) >= 5


def test_no_file_tells_where_it_was_made_or_by_whom(written, place):
    # a short name of a host may be found in any weights
    words = {MARK, *(part for part in (*place.parts, os.uname().nodename) if len(part) > 5)}
    words |= {sys.prefix, str(Path(__file__).parents[2])}
    searched = [word.encode(encoding) for word in words for encoding in ("utf-8", "utf-16-le")]
    for name, data in written.items():
        assert MARK not in name
        for word in searched:
            assert word not in data, f"{name} tells {word!r}"


def test_nothing_of_ours_stays_in_the_temporary_folder(written, place):
    assert not list((place / "temporary").glob("*textgen*"))


def test_an_option_that_is_a_path_becomes_its_base_name():
    """A plugin's cell may take a file; where it lay is nobody's business."""
    graph, info = lstm()
    options = {"table": f"/home/{MARK}/table.bin"}
    for field in ("cell_options", "tokenizer_data", "tokenizer_options"):
        sealed = model_file.seal(graph, dataclasses.replace(info, **{field: options}))
        assert MARK.encode() not in sealed
