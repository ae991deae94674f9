"""Trackers: told of all that happens, in order, and none can end a training."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from everything import trainer_of
from watching import Remember, StopAt

import textgen
from fake_distributions import install
from textgen.contracts.errors import PluginError, TextgenError, UserError
from textgen.contracts.tracker import RunFacts, Tracker
from textgen.losses import Loss
from textgen.registry import discover
from textgen.training.observer import (
    Evaluated,
    Finished,
    Observer,
    Progress,
    Sampled,
    Saved,
    Started,
)
from textgen.training.tracking import Tracking

TINY = {"hidden_size": 8, "batch_size": 4, "sequence_length": 16, "precision": "float32"}


class Notes(Tracker):
    """Keeps what it is told, by the method's name."""

    def __init__(self):
        super().__init__(None)
        self.told = []

    def begin(self, run):
        self.told.append(("begin", run))

    def metrics(self, step, values):
        self.told.append(("metrics", step, values))

    def sample(self, step, text):
        self.told.append(("sample", step, text))

    def checkpoint(self, step, folder):
        self.told.append(("checkpoint", step, sorted(path.name for path in folder.iterdir())))

    def end(self, outcome):
        self.told.append(("end", outcome))

    def all(self, what):
        return [told[1:] for told in self.told if told[0] == what]


def train(verses, tmp_path, *trackers, **options):
    options = {"steps": 6, "name": "it", "folder": tmp_path, **TINY, **options}
    return textgen.train(verses, trackers=trackers, **options)


def test_all_is_told_in_order(verses, tmp_path):
    notes = Notes()
    run = train(verses, tmp_path, notes, optimizer="sgd", learning_rate=0.5)
    assert notes.told[0][0] == "begin" and notes.told[-1] == ("end", "finished")
    ((facts,),) = notes.all("begin")
    assert (facts.name, facts.folder, facts.corpus) == ("it", run.folder, "verses.txt")
    for name, value in {
        "cell": "lstm",
        "optimizer": "sgd",
        "optimizer.momentum": 0.0,
        "learning_rate": 0.5,
        "steps": 6,
        "hidden_size": 8,
    }.items():
        assert facts.settings[name] == value
    assert all(isinstance(v, (str, int, float, bool)) for v in facts.settings.values())
    figures = notes.all("metrics")
    assert [step for step, _ in figures] == sorted(step for step, _ in figures)
    losses = [(step, values["held_back"]) for step, values in figures if "held_back" in values]
    told = [(line["step"], line["held_back"]) for line in run.metrics if "held_back" in line]
    assert losses == [(step, loss) for step, loss in told if not isinstance(loss, dict)]
    (last,) = (values for step, values in figures if step == 6 and "loss" in values)
    names = {"loss", "learning_rate", "characters_per_second", "symbols", "epoch"}
    assert last.keys() == names and all(map(math.isfinite, last.values()))
    assert figures[-1][1]["final.cold"] == run.losses["cold"]["nats"]
    assert notes.all("sample") == [(s.step, s.text) for s in run.samples]
    assert notes.all("checkpoint")[-1][0] == 6
    assert "last.safetensors" in notes.all("checkpoint")[0][1]


def watched(verses, folder, notes, observer=None, **options):
    """A training without an export, told to ``notes``."""
    facts = RunFacts("it", folder, {}, "verses.txt")
    options = {"steps": 9, **TINY, **options}
    tracking = Tracking(observer or Observer(), [("notes", notes)], facts, print)
    trainer = trainer_of(textgen.open_corpus(verses), "rnn", folder, tracking, **options)
    return tracking, trainer


def test_an_interruption_and_going_on_are_told(verses, tmp_path):
    notes = Notes()
    tracking, trainer = watched(verses, tmp_path, notes, StopAt(2))
    with tracking:
        trainer.run()
    assert notes.told[-1] == ("end", "interrupted")
    tracking, trainer = watched(verses, tmp_path, notes)
    trainer.resume()
    with tracking:
        trainer.run()
    one, other = (facts for (facts,) in notes.all("begin"))
    assert (one.step, replace(other, step=0)) == (0, one)
    assert other.step >= 2
    assert notes.told[-1] == ("end", "finished")


def test_a_failure_is_told(verses, tmp_path):
    notes = Notes()
    how = {"optimizer": "sgd", "learning_rate": 1e38, "clip": 0, "steps": 20}
    tracking, trainer = watched(verses, tmp_path, notes, **how)
    with pytest.raises(TextgenError), tracking:
        trainer.run()
    assert notes.told[-1] == ("end", "failed")


def test_a_training_that_does_not_begin_is_not_told(verses, tmp_path):
    notes = Notes()
    with pytest.raises(UserError, match="Tied"):
        train(verses, tmp_path, notes, tie_weights=True)
    with pytest.raises(KeyboardInterrupt), watched(verses, tmp_path, notes)[0]:
        raise KeyboardInterrupt
    assert notes.told == []


EVENTS = [
    Started(Path("it"), "LSTM", 1, "cpu", "float32", "fast", 2, 0, 1, 1, 0),
    Progress(1, 2, 1.5, 0.1, 100.0, 1.0, 1.0, 10, 0.5),
    Sampled(1, "a text"),
    Saved(1),
    Evaluated(2, Loss(1.0, 5), None, True),
    Sampled(2, "another"),
    Saved(2),
    Finished(2, False, {"cold": {"nats": 1.0}}, 20, 2.0),
]


@pytest.mark.parametrize("method", ["begin", "metrics", "sample", "checkpoint", "end"])
@pytest.mark.parametrize("error", [OSError("no server"), SystemExit(3)])
def test_one_that_raises_is_reported_once_and_dropped(method, error, tmp_path, capsys):
    def fail(self, *_):
        self.told.append(method)
        print("to be seen")
        raise error

    broken, notes, seen, said = type("Broken", (Notes,), {method: fail})(), Notes(), Remember(), []
    trackers = [("broken", broken), ("notes", notes)]
    (tmp_path / "checkpoints").mkdir()
    with Tracking(seen, trackers, RunFacts("it", tmp_path, {}, "text"), said.append) as tracking:
        for event in EVENTS:
            tracking.on(event)
    (line,) = said
    assert line.startswith("The tracker broken failed") and str(error) in line
    assert broken.told.count(method) == 1 and broken.told[-1] == method
    assert seen.events == EVENTS
    assert [told[0] for told in notes.told] == [
        "begin", "metrics", "sample", "checkpoint", "metrics", "sample", "checkpoint", "metrics",
        "end",
    ]  # fmt: skip
    assert notes.told[-1] == ("end", "finished")
    assert capsys.readouterr().out == "", "standard output is the program's own"


FILE = """
    import json
    from dataclasses import dataclass

    from textgen.contracts.hooks import hookimpl
    from textgen.contracts.options import option
    from textgen.contracts.tracker import Tracker

    TEXTGEN_CONTRACT = 1

    @dataclass(frozen=True)
    class Options:
        path: str = option("told.jsonl", "where it writes")
        broken: bool = option(False, "whether it cannot be made")

    class Lines(Tracker):
        '''Writes lines.'''
        Options = Options

        def __init__(self, options):
            super().__init__(options)
            if options.broken:
                raise OSError("cannot be made")

        def _write(self, **told):
            with open(self.options.path, "a") as file:
                file.write(json.dumps(told) + "\\n")

        def begin(self, run):
            self._write(began=run.name)

        def metrics(self, step, values):
            self._write(step=step, **values)

        def end(self, outcome):
            self._write(ended=outcome)

    @hookimpl
    def textgen_trackers():
        return {"lines": Lines}
"""


def test_by_name_with_options(verses, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("\n".join(line[4:] for line in FILE.splitlines()))
    registry = discover(files=[Path("mine.py")])
    train(verses, tmp_path, "lines", ("lines", {"path": "other.jsonl"}), registry=registry)
    for name in ("told.jsonl", "other.jsonl"):
        told = [json.loads(line) for line in Path(name).read_text().splitlines()]
        assert told[0] == {"began": "it"} and told[-1] == {"ended": "finished"}
    for wrong, error, said in (
        (("lines", {"pathh": "x"}), UserError, "Did you mean path"),
        ("liness", UserError, "no tracker named"),
    ):
        with pytest.raises(error) as refused:
            train(verses, tmp_path, wrong, registry=registry)
        assert said in str(refused.value)
    with pytest.raises(PluginError, match="OSError: cannot be made"):
        train(verses, tmp_path, ("lines", {"broken": True}), registry=registry)


def test_the_command(verses, tmp_path, monkeypatch, capfd):
    from textgen import cli

    monkeypatch.chdir(tmp_path)
    (tmp_path / "site").mkdir()
    install(tmp_path / "site", "textgen-lines", FILE, {"textgen.trackers:lines": "textgen_lines"})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    small = ["--hidden-size", "8", "--batch-size", "4", "--steps", "4", "--name", "it"]
    assert cli.run(["train", str(verses), *small, "--tracker", "lines:path=a,b.jsonl"]) == 0
    assert cli.run(["train", "--resume", "it", "--tracker", "lines:path=a,b.jsonl"]) == 0
    told = [json.loads(line) for line in (tmp_path / "a,b.jsonl").read_text().splitlines()]
    assert [line for line in told if "began" in line] == [{"began": "it"}] * 2
    capfd.readouterr()
    assert cli.run(["train", str(verses), *small, "--tracker", "=x"]) == 2
    problem, remedy = capfd.readouterr().err.splitlines()
    assert problem == "Error: --tracker '=x' names no tracker."
    assert remedy == "Write --tracker NAME:OPTION=VALUE."
