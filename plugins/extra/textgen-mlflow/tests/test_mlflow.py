"""What was told, read back by MLflow's own client from a local database."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from mlflow import MlflowClient

from textgen.contracts.tracker import RunFacts
from textgen_mlflow import MLflow, Options


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Artifacts lie in ./mlruns."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "verses.txt"
    path.write_text("ANNA:\nSing the river, sing the sea,\nBERT:\nhold the door for me.\n" * 100)
    return path


def all_runs(uri="sqlite:///mlflow.db"):
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("textgen").experiment_id
    return client, client.search_runs([experiment], order_by=["attributes.start_time ASC"])


def test_the_command(text, tmp_path):
    words = "--steps 6 --hidden-size 8 --batch-size 4 --name it --tracker mlflow"
    command = [sys.executable, "-m", "textgen", "train", str(text), *words.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and "INFO" not in done.stderr and "failed" not in done.stderr
    client, (run,) = all_runs()
    assert (run.info.run_name, run.info.status) == ("it", "FINISHED")
    expected = {"corpus": "verses.txt", "hidden_size": "8", "optimizer.beta1": "0.9"}
    assert expected.items() <= run.data.params.items()
    lines = (tmp_path / "runs" / "it" / "metrics.jsonl").read_text().splitlines()
    written = [json.loads(line) for line in lines]
    losses = [(m["step"], m["held_back"]) for m in written if isinstance(m.get("held_back"), float)]
    history = client.get_metric_history(run.info.run_id, "held_back")
    assert sorted((m.step, m.value) for m in history) == losses and len(losses) == 6
    assert run.data.metrics["final.cold"] == written[-1]["cold"]["nats"]
    samples = client.list_artifacts(run.info.run_id, "samples")
    assert [file.path for file in samples] == [f"samples/{n:09d}.txt" for n in range(1, 7)]


def tracked(step, outcome, name="it", **values):
    tracker = MLflow(Options(uri="sqlite:///other.db"))
    tracker.begin(RunFacts(name, None, {f"s{n}": n for n in range(150)}, "text", step))
    tracker.metrics(step + 1, values)
    tracker.end(outcome)


def test_a_resumed_run_is_the_same_run():
    tracked(0, "interrupted", loss=2.0)
    tracked(5, "failed", loss=1.0)
    client, (run,) = all_runs("sqlite:///other.db")
    assert run.info.status == "FAILED" and len(run.data.params) == 151
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(1, 2.0), (6, 1.0)]
    tracked(0, "finished", loss=3.0)
    tracked(0, "finished", name="other", loss=3.0)
    _, found = all_runs("sqlite:///other.db")
    assert [run.info.run_name for run in found] == ["it", "it", "other"], "a new training of a name"
