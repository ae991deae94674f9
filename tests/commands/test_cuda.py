"""Row 20: CUDA asked for but not usable is refused, saying why; ``auto`` goes on without it and
says what runs.

On a machine with CUDA these hide it; the ways in which a driver or a library can be missing are
played.
"""

from __future__ import annotations

import ctypes
import json
import sys

import onnxruntime
import pytest
import torch

from step_models import lstm
from textgen import cli, model_file
from textgen.contracts.errors import TextgenError
from textgen.runtime import sessions

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
SMALL = ["--hidden-size", "8", "--batch-size", "4", "--steps", "2"]
HIDDEN = {"CUDA_VISIBLE_DEVICES": "-1"}


class Driver:
    """NVIDIA's, as far as it is asked."""

    def __init__(self, *, status=0, devices=1):
        self._status, self._devices = status, devices

    def cuInit(self, flags):
        return self._status

    def cuDeviceGetCount(self, count):
        count._obj.value = self._devices
        return self._status


class Session:
    """onnxruntime's, that was asked for CUDA and did something else."""

    def __init__(self, *, providers=(CUDA, CPU), fails=""):
        self._providers, self._fails = list(providers), fails

    def get_providers(self):
        return self._providers

    def run(self, names, feed):
        raise RuntimeError(self._fails)


def no_driver(name):
    raise OSError(name)


def session_that_raises(*given, **options):
    raise RuntimeError("CUDA failure 35: driver too old\nand much more")


WAYS = {
    # why: (the providers, the driver, what a session with CUDA does)
    "built without it": ([CPU], None, None),
    "no NVIDIA driver": ([CUDA, CPU], no_driver, None),
    "the NVIDIA driver finds no": ([CUDA, CPU], lambda name: Driver(devices=0), None),
    "driver finds no device": ([CUDA, CPU], lambda name: Driver(status=100), None),
    "does not find the libraries": (
        [CUDA, CPU], lambda name: Driver(), lambda *a, **o: Session(providers=[CPU]),
    ),
    "driver too old": ([CUDA, CPU], lambda name: Driver(), session_that_raises),
    "no kernel image": (
        [CUDA, CPU], lambda name: Driver(), lambda *a, **o: Session(fails="no kernel image"),
    ),
}  # fmt: skip


@pytest.fixture(params=WAYS)
def reason(request, monkeypatch):
    """A way in which CUDA is not usable, and the words that tell it."""
    providers, driver, session = WAYS[request.param]
    real = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    if driver is not None:
        monkeypatch.setattr(ctypes, "CDLL", driver)

    def opened(*given, providers, **options):
        make = real if session is None or CUDA not in providers else session
        return make(*given, providers=providers, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    sessions._why_no_cuda.cache_clear()
    yield request.param
    sessions._why_no_cuda.cache_clear()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a model and a text."""
    monkeypatch.chdir(tmp_path)
    model_file.write(tmp_path / "exported" / "model.onnx", model_file.seal(*lstm()))
    (tmp_path / "text.txt").write_text("a bad cab\n")
    return tmp_path


def test_generate_is_refused_and_says_why(reason, here, capfd):
    assert cli.run(["generate", "--length", "5", "--provider", "cuda"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    problem, remedy = err.splitlines()
    assert problem.startswith("Error: CUDA cannot be used: ") and reason in problem
    assert "--provider auto" in remedy


def test_auto_generates_and_scores_without_it(reason, here, capfd):
    assert cli.run(["generate", "--length", "5", "--seed", "1"]) == 0
    written = capfd.readouterr().out
    assert cli.run(["generate", "--length", "5", "--seed", "1", "--provider", "cpu"]) == 0
    assert written == capfd.readouterr().out
    assert cli.run(["score", "text.txt"]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("text.txt\t") and "CUDA" not in err


def test_doctor_says_what_generates(reason, here, capfd):
    cli.run(["doctor"])
    told = dict(line.split("\t") for line in capfd.readouterr().out.splitlines())
    assert told["generates on"] == "cpu"
    assert "cannot be used" in told["CUDA to generate"] and reason in told["CUDA to generate"]


@pytest.mark.parametrize("given", [[], ["--provider", "auto"]])
def test_generate_says_what_runs(given, textgen_command, here):
    done = textgen_command("generate", "--length", "5", *given, env=HIDDEN)
    assert done.status == 0
    assert "cpu" in done.err.lower()


def test_score_says_what_runs(textgen_command, here):
    done = textgen_command("score", "text.txt", env=HIDDEN)
    assert done.status == 0
    assert "cpu" in done.err.lower()


def test_score_is_refused_and_says_why(textgen_command, here):
    done = textgen_command("score", "text.txt", "--provider", "cuda", env=HIDDEN)
    assert (done.status, done.out) == (1, "")
    assert "CUDA cannot be used: " in done.err


def test_a_process_of_its_own_is_refused(textgen_command, here):
    done = textgen_command("generate", "--provider", "cuda", env=HIDDEN)
    assert (done.status, done.out) == (1, "")
    assert "CUDA cannot be used: " in done.err and len(done.err.splitlines()) == 2


def test_another_provider_than_asked_for_never_runs(monkeypatch):
    """onnxruntime goes on without CUDA where it has too little memory, say."""
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda *given, **options: Session(providers=[CPU])
    )
    with pytest.raises(TextgenError, match=f"did not start {CUDA}"):
        sessions.open_session(b"", "cuda", 1)


@pytest.fixture(params=["there is none", "it lacks kernels"])
def no_device(request, monkeypatch):
    """torch without a CUDA device, or with one that is too old."""
    message = "no kernel image is available for execution on the device"
    real = torch.ones

    def ones(*shape, device=None, **options):
        if torch.device(device or "cpu").type == "cuda":
            raise RuntimeError(message)
        return real(*shape, device=device, **options)

    monkeypatch.setattr(torch, "ones", ones)

    def is_available():  # torch's exporter asks as well, and believes it
        asked_by_us = sys._getframe(1).f_globals["__name__"].startswith("textgen.")
        return asked_by_us and request.param == "it lacks kernels"

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "GeForce 8800")
    return message


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:99"])
def test_train_is_refused_and_says_why(device, no_device, verses, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["train", str(verses), *SMALL, "--device", device]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    problem, remedy = err.splitlines()
    assert problem == f"Error: The device {device} cannot be used: {no_device}"
    assert "--device auto" in remedy
    assert not (tmp_path / "exported").exists()


@pytest.mark.parametrize("device", ["cuda", "gpu"])
def test_a_refused_device_leaves_no_run(device, no_device, verses, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["train", str(verses), *SMALL, "--device", device]) in (1, 2)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("no_device", "flags"),
    [("there is none", []), ("it lacks kernels", ["--json"])],
    indirect=["no_device"],
)
def test_auto_trains_without_it_and_says_so(no_device, flags, verses, tmp_path, monkeypatch, capfd):
    """To a person, to a program, and in the model file for ever."""
    monkeypatch.chdir(tmp_path)
    assert cli.run(["train", str(verses), *SMALL, *flags]) == 0
    out, err = capfd.readouterr()
    if flags:
        assert json.loads(out.splitlines()[0])["device"] == "cpu"
    else:
        assert " on cpu, run " in err
    assert cli.run(["show", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["training"]["device"] == "cpu"


@pytest.mark.parametrize(
    "no_device",
    [
        "there is none",
        "it lacks kernels",
    ],
    indirect=True,
)
def test_doctor_says_what_trains(no_device, capfd):
    assert cli.run(["doctor"]) == 0
    told = dict(line.split("\t") for line in capfd.readouterr().out.splitlines())
    assert told["trains on"].startswith("cpu, ")
    assert "cannot be used" in told["CUDA to train"] and no_device in told["CUDA to train"]


def test_a_training_of_its_own_is_refused(textgen_command, verses):
    done = textgen_command("train", verses, *SMALL, "--device", "cuda", "--json", env=HIDDEN)
    assert (done.status, done.out) == (1, "")
    assert "The device cuda cannot be used: " in done.err


def test_a_split_is_scored_where_it_was_said(textgen_command, trained, verses):
    words = ["score", str(verses), "--onnx", str(trained.model), "--split", "test", "--provider"]
    assert textgen_command(*words, "cpu", env=HIDDEN).status == 0
    done = textgen_command(*words, "cuda", env=HIDDEN)
    assert (done.status, done.out) == (1, "")
    assert "CUDA cannot be used: " in done.err
