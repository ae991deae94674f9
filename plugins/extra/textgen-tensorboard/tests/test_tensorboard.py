"""What was written, read back by TensorBoard's own reader."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import (
    EventAccumulator as Accumulator,
)
from tensorboard.util.tensor_util import make_ndarray

import textgen
from textgen.contracts.tracker import RunFacts
from textgen.training.observer import Observer, Progress
from textgen_tensorboard import Options, TensorBoard

SMALL = {"hidden_size": 8, "batch_size": 4, "sequence_length": 12, "precision": "float32"}


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "verses.txt"
    path.write_text("ANNA:\nSing the river, sing the sea,\nBERT:\nhold the door for me.\n" * 100)
    return path


def scalars(folder):
    """Steps and values by tag."""
    read = EventAccumulator(str(folder)).Reload()
    return {
        tag: [(event.step, event.value) for event in read.Scalars(tag)]
        for tag in read.Tags()["scalars"]
    }


def texts(folder, tag):
    read = Accumulator(str(folder)).Reload()
    events = read.Tensors(f"{tag}/text_summary")
    return [(e.step, make_ndarray(e.tensor_proto).item().decode()) for e in events]


def test_figures_samples_and_settings(text, tmp_path):
    folder = tmp_path / "board"
    run = textgen.train(
        text,
        steps=8,
        name="it",
        folder=tmp_path,
        trackers=[("tensorboard", {"folder": str(folder)})],
        **SMALL,
    )
    assert [path.name for path in folder.iterdir()] == ["it"]
    found = scalars(folder / "it")
    told = [
        (m["step"], m["held_back"]) for m in run.metrics if "rate" not in m and "held_back" in m
    ]
    losses = [(step, pytest.approx(loss, rel=1e-6)) for step, loss in told if type(loss) is float]
    assert found["held_back"] == losses and len(losses) == 8
    assert found["final.cold"] == [(8, pytest.approx(run.losses["cold"]["nats"], rel=1e-6))]
    assert {"loss", "learning_rate", "characters_per_second", "epoch", "symbols"} <= found.keys()
    samples = texts(folder / "it", "sample")
    unindented = [(s, "\n".join(x[4:] for x in t.split("\n")[:-1])) for s, t in samples]
    assert unindented == [(sample.step, sample.text) for sample in run.samples]
    ((_, settings),) = texts(folder / "it", "settings")
    assert "| hidden_size | 8 |" in settings and "| optimizer.beta1 | 0.9 |" in settings


class StopAt(Observer):
    """Presses Ctrl-C."""

    def __init__(self, step):
        self._step = step

    def on(self, event):
        if isinstance(event, Progress) and event.step >= self._step:
            self._step = 10**9
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_a_resumed_run_is_one_curve(text, tmp_path):
    trackers = [("tensorboard", {"folder": str(tmp_path / "board")})]
    options = {"steps": 20, "name": "it", "folder": tmp_path, "trackers": trackers, **SMALL}
    assert textgen.train(text, observer=StopAt(7), **options).interrupted
    textgen.resume("it", folder=tmp_path, trackers=trackers)
    steps = [step for step, _ in scalars(tmp_path / "board" / "it")["held_back"]]
    assert steps == list(range(2, 21, 2))


def test_what_was_told_before_a_crash_comes_once(tmp_path):
    def told(start, *steps):
        tracker = TensorBoard(Options(folder=str(tmp_path)))
        tracker.begin(RunFacts("it", tmp_path, {}, "text", start))
        for step in steps:
            tracker.metrics(step, {"loss": float(start + step)})
        tracker.checkpoint(steps[-1], tmp_path)

    told(0, 1, 2, 3, 4)
    told(2, 3, 4, 5)
    assert scalars(tmp_path / "it")["loss"] == [(1, 1), (2, 2), (3, 5), (4, 6), (5, 7)]
    told(0, 1, 2)
    assert scalars(tmp_path / "it")["loss"] == [(1, 1), (2, 2)], "a new run of the old name"


def test_the_command_names_neither_user_nor_computer(text, tmp_path):
    words = "--steps 2 --hidden-size 8 --name it --tracker tensorboard:folder=board"
    command = [sys.executable, "-m", "textgen", "train", str(text), *words.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "board" / "it").iterdir()
    assert path.name.rpartition(".")[0] == "events.out.tfevents"
    assert str(tmp_path).encode() not in path.read_bytes()
