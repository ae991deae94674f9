"""plugins check and doctor; what is imported, and what is said where a plugin is gone."""

from __future__ import annotations

import json
import re
import sys
from textwrap import dedent

import pytest

from fake_distributions import BROKEN_SAMPLERS, install, install_sampler, write_metadata
from textgen import cli

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

SHAKY = """
    import numpy as np
    from textgen.contracts.hooks import hookimpl
    from textgen.contracts.sampler import Sampler

    TEXTGEN_CONTRACT = 1

    class Shaky(Sampler):
        def adjust(self, logits, state, options):
            print("said by the plugin")
            return logits + np.random.random(logits.shape).astype(np.float32)

    @hookimpl
    def textgen_samplers():
        return {"shaky": Shaky}
"""

SMALL = ("--steps", "4", "--hidden-size", "8", "--batch-size", "4")


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delenv("TEXTGEN_PLUGINS", raising=False)
    yield folder
    for path in folder.iterdir():  # what a test has uninstalled too
        sys.modules.pop(path.name.partition(".")[0], None)


def findings(done) -> list[dict]:
    return [json.loads(line) for line in done.out.splitlines()]


def test_a_plugin_that_keeps_its_rules(command_here):
    done = command_here("plugins", "check", "top-k", "--option", "k=3")
    assert done.status == 0
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert all(len(row) >= 3 for row in rows)
    assert {row[0] for row in rows} == {"passed", "promised"}
    assert "All " in done.err


def test_a_plugin_that_breaks_a_rule(command_here, site):
    install(site, "textgen-shaky", SHAKY, {"textgen.samplers:shaky": "textgen_shaky"})
    done = command_here("plugins", "check", "shaky", "--json")
    assert done.status == 1
    told = findings(done)
    (pure,) = (finding for finding in told if finding["rule"] == "adjust is pure")
    assert not pure["holds"]
    assert re.match(r"\d+ logits differ", pure["found"])
    assert "randomness" in pure["usual_cause"]
    assert "said by the plugin" in done.err
    # what it may do without is told and breaks nothing
    (promise,) = (finding for finding in told if finding["promise"])
    assert "loop" in promise["rule"] and not promise["holds"]


def test_a_plugin_that_raises_is_told_with_its_line(command_here, site):
    source = SHAKY.replace("return logits +", "raise KeyError('mine')  #")
    install(site, "textgen-shaky", source, {"textgen.samplers:shaky": "textgen_shaky"})
    done = command_here("plugins", "check", "shaky", "--json")
    assert done.status == 1
    told, promise = (finding for finding in findings(done) if not finding["holds"])
    assert promise["promise"]
    assert told["found"].startswith("KeyError: 'mine' (textgen_shaky.py:11: raise KeyError")


def test_a_cell_of_one_file(command_here, tmp_path):
    (tmp_path / "mine.py").write_text(dedent(CELL))
    told = findings(command_here("plugins", "check", "mine", "--plugin", "mine.py", "--json"))
    assert [finding["rule"] for finding in told if not finding["holds"]] == []
    promises = [finding for finding in told if finding["promise"]]
    assert promises[-1]["found"] == "every product has constant weights"
    shown = command_here("plugins", "--plugin", "mine.py", "show", "mine", "--json")
    assert json.loads(shown.out)["contract"] == "1"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nope", "There is no plugin named 'nope'."),
        ("lstm --kind nope", "There is no kind of plugin named 'nope'."),
        ("lstm --kind reader", "There is no reader named 'lstm'."),
        ("csv", "A reader is checked by what it reads."),
        ("top-k --source x.txt", "A sampler reads no source."),
        ("names --kind corpus", "There are no rules to check a corpus by."),
        ("top-k --option k=0", "cannot be 0"),
        ("top-k --option q=1", "no option of the sampler"),
        ("text --kind reader --source none.txt", "There is no file or folder none.txt."),
    ],
)
def test_what_cannot_be_checked(command_here, words, said):
    done = command_here("plugins", "check", *words.split())
    assert done.status == 2
    assert said in done.err
    assert len(done.err.splitlines()) <= 3
    assert done.out == ""


def test_a_reader_is_checked_by_what_it_reads(command_here, tmp_path):
    (tmp_path / "a.csv").write_text("text\none\ntwo\n")
    done = command_here("plugins", "check", "csv", "--source", "a.csv")
    assert done.status == 0
    assert "starts again from the first" in done.out


DEEP = """
    from textgen.contracts.hooks import hookimpl

    def deeper(n):
        return 1 / n if n == 0 else deeper(n - 1)

    def begin():
        import json
        json.loads("[" + str(deeper(50)))

    begin()
"""


def test_doctor_tells_where_a_plugin_fails(command_here, site):
    install(site, "textgen-deep", DEEP, {"textgen.samplers:deep": "textgen_deep"})
    install_sampler(site, "textgen-syntax", "syntax", "x = 1\ndef broken(:")
    install_sampler(site, "textgen-other", "other", "TEXTGEN_CONTRACT = 2")
    install_sampler(site, "textgen-same", "same")
    done = command_here("plugins", "doctor")
    assert done.status == 1
    deep, other, syntax = done.out.strip().split("\n\n")
    assert "failed\tZeroDivisionError: division by zero" in deep
    lines = [line for line in deep.splitlines() if line.startswith("textgen_deep.py:")]
    # the author's own, each once, though it called itself fifty times
    assert [line.partition("\t")[2] for line in lines] == [
        "begin()",
        'json.loads("[" + str(deeper(50)))',
        "return 1 / n if n == 0 else deeper(n - 1)",
    ]
    assert f"file\t{site / 'textgen_deep.py'}" in deep
    assert "textgen_syntax.py:2\tdef broken(:" in syntax
    assert "written for contract 2, and this textgen has 1; install a newer textgen" in other
    assert "--no-plugins" in done.err
    assert "TEXTGEN_PLUGINS=textgen-same," in done.err
    told = findings(command_here("plugins", "doctor", "--json"))
    assert {t["name"] for t in told if not t["loads"]} == {"deep", "other", "syntax"}
    assert {"lstm", "same"} <= {t["name"] for t in told if t["loads"]}
    # the doctor for all the rest says it in a line, and where to ask
    whole = command_here("doctor")
    assert whole.status == 1
    assert "plugin sampler deep (textgen-deep)\tZeroDivisionError: division by zero" in whole.out
    assert "textgen plugins doctor" in whole.err


def test_doctor_where_all_is_well(command_here):
    done = command_here("plugins", "doctor", "--no-plugins")
    assert (done.status, done.out) == (0, "")
    assert "plugins load." in done.err


@pytest.mark.parametrize("version", ["0", "2", "'1'", "1.5"])
def test_another_contract_is_refused_in_a_sentence(command_here, site, version):
    install_sampler(site, "textgen-old", "old", f"TEXTGEN_CONTRACT = {version}")
    done = command_here("plugins", "show", "old")
    assert done.status == 1
    wanted = {"0": "a newer version of the plugin", "2": "a newer textgen"}
    assert wanted.get(version, "which is no whole number") in done.err


def test_only_what_is_used_is_imported(textgen_command, workplace, tmp_path):
    """Ten distributions, one of which takes five seconds to import: none is."""
    site = tmp_path / "site"
    site.mkdir()
    kinds = ["cells", "readers", "tokenizers", "samplers", "optimizers", "trackers", "commands"]
    for number in range(10):
        name, kind = f"extra{number}", kinds[number % len(kinds)]
        slow = "import time; time.sleep(5)" if number == 6 else ""
        source = f"open({str(site / name)!r}, 'w').close(); {slow}"
        install(site, f"textgen-{name}", source, {f"textgen.{kind}:{name}": f"textgen_{name}"})
    env = {"PYTHONPATH": str(site)}
    shown = textgen_command("--help", env=env)
    assert shown.status == 0
    assert "extra6" in shown.out  # a command
    for line in ("plugins", "generate --onnx verses --length 3 --seed 1", "plugins show lstm"):
        assert textgen_command(*line.split(), env=env).status == 0
    assert not [path.name for path in site.iterdir() if not path.suffix]
    # the marker would tell
    assert textgen_command("generate", "--sampler", "extra3", env=env).status == 1
    assert (site / "extra3").exists()


def test_a_run_without_its_plugin_names_what_to_install(command_here, site, verses, workplace):
    install(site, "textgen-mine", CELL, {"textgen.cells:mine": "textgen_mine"}, version="2.0")
    assert command_here("train", verses, "--cell", "mine", "--name", "first", *SMALL).status == 0
    for path in site.iterdir():  # uninstalled
        path.rename(path.with_name(f"{path.name}.gone"))
    resumed = command_here("train", "--resume", "first")
    assert resumed.status == 2
    assert "The run was trained with textgen-mine; install it." in resumed.err
    assert command_here("export", "first").status == 2
    # what was exported needs it no more
    assert command_here("generate", "--onnx", "first", "--length", "5").status == 0
    assert "textgen-mine" in command_here("show", "first").out


TOKENIZER = """
    from textgen.contracts.hooks import hookimpl
    from textgen_tokenizers.characters import Characters

    TEXTGEN_CONTRACT = 1

    class Mine(Characters):
        pass

    @hookimpl
    def textgen_tokenizers():
        return {"mine": Mine}
"""


def test_a_model_without_its_tokenizer(command_here, site, verses):
    install(site, "textgen-mine", TOKENIZER, {"textgen.tokenizers:mine": "textgen_mine"})
    words = ("--tokenizer", "mine", "--name", "first", *SMALL)
    assert command_here("train", verses, *words).status == 0
    shown = command_here("score", "--onnx", "first", verses)
    assert "textgen-mine" not in shown.err
    # one that fails, and one of the same name, are as good as none
    (site / "textgen_mine.py").write_text(dedent(TOKENIZER).replace("pass", "from_json = None"))
    install_sampler(site, "textgen-other", "mine", dedent(TOKENIZER).replace("pass", "1 / 0"))
    for gone in (False, True):
        sys.modules.pop("textgen_mine", None)
        if gone:
            for path in site.glob("textgen_mine*"):
                path.rename(path.with_name(f"{path.name}.gone"))
            points = [("textgen.tokenizers", "mine", "textgen_other")]
            write_metadata(site, "textgen-third", points, "1.0")
        for line in ("generate --onnx first --length 5 --prompt Sing", "score --onnx first"):
            done = command_here(*line.split(), *([verses] if "score" in line else []))
            assert done.status == 0
            assert "'mine' of textgen-mine is not installed, or fails; texts are cut" in done.err
        if gone:
            split = command_here("score", "--onnx", "first", "--split", "test", verses)
            assert split.status == 2 and "trained with textgen-mine; install it" in split.err


def test_a_run_is_not_resumed_with_another_file(command_here, verses, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(dedent(CELL))
    words = ("--plugin", "mine.py", "--cell", "mine", "--name", "first")
    assert command_here("train", verses, *words, *SMALL).status == 0
    missing = command_here("train", "--resume", "first")
    assert missing.status == 2
    assert "trained with mine.py; give it again: --plugin mine.py" in missing.err
    file.write_text(dedent(CELL).replace("tanh", "sin"))
    changed = command_here("train", "--resume", "first", "--plugin", "mine.py")
    assert changed.status == 2
    assert "mine.py has changed since the run began with its cell" in changed.err


def test_every_command_is_there_beside_a_dozen_broken_plugins(command_here, site):
    for name, (source, _) in BROKEN_SAMPLERS.items():
        install_sampler(site, f"textgen-{name}", name, source)
    done = command_here("plugins", "doctor")
    assert done.status == 1
    assert len(done.out.strip().split("\n\n")) == len(BROKEN_SAMPLERS) == 12
    for name in cli.MODULES:
        assert command_here(name, "--help").status == 0
