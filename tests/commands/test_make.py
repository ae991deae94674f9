"""train, export, runs, corpora, plugins, doctor: from a text to a model in an empty folder."""

from __future__ import annotations

import json
import re
import sys

import pytest

from fake_distributions import BROKEN_SAMPLERS, install

SMALL = ["--hidden-size", "16", "--batch-size", "4", "--steps", "12"]


def test_train_then_generate_in_an_empty_folder(textgen_command, verses, tmp_path):
    done = textgen_command("train", verses, "--cell", "lstm", *SMALL)
    assert done.status == 0, done.err
    assert "textgen generate --onnx model.onnx" in done.err
    plan = r"12 steps: [\d,]+ symbols, \d+\.\d% of the corpus' [\d,]+, [\d,]+ held back\. Ctrl-C"
    assert re.search(plan, done.err)
    assert done.out == ""
    assert (tmp_path / "exported" / "model.onnx").exists()
    assert textgen_command("generate", "--onnx", "model.onnx", "--length", "20").status == 0

    runs = textgen_command("runs").out
    assert "verses.txt-lstm" in runs
    shown = textgen_command("runs", "show", "verses.txt-lstm").out
    assert "after 12 steps" in shown
    assert textgen_command("export", "verses.txt-lstm", "-o", "mine.onnx").status == 0
    whole = textgen_command("export", "verses.txt-lstm", "--int8")
    assert whole.status == 0 and "int8 costs" in whole.out + whole.err
    assert (tmp_path / "exported" / "verses.txt-lstm-int8.onnx").exists()
    written = textgen_command("generate", "--onnx", "verses.txt-lstm-int8", "--length", "20")
    assert written.status == 0 and "int8 weights" in textgen_command("show").out
    small = textgen_command("export", "verses.txt-lstm", "--int4", "--json")
    assert set(json.loads(small.out)["losses"]) >= {"float32", "int4"}
    assert (tmp_path / "exported" / "verses.txt-lstm-int4.onnx").exists()
    assert (tmp_path / "mine.onnx").exists()
    assert textgen_command("runs", "rm", "verses.txt-lstm").status == 0
    assert not (tmp_path / "runs" / "verses.txt-lstm").exists()


def test_json_events(command_here, verses):
    done = command_here("train", verses, *SMALL, "--json")
    events = [json.loads(line) for line in done.out.splitlines()]
    names = [event["event"] for event in events]
    assert names[0] == "started"
    assert names[-1] == "exported"
    assert {"progress", "evaluated", "sampled", "saved", "finished"} <= set(names)


def test_tables_and_templates(command_here, tmp_path):
    rows = "".join(f"fire,spell{i}\nwater,charm{i}\n" for i in range(40))
    (tmp_path / "spells.csv").write_text("school,name\n" + rows)
    done = command_here("train", "./spells.csv", "--template", "{school}|{name}", *SMALL)
    assert done.status == 0, done.err
    shown = json.loads(command_here("show", "--json").out)
    assert "|" in shown["vocabulary"]["symbols"]
    assert shown["documents"] == "lines"


def test_standard_input(textgen_command, verses):
    done = textgen_command("train", "-", *SMALL, stdin=verses.read_bytes())
    assert done.status == 0, done.err
    assert json.loads(textgen_command("show", "--json").out)["corpus"]["name"] == "stdin"


def test_a_recipe_of_the_users_own(command_here, verses, tmp_path):
    (tmp_path / "mine.toml").write_text(
        f'licence = "CC0"\n[source]\npath = "{verses.as_posix()}"\n', encoding="utf-8"
    )
    done = command_here("train", "mine.toml", "--tokenizer", "words", *SMALL)
    assert done.status == 0, done.err
    assert json.loads(command_here("show", "--json").out)["corpus"]["licence"] == "CC0"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "Known: latex"),
        (["./missing.txt"], "missing.txt"),
        (["./empty.txt"], "empty"),
        (["./one.txt"], "one"),
        (["./binary.bin"], "binary"),
        (["./latin.txt"], "byte"),
        (["./short.txt"], "window"),
        (["./latin.txt", "--encoding", "klingon"], "klingon"),
        (["./good.txt", "--cell", "lstn"], "Did you mean lstm?"),
        (["./good.txt", "--cell-option", "x"], "--cell-option"),
        (["./good.txt", "--cell-option", "x=1"], "no option"),
        (["./good.txt", "--optimizer", "adamm"], "Did you mean adam"),
        (["./good.txt", "--optimizer-option", "momentum=1"], "option of the optimizer 'adamw'"),
        (["./good.txt", "--tracker", "nope"], "no tracker"),
        (["./good.txt", "--hidden-size", "0"], "hidden_size"),
        (["./good.txt", "--learning-rate", "nan"], "learning_rate"),
        (["./good.txt", "--steps", "3", "--minutes", "1"], "together"),
        (["./good.txt", "--split-sizes", "a/b"], "Split sizes"),
        (["./good.txt", "--tokenizer", "nope"], "tokenizer"),
        (["./good.txt", "--reader", "nope"], "reader"),
        (["./good.txt", "--name", "../x"], "name a run"),
        (["./good.txt", "--plugin", "nope.py"], "nope.py"),
        (["--resume", "nope"], "There is no run"),
    ],
)
def test_mistakes_leave_nothing_behind(words, said, command_here, tmp_path):
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "one.txt").write_text("a" * 5000)
    (tmp_path / "binary.bin").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "latin.txt").write_bytes("naïve café\n".encode("latin-1") * 50)
    (tmp_path / "short.txt").write_text("too short for this")
    (tmp_path / "good.txt").write_text("a text that is long enough to be learnt from. " * 40)
    done = command_here(
        "train", *words, *([] if {"--steps", "--resume"} & set(words) else ["--steps", "3"])
    )
    assert done.status == 2, done.err
    lines = done.err.splitlines()
    assert len(lines) == 2, done.err
    assert said in done.err
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "exported").exists()


def test_the_default_corpus_falls_back_without_a_network(textgen_command, tmp_path):
    nowhere = {
        "TEXTGEN_CACHE": str(tmp_path / "cache"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path),
        "PIP_CONFIG_FILE": str(tmp_path / "none"),
    }
    done = textgen_command("train", *SMALL, env=nowhere)
    assert done.status == 0, done.err
    said = [line for line in done.err.splitlines() if "python-docs instead" in line]
    assert len(said) == 1


def test_plugins_doctor_and_corpora(command_here):
    listed = [json.loads(x) for x in command_here("plugins", "--json").out.splitlines()]
    assert {"lstm", "top-p", "characters", "csv", "shakespeare"} <= {x["name"] for x in listed}
    shown = command_here("plugins", "show", "top-p").out
    assert "at most 1" in shown
    assert command_here("doctor").status == 0
    corpora = command_here("corpora").out
    assert re.search(r"^python-docs\t", corpora, re.M)


def test_a_plugin_file(textgen_command, verses, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from textgen.contracts.hooks import hookimpl\n"
        "from textgen.contracts.cell import Cell\n"
        "import torch\n"
        "TEXTGEN_CONTRACT = 1\n"
        "class Mine(Cell):\n"
        "    def __init__(self, layer):\n"
        "        super().__init__(layer)\n"
        "        self.mix = torch.nn.Linear(layer.input_size + layer.hidden_size, "
        "layer.hidden_size)\n"
        "    def step(self, x, state):\n"
        "        h = torch.tanh(self.mix(torch.cat([x, state[0]], -1)))\n"
        "        return h, (h,)\n"
        "@hookimpl\n"
        "def textgen_cells():\n"
        "    return {'mine': Mine}\n"
    )
    done = textgen_command("train", verses, "--plugin", "mine.py", "--cell", "mine", *SMALL)
    assert done.status == 0, done.err
    run = json.loads((tmp_path / "runs" / "verses.txt-mine" / "run.json").read_text())
    assert len(run["cell"]["sha256"]) == 64
    # the model needs the plugin no more
    assert textgen_command("generate", "--length", "5").status == 0


@pytest.fixture
def broken_dozen(tmp_path, monkeypatch):
    """A folder of distributions that do not load; each promises a sampler, a reader, a corpus."""
    site = tmp_path / "site"
    site.mkdir()
    for name, (source, _) in BROKEN_SAMPLERS.items():
        promised = {f"textgen.{kind}:{name}" for kind in ("samplers", "readers", "corpora")}
        module = f"textgen_{name.replace('-', '_')}"
        install(site, f"textgen-{name}", source, dict.fromkeys(promised, module))
    monkeypatch.syspath_prepend(str(site))
    yield site
    for path in site.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_a_dozen_broken_plugins_break_no_command(
    textgen_command, command_here, broken_dozen, verses, workplace
):
    env = {"PYTHONPATH": str(broken_dozen)}
    (workplace / "text.txt").write_text("ANNA:\nSing the river\n")
    (workplace / "text.strange").write_bytes(verses.read_bytes())
    quiet = [
        "--help",
        "plugins",
        "plugins show top-p",
        "corpora show python-docs",
        "models",
        "runs",
        "show",
        "score text.txt",
        "generate --length 5 --top-p 0.9 --seed 1",
    ]
    for line in quiet:
        done = textgen_command(*line.split(), env=env)
        assert done.status == 0, done.err
        assert "textgen-" not in done.err
    # lists of recipes, and an ending that no bundled reader claims, load them all
    listed = textgen_command("corpora", env=env)
    for done in (listed, command_here("train", "./text.strange", "--name", "mine", *SMALL)):
        assert done.status == 0, done.err
        aside = [said for said in done.err.splitlines() if " put aside: " in said]
        assert len(aside) == len(BROKEN_SAMPLERS) == 12
        for name in BROKEN_SAMPLERS:
            assert sum(f" of textgen-{name} put aside: " in said for said in aside) == 1
    for line in ("runs show mine", "export mine"):
        assert command_here(*line.split()).status == 0
    done = textgen_command("doctor", env=env)
    assert done.status == 1
    assert sum("plugin sampler" in line for line in done.out.splitlines()) == 12
    asked = textgen_command("generate", "--sampler", "system-exit", "--length", "5", env=env)
    assert asked.status == 1
    assert "SystemExit: 3" in asked.err
    off = textgen_command("generate", "--sampler", "prints", "--no-plugins", env=env)
    assert off.status == 2
    assert "switched off" in off.err


def test_a_run_goes_on_as_it_began_or_not_at_all(command_here, verses, tmp_path):
    small = ("--steps", "6", "--hidden-size", "8", "--batch-size", "4")
    assert command_here("train", verses, *small, "--name", "first").status == 0
    changed = command_here("train", "--resume", "first", "--steps", "50", "--cell", "gru")
    assert changed.status == 2
    assert "--steps" in changed.err and "--cell" in changed.err
    other = command_here("train", verses, "--resume", "first", "--split-seed", "5")
    assert other.status == 2 and "another split" in other.err
    other = command_here("train", verses, "--resume", "first", "--tokenizer", "bytes")
    assert other.status == 2 and "--tokenizer characters" in other.err
    assert command_here("train", verses, "--resume", "first").status == 0
    refused = command_here("train", verses, *small, "--name", "model")
    assert refused.status == 2 and "model.onnx" in refused.err
