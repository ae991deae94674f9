"""textgen sweep: what is typed, shown, and to be typed next."""

from __future__ import annotations

import json
import shlex
import sys

import pytest

from awkward import cells
from textgen import cli
from textgen.commands import sweep as sweep_command

SMALL = "--hidden-size 8 --batch-size 4 --sequence-length 16 --steps 12 --precision float32"
VARY = "--vary learning_rate=1e-3..5e-2:log --vary dropout=0,0.2"


def test_a_sweep_from_beginning_to_the_line_to_type(command_here, few_verses, tmp_path):
    done = command_here("sweep", few_verses, *SMALL.split(), *VARY.split(), "--trials", "2")
    assert done.status == 0, done.err
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert [len(row) for row in rows] == [7, 7]
    assert {row[-1] for row in rows} == {"complete"}
    assert float(rows[0][1]) <= float(rows[1][1])
    assert "trial 1: " in done.err and "trial 2: " in done.err
    assert "2 trials over learning_rate=0.001..0.05:log, dropout=0,0.2\n" in done.err
    assert "[I " not in done.err and "Warning" not in done.err, "Optuna is silent"
    assert done.err.count("on cold windows") == 1, "the best trial's validation loss alone"
    picture = tmp_path / "sweeps" / "verses.txt-lstm" / "sweep.svg"
    assert str(picture.relative_to(tmp_path)) in done.err and picture.exists()

    (line,) = (line for line in done.err.splitlines() if line.startswith("Next:  "))
    words = shlex.split(line.removeprefix("Next:  "))
    assert words[:2] == ["textgen", "train"] and "--steps" in words
    assert words[words.index("--learning-rate") + 1] == rows[0][2]
    trained = command_here(*words[1:])
    assert trained.status == 0, trained.err
    held_back = json.loads(command_here("runs", "show", "verses.txt-lstm", "--json").out)
    assert f"{held_back['metrics'][-1]['held_back']['nats']:.4f}" == rows[0][1]


def test_json_is_a_trial_a_line_and_the_best(command_here, few_verses):
    words = f"{SMALL} --vary layers=1,2 --sampler grid --pruner none --name g --json"
    done = command_here("sweep", few_verses, *words.split())
    *trials, best = [json.loads(line) for line in done.out.splitlines()]
    assert {trial["settings"]["layers"] for trial in trials} == {1, 2}
    assert all(trial["loss"] > 0 and trial["symbols"] == 12 * 4 * 16 for trial in trials)
    assert best["event"] == "best" and best["loss"] == trials[0]["loss"]
    assert best["settings"]["layers"] == trials[0]["settings"]["layers"]
    assert set(best["validation"]) == {"cold", "carried"}
    again = command_here("sweep", few_verses, *words.split())
    assert again.out == done.out, "what is done is told again"


def test_with_a_budget_in_minutes_nothing_is_left_to_be_chosen(command_here, few_verses):
    words = "--hidden-size 8 --minutes 0.005 --vary dropout=0,0.2 --trials 1"
    done = command_here("sweep", few_verses, *words.split())
    (line,) = (line for line in done.err.splitlines() if line.startswith("Next:  "))
    told = shlex.split(line.removeprefix("Next:  textgen train "))
    train = cli.textgen.get_command(None, "train").make_context("train", list(told)).params
    assert train["dropout"] in (0, 0.2)
    expected = {"hidden_size": 8, "layer_norm": False, "batch_size": 32, "learning_rate": 8e-3}
    assert {name: train[name] for name in expected} == expected


def test_what_is_typed_is_typed_again_for_train(command_here, few_verses, tmp_path):
    words = [
        "sweep", str(few_verses), *SMALL.split(), "--no-layer-norm", "--cell", "leaky",
        "--plugin", cells.__file__, "--cell-option", "leak=0.25", "--replace", r"\d+=0",
        "--replace", "a b=c", "--vary", "cell.window=1,2", "--vary", "tie_weights=no,yes",
        "--vary", "optimizer=sgd,rmsprop", "--optimizer-option", "weight_decay=0.01",
        "--vary", "dropout=0,0.2", "--trials", "1", "--seed", "3", "--embedding-size", "8",
    ]  # fmt: skip
    done = command_here(*words)
    assert done.status == 0, done.err
    (line,) = (line for line in done.err.splitlines() if line.startswith("Next:  "))
    told = shlex.split(line.removeprefix("Next:  textgen train "))
    train = cli.textgen.get_command(None, "train").make_context("train", list(told)).params
    assert train["corpus"] == str(few_verses)
    assert train["cell"] == "leaky" and train["replace"] == (r"\d+=0", "a b=c")
    assert train["cell_option"][0] == "leak=0.25" and len(train["cell_option"]) == 2
    assert train["seed"] == 3 and train["steps"] == 12 and train["layer_norm"] is False
    assert train["tie_weights"] is not None and train["optimizer"] in ("sgd", "rmsprop")
    assert train["optimizer_option"] == ("weight_decay=0.01",)
    assert str(train["plugin_files"][0]) == cells.__file__


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--vary lr=1..2", "There is no setting named 'lr'"),
        ("--vary dropout=0..1", "below 1"),
        ("--vary optimizer=sgd,sdg", "no optimizer named 'sdg'"),
        ("--vary optimizer.momentum=0,0.5", "optimizer.beta1"),
        ("--vary dropout=0..0.1 --vary dropout=0..0.2", "dropout is varied twice"),
        ("--vary dropout", "NAME=VALUE"),
        ("--sampler grid", "A grid is made of values"),
        ("--trials 0", "--trials"),
        ("--hold-back", "No such option"),
    ],
)
def test_what_cannot_be_meant_is_two_lines(command_here, few_verses, tmp_path, words, said):
    done = command_here("sweep", few_verses, *words.split())
    assert done.status == 2 and said in done.err
    assert len(done.err.splitlines()) == 2 and done.out == ""
    assert not (tmp_path / "sweeps").exists()


def test_a_sweep_of_nothing_that_can_be_is_a_failure(command_here, few_verses):
    words = f"{SMALL} --tie-weights --embedding-size 4 --vary dropout=0,0.1 --trials 2"
    done = command_here("sweep", few_verses, *words.split())
    assert done.status == 1
    assert "No trial came to its end.\nThe last: Tied weights need" in done.err


def test_a_missing_extra_is_told_with_the_line_that_installs_it(command_here, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = command_here("sweep")
    assert done.status == 1
    assert "optuna" in done.err and 'pip install "textgen-toolkit[train,sweep]"' in done.err


def test_every_flag_of_a_setting_is_one_of_train():
    train = {parameter.name for parameter in cli.textgen.get_command(None, "train").params}
    known = {parameter.name for parameter in sweep_command.command.params}
    assert known - sweep_command.NOT_OF_TRAIN <= train
