"""The trainer: it learns, keeps its budgets, resumes bit for bit, and ends well at a signal."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from filelock import FileLock
from watching import Remember, StopAt

import textgen
from awkward.cells import FastWeights, Leaky, LearnedStart, WideOutput
from textgen import cli, run_model
from textgen.contracts.errors import TextgenError, UserError
from textgen.registry import discover
from textgen.training.checkpoint import read_checkpoint
from textgen.training.observer import Progress, Started
from textgen.training.optimizers import learning_rate
from textgen.training.record import Record
from textgen.training.settings import build_settings


def test_it_learns(trained):
    assert trained.losses["cold"]["nats"] < 0.8
    validations = [m["validation"] for m in trained.metrics if "validation" in m]
    assert validations[-1] < validations[0]


@pytest.mark.parametrize("cell", [FastWeights, WideOutput, LearnedStart, Leaky])
def test_awkward_cells_train_and_export(cell, verses, tmp_path):
    run = textgen.train(
        verses,
        cell=cell,
        steps=8,
        hidden_size=8,
        layers=2,
        batch_size=4,
        sequence_length=8,
        folder=tmp_path,
        precision="float32",
    )
    assert len(textgen.load(run.model).generate("ANNA", length=20, seed=1).text) == 20


@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop", "adagrad", "sgd"])
def test_every_optimizer_lowers_the_loss(optimizer, verses, tmp_path):
    rate = {"adamw": 0.01, "rmsprop": 0.01, "adagrad": 0.05, "sgd": 1.0}[optimizer]
    run = textgen.train(
        verses,
        steps=80,
        hidden_size=24,
        optimizer=optimizer,
        learning_rate=rate,
        folder=tmp_path,
        embedding_size=0,
        precision="float32",
    )
    validations = [m["validation"] for m in run.metrics if "validation" in m]
    assert validations[-1] < validations[0] - 0.1


def test_a_run_resumes_from_its_folder(verses, tmp_path, monkeypatch):
    monkeypatch.setattr("textgen.training.meter._SECONDS", 0.0)
    options = {
        "steps": 40,
        "hidden_size": 16,
        "dropout": 0.3,
        "batch_size": 4,
        "sequence_length": 16,
        "precision": "float32",
        "reset_probability": 0.2,
        "average": 0.95,
    }
    straight = textgen.train(verses, name="straight", folder=tmp_path, **options)
    stopped = textgen.train(verses, name="stopped", folder=tmp_path, observer=StopAt(9), **options)
    assert stopped.interrupted == signal.SIGINT
    assert stopped.steps < 40
    again = textgen.resume("stopped", folder=tmp_path, observer=StopAt(23))
    assert again.interrupted == signal.SIGINT
    whole = textgen.resume("stopped", folder=tmp_path)
    assert whole.interrupted is None

    a = read_checkpoint(straight.folder / "checkpoints" / "last.safetensors")
    b = read_checkpoint(whole.folder / "checkpoints" / "last.safetensors")
    assert a.tensors.keys() == b.tensors.keys()
    for name, tensor in a.tensors.items():
        assert torch.equal(tensor, b.tensors[name]), name
    for key in ("cursor", "step", "optimizer", "judge", "samples"):
        assert a.values[key] == b.values[key], key
    assert whole.losses == straight.losses


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_a_killed_training_goes_on_as_if_nothing_had_been(verses, tmp_path):
    options = {
        "steps": 120,
        "hidden_size": 16,
        "batch_size": 4,
        "sequence_length": 16,
        "precision": "float32",
        "checkpoint_every": 3,
        "evaluate_every": 10,
        "sample_every": 20,
    }
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "textgen", "train", str(verses), "--name=killed", "--json"]
    process = subprocess.Popen([*command, *flags], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if '"event": "saved"' in line and json.loads(line)["step"] >= 24:
            process.kill()
            break
    process.communicate(timeout=60)
    whole = textgen.resume("killed", folder=tmp_path)
    straight = textgen.train(verses, name="straight", folder=tmp_path, **options)
    a, b = (
        read_checkpoint(run.folder / "checkpoints" / "last.safetensors")
        for run in (straight, whole)
    )
    assert all(torch.equal(tensor, b.tensors[name]) for name, tensor in a.tensors.items())
    assert a.values["samples"] == b.values["samples"]
    for key in ("validation", "finished"):  # progress is told by the clock, these by the step
        kept = [[m for m in run.metrics if key in m] for run in (straight, whole)]
        assert kept[0] == kept[1]
    texts = [(run.folder / "samples.txt").read_text() for run in (straight, whole)]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("text", ["verses", "names"])
@pytest.mark.parametrize("budget", [{"steps": 7}, {"tokens": 1600}, {"epochs": 0.5}])
def test_budgets(text, budget, request, tmp_path):
    """Documents of differing length fill a step by different shares; a budget counts symbols."""
    seen = Remember()
    run = textgen.train(
        request.getfixturevalue(text),
        hidden_size=8,
        batch_size=4,
        sequence_length=16,
        folder=tmp_path,
        observer=seen,
        evaluate_every=10**6,
        precision="float32",
        **budget,
    )
    epoch = seen.last(Progress).epoch
    corpus_symbols = seen.last(Started).corpus_symbols
    if "steps" in budget:
        assert run.steps == 7
    wanted = {"steps": seen.last(Started).epochs, "tokens": 1600 / corpus_symbols, "epochs": 0.5}
    assert epoch == pytest.approx(wanted[next(iter(budget))], rel=0.1)


def test_minutes_fix_a_number_of_steps(verses, tmp_path):
    seen = Remember()
    small = {"hidden_size": 16, "batch_size": 4, "precision": "float32"}  # on a busy machine too
    run = textgen.train(verses, minutes=0.05, folder=tmp_path, observer=seen, **small)
    assert run.steps == seen.last(Started).steps > 1
    assert run.seconds > 1


def test_the_schedule():
    settings = build_settings({"learning_rate": 1.0, "warmup_steps": 10})
    rates = [learning_rate(settings, step, 100) for step in range(100)]
    assert rates[0] < rates[5] < rates[10] == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[99] < 0.02
    steps = build_settings(
        {
            "schedule": "step",
            "learning_rate": 1.0,
            "decay_rate": 0.5,
            "decay_steps": 10,
            "warmup_steps": 0,
        }
    )
    assert [learning_rate(steps, s, 100) for s in (0, 9, 10, 25)] == [1, 1, 0.5, 0.25]


def test_a_second_training_in_one_folder_is_refused(verses, tmp_path):
    run = textgen.train(verses, steps=2, hidden_size=8, name="one", folder=tmp_path)
    with FileLock(run.folder / ".lock"), pytest.raises(UserError, match="Another training"):
        textgen.resume("one", folder=tmp_path)
    with pytest.raises(UserError, match="exists"):
        textgen.train(verses, steps=2, hidden_size=8, name="one", folder=tmp_path)
    textgen.train(verses, steps=2, hidden_size=8, name="one", folder=tmp_path, force=True)
    second = textgen.train(verses, steps=2, hidden_size=8, folder=tmp_path)
    third = textgen.train(verses, steps=2, hidden_size=8, folder=tmp_path)
    assert (second.folder.name, third.folder.name) == ("verses.txt-lstm", "verses.txt-lstm-2")


def test_a_training_that_cannot_begin_leaves_no_run(verses, tmp_path):
    with pytest.raises(RuntimeError, match="memory"):
        textgen.train(verses, steps=1, hidden_size=10**9, folder=tmp_path)
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_a_full_disk_is_said_and_what_was_written_stays(verses, tmp_path, monkeypatch, capfd):
    """Checkpoints of the best weights alone still fit; those that hold the optimizer too do not."""
    monkeypatch.chdir(tmp_path)
    command = ["train", str(verses), "--hidden-size", "48", "--batch-size", "4", "--steps", "20"]
    with limited_files(150_000):
        assert cli.run(command) == 1
    *_, problem, remedy = capfd.readouterr().err.splitlines()
    assert problem.startswith("Error: ") and "last.safetensors could not be written" in problem
    assert remedy
    files = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(files) == [
        ".lock", "best.safetensors", "metrics.jsonl", "run.json", "samples.txt",
    ]  # fmt: skip
    (best,) = tmp_path.rglob("best.safetensors")
    assert read_checkpoint(best).values["step"] == 2


@contextlib.contextmanager
def limited_files(size):
    """No file may grow beyond ``size`` bytes, as on a disk that is full."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_run_whose_packed_corpus_is_damaged_asks_for_it_again(verses, tmp_path, monkeypatch):
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path / "cache"))
    run = textgen.train(verses, steps=2, hidden_size=8, name="one", folder=tmp_path)
    ids = textgen.open_corpus(verses).folder / "ids.bin"
    ids.write_bytes(ids.read_bytes()[::-1])
    with pytest.raises(UserError, match="no longer in the cache") as refused:
        textgen.resume("one", folder=tmp_path)
    assert "textgen train CORPUS --resume one" in refused.value.remedy
    again = textgen.resume("one", corpus=textgen.open_corpus(verses), folder=tmp_path)
    assert again.losses == run.losses


def test_a_damaged_checkpoint_is_refused(verses, tmp_path):
    run = textgen.train(verses, steps=3, hidden_size=8, folder=tmp_path)
    path = run.folder / "checkpoints" / "last.safetensors"
    data = path.read_bytes()
    for place in (3, 20, len(data) // 2, len(data) - 1):
        changed = bytearray(data)
        changed[place] ^= 4
        path.write_bytes(bytes(changed))
        with pytest.raises(TextgenError):
            read_checkpoint(path)
    for short in (0, 5, 100, len(data) - 1):
        path.write_bytes(data[:short])
        with pytest.raises(TextgenError):
            read_checkpoint(path)
    path.write_bytes(data + b"x")
    with pytest.raises(TextgenError):
        read_checkpoint(path)


def test_settings_that_cannot_be():
    for wrong in ({"hidden_size": 0}, {"dropout": 1.0}, {"learning_rate": "fast"}, {"minutes": 0}):
        with pytest.raises(UserError):
            build_settings(wrong)
    with pytest.raises(UserError, match="together"):
        build_settings({"minutes": 1, "steps": 2})
    with pytest.raises(UserError, match="no option"):
        build_settings({"hiddensize": 3})


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_checkpoint_and_a_model(number, verses, tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "textgen",
            "train",
            str(verses),
            "--steps",
            "100000",
            "--name",
            "it",
            "--hidden-size",
            "16",
            "--batch-size",
            "4",
            "--json",
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if '"event": "progress"' in line:
            break
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert (tmp_path / "runs" / "it" / "checkpoints" / "last.safetensors").exists()
    assert textgen.load(tmp_path / "exported" / "model.onnx").generate(length=5, seed=1).text


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_first_step_leaves_nothing(
    number, verses, tmp_path, monkeypatch, capfd
):
    """Nothing is left of the training, and a model of before stays the newest."""
    monkeypatch.chdir(tmp_path)
    measure = Record.measure_pauses

    def interrupted(record):
        os.kill(os.getpid(), number)
        return measure(record)

    monkeypatch.setattr(Record, "measure_pauses", interrupted)
    command = ["train", str(verses), "--minutes", "0.001", "--hidden-size", "8"]
    assert cli.run(command) == 128 + number
    assert "Stopped before the first step" in capfd.readouterr().err
    assert list(tmp_path.glob("runs/*")) == []
    assert not (tmp_path / "exported").exists()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"learning_rate": 1e38, "clip": 0.0}, "diverged"),
        ({"device": "cuda:99"}, "cannot be used"),
        ({"connection": "residual"}, "as wide as its input"),
    ],
)
def test_a_run_outlives_a_training_that_was_to_replace_it_and_failed(wrong, why, verses, tmp_path):
    given = {"name": "one", "folder": tmp_path, "hidden_size": 8, "steps": 20}
    textgen.train(verses, **given)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    told = []
    with pytest.raises(TextgenError, match=why):
        textgen.train(verses, **(given | wrong), force=True, notify=told.append)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files
    assert (why != "diverged") or "is still the old one" in told[-1]
    run = textgen.train(verses, **given, seed=2, force=True)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["one"]
    assert json.loads((run.folder / "run.json").read_text())["settings"]["seed"] == 2


def test_only_a_run_of_a_name_is_replaced(verses, tmp_path):
    with pytest.raises(UserError, match="named"):
        textgen.train(verses, steps=1, folder=tmp_path, force=True)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_a_signal_after_the_last_step_still_leaves_a_model(verses, tmp_path, monkeypatch):
    export = run_model.export

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return export(*arguments)

    monkeypatch.setattr(run_model, "export", interrupted)
    run = textgen.train(verses, steps=1, hidden_size=8, folder=tmp_path)
    assert textgen.load(run.model).generate(length=5, seed=1).text
    assert textgen.resume(run.folder.name, folder=tmp_path).losses == run.losses


def test_cuda_asked_for_but_not_there(verses, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(TextgenError, match="cuda"):
        textgen.train(verses, steps=1, device="cuda", folder=tmp_path)


def test_a_cell_that_is_gone_names_its_distribution(verses, tmp_path):
    cell = discover().load("cell", "rnn")
    run = textgen.train(verses, cell=cell, steps=2, hidden_size=8, name="mine", folder=tmp_path)
    path = run.folder / "run.json"
    text = path.read_text().replace('"name": "rnn"', '"name": "gone"')
    path.write_text(text.replace('"distribution": ""', '"distribution": "textgen-gone"'))
    with pytest.raises(UserError) as refused:
        textgen.resume("mine", folder=tmp_path)
    assert "textgen-gone" in refused.value.remedy


@pytest.mark.parametrize(("rate", "said"), [(1e38, "diverged"), (1e30, "differs from the network")])
def test_weights_that_overflow_end_a_training_in_a_sentence(rate, said, verses, tmp_path):
    """Whether an evaluation, a sample or the export is the first to meet what is no number."""
    sizes = {"hidden_size": 8, "embedding_size": 4, "batch_size": 4, "sequence_length": 16}
    how = {"learning_rate": rate, "optimizer": "sgd", "clip": 0, "precision": "float32"}
    with pytest.raises(TextgenError, match=said):
        textgen.train(verses, folder=tmp_path, steps=20, **sizes, **how)
