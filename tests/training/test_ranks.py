"""Several processes learn as one does; one that is killed, or is missing afterwards, changes
nothing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from several_trainings import RUNS, VERSES, train
from watching import StopAt

import textgen
from soak import count
from textgen.contracts.errors import UserError
from textgen.training.checkpoint import read_checkpoint
from textgen.training.feeding import MappedFeed
from textgen.training.ranks import ALONE, Ranks, job, launched_ranks
from textgen.training.streams import Streams

TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
FLAGS = [f"--{name.replace('_', '-')}={value}" for name, value in VERSES.items()]
HERE = Path(__file__).parent


def environment():
    paths = [str(HERE), str(HERE.parent)]
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}


@contextlib.contextmanager
def torchrun(folder, *arguments, ranks=2, options=("--standalone",)):
    """torchrun at work in ``folder``, ended with its processes when the block ends."""
    command = [*TORCHRUN, f"--nproc-per-node={ranks}", *options, *map(str, arguments)]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def step_of(line, event="saved"):
    """The step at which the event of this line of JSON was told, or -1."""
    told = json.loads(line)
    return told["step"] if told["event"] == event else -1


def losses_of(run):
    metrics = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return np.array([line["loss"] for line in metrics if "loss" in line])


def last_of(run):
    return read_checkpoint(run / "checkpoints" / "last.safetensors")


def assert_same(one, other):
    """Bit by bit the same in the end, clocks left out."""
    a, b = last_of(one), last_of(other)
    assert a.tensors.keys() == b.tensors.keys()
    assert [n for n, tensor in a.tensors.items() if not torch.equal(tensor, b.tensors[n])] == []
    assert a.values | {"seconds": 0} == b.values | {"seconds": 0}
    assert (one / "samples.txt").read_bytes() == (other / "samples.txt").read_bytes()


def assert_close(one, other):
    """Weights and carried state in the end; random numbers and place in the text exactly."""
    weights, others = last_of(one).tensors, last_of(other).tensors
    for name in (name for name in weights if name.startswith(("weights.", "state."))):
        torch.testing.assert_close(weights[name], others[name], rtol=1e-3, atol=1e-4)
    assert torch.equal(weights["random.cpu"], others["random.cpu"])
    assert last_of(one).values["cursor"] == last_of(other).values["cursor"]


@pytest.fixture(scope="module")
def texts(verses, names, tmp_path_factory):
    def folder(name):
        made = tmp_path_factory.mktemp(name)
        for path in (verses, names):
            shutil.copy2(path, made)
        return made

    return folder


@pytest.fixture
def every_loss(monkeypatch):
    """Every loss is written down."""
    monkeypatch.setattr("textgen.training.meter._SECONDS", 0.0)


@pytest.fixture(scope="module")
def one_rank(texts):
    """Every run by one process."""
    folder = texts("one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textgen.training.meter._SECONDS", 0.0)
        for name in RUNS.keys() - {"minutes"}:
            train(folder, name)
    return folder


@pytest.fixture(scope="module")
def two_ranks(texts):
    """Every run by two."""
    folder = texts("two")
    with torchrun(folder, HERE / "several_trainings.py", folder, *RUNS) as process:
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return folder


@pytest.mark.parametrize("name", sorted(RUNS.keys() - {"minutes"}))
def test_two_learn_as_one(name, one_rank, two_ranks):
    one, two = losses_of(one_rank / name), losses_of(two_ranks / name)
    assert len(one) == len(two) == RUNS[name][1]["steps"]
    assert np.abs(one - two).max() <= 1e-6
    assert_close(one_rank / name, two_ranks / name)


def test_a_budget_in_minutes_is_one_plan_for_all(two_ranks):
    values = last_of(two_ranks / "minutes").values
    assert values["step"] == values["plan"]["steps"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
@pytest.mark.parametrize("standalone", [False, True][: count(1, 2)])
def test_a_killed_rank(standalone, two_ranks, texts):
    """torchrun starts all again, and they go on with the run that they had begun."""
    folder, kills = texts("killed"), count(1, 10)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rendezvous = "--standalone" if standalone else f"--master-port={port}"
    options = (rendezvous, f"--max-restarts={kills}")
    command = ["-m", "textgen", "train", "verses.txt", "--json", *FLAGS]
    with torchrun(folder, *command, options=options) as process:
        places = np.random.default_rng(standalone).integers(5, 90, kills)
        for turn, place in enumerate(sorted(places.tolist())):
            for line in process.stdout:
                if step_of(line) >= place:
                    os.kill(children(process.pid)[turn % 2], signal.SIGKILL)
                    break
        out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "Going on with runs" in errors
    assert sum(step_of(line, "finished") >= 0 for line in out.splitlines()) == 1
    assert [path.name for path in (folder / "runs").iterdir()] == ["verses.txt-lstm"]
    assert_same(two_ranks / "verses", folder / "runs" / "verses.txt-lstm")


def children(pid):
    """The processes that this one has started, by their number."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    if not listed.exists():
        pytest.skip("who started whom is told by Linux alone")
    return sorted(map(int, listed.read_text().split()))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_one_is_stopped_then_two_then_one_goes_on(one_rank, texts, every_loss):
    folder = texts("stopped")
    textgen.train(folder / "verses.txt", name="it", folder=folder, observer=StopAt(20), **VERSES)
    with torchrun(folder, "-m", "textgen", "train", "--resume=it", "--json") as process:
        started = json.loads(process.stdout.readline())
        for line in process.stdout:
            if step_of(line) >= 50:
                process.send_signal(signal.SIGINT)
                break
        out, errors = process.communicate(timeout=120)
    assert "cannot be reached" not in errors
    assert started["step"] == 20
    assert "ranks 1 to 2" in started["notices"][-1]
    told = json.loads(out.splitlines()[-1])  # the others tell nothing
    assert (told["event"], told["interrupted"]) == ("exported", signal.SIGINT)
    assert 50 <= told["steps"] < VERSES["steps"]
    run = textgen.resume("it", folder=folder)
    left = VERSES["steps"] - told["steps"]
    whole, pieces = (losses_of(path)[-left:] for path in (one_rank / "verses", run.folder))
    assert np.abs(whole - pieces).max() <= 1e-6
    assert_close(one_rank / "verses", run.folder)


def as_rank(monkeypatch, rank=1, ranks=2, run_id="none"):
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "TORCHELASTIC_RUN_ID": run_id}
    for name, value in told.items():
        monkeypatch.setenv(name, str(value))


def test_two_choose_together(texts):
    """By one measurement, said once; each rank refuses another setup than the first one's."""
    folder = texts("chosen")
    command = ["-m", "textgen", "train", "verses.txt", "--minutes=0.01", "--json"]
    with torchrun(folder, *command) as process:
        out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert errors.count("Chosen for") == 1
    (path,) = folder.glob("runs/*/run.json")
    settings = json.loads(path.read_text())["settings"]
    assert f"hidden size {settings['hidden_size']}" in errors
    assert settings["batch_size"] == 32
    assert json.loads(out.splitlines()[0])["steps"] == json.loads(out.splitlines()[-1])["steps"]


def test_what_a_job_has_chosen_holds_when_it_is_started_again(verses, tmp_path, monkeypatch):
    as_rank(monkeypatch, rank=0, ranks=1, run_id="chooses")
    said = []
    for _ in range(2):
        textgen.train(verses, minutes=0.002, folder=tmp_path, notify=said.append)
    assert [line.split()[0] for line in said] == ["Chosen", "Going"]


def test_what_ranks_cannot_share(verses, tmp_path, monkeypatch):
    as_rank(monkeypatch, ranks=3)
    with pytest.raises(UserError, match="7 streams cannot be shared evenly by 3 ranks") as refused:
        textgen.train(verses, steps=1, batch_size=7, folder=tmp_path)
    assert "--batch-size 9" in refused.value.remedy
    for device in ("cuda:1", "mps"):
        with pytest.raises(UserError, match=f"device {device}"):
            textgen.train(verses, steps=1, batch_size=6, device=device, folder=tmp_path)
    with pytest.raises(UserError, match="one process"):
        textgen.api.verify_resume(verses, batch_size=6)
    assert list(tmp_path.iterdir()) == []
    as_rank(monkeypatch, rank=0, ranks=1)
    assert launched_ranks("cuda:1", 7) is ALONE


def test_a_job_is_known_again(monkeypatch):
    assert job() == ""
    as_rank(monkeypatch)
    own = job()
    as_rank(monkeypatch, run_id="plays")
    assert job() not in ("", own)
    as_rank(monkeypatch, rank=0, run_id="plays", ranks=4)
    named = job()
    as_rank(monkeypatch, rank=3, run_id="plays")
    assert job() == named


@pytest.mark.parametrize("text", ["verses", "names"])
def test_rows_are_those_of_the_whole_batch(text, request):
    corpus = textgen.open_corpus(request.getfixturevalue(text))

    def streams(rows):
        return Streams(
            corpus.ids,
            corpus.spans("train"),
            corpus.vocabulary.boundary,
            batch_size=6,
            sequence_length=10,
            reset_probability=0.2,
            seed=1,
            rows=rows,
        )

    feed = MappedFeed(corpus.ids, corpus.vocabulary.boundary, torch.device("cpu"))
    whole, *parts = map(streams, [slice(None), *(Ranks(rank, 3).rows(6) for rank in range(3))])
    for _ in range(80):
        batch, pieces = whole.next(), [part.next() for part in parts]
        fed, *shares = map(feed, [batch, *pieces])
        assert torch.equal(fed.inputs, torch.cat([s.inputs for s in shares], dim=1))
        assert torch.equal(fed.targets, torch.cat([s.targets for s in shares], dim=1))
        assert torch.equal(fed.reset, torch.cat([s.reset for s in shares]))
        assert {(p.symbols, p.changes) for p in pieces} == {(batch.symbols, batch.changes)}
        assert batch.symbols == (fed.targets != -100).sum()
        assert batch.changes == (fed.targets[1:] != -100).sum()
    assert all(part.cursor() == whole.cursor() for part in parts)


def test_all_ranks_draw_what_one_draws():
    def drawn(ranks):
        torch.manual_seed(1)
        mask = ranks.drawn(torch.empty(2, 6 // ranks.count, 3), torch.rand_like, axis=1)
        return mask, torch.get_rng_state()

    whole, state = drawn(ALONE)
    parts = [drawn(Ranks(rank, 3)) for rank in range(3)]
    assert torch.equal(whole, torch.cat([mask for mask, _ in parts], dim=1))
    assert all(torch.equal(state, left) for _, left in parts)
