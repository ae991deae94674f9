"""Lists show what is sound and warn of what is not: one file that cannot be read hides no other."""

from __future__ import annotations

import dataclasses
import json

import pytest

from fake_distributions import install
from step_models import lstm
from textgen import model_file

RECIPES = """
    from pathlib import Path
    from textgen.contracts.hooks import hookimpl

    TEXTGEN_CONTRACT = 1

    @hookimpl
    def textgen_corpora():
        return {"bad": Path(__file__).parent / "bad.toml"}
"""


def bad_model(place):
    """Its metadata holds a text where a number is meant; the digest is right."""
    graph, info = lstm()
    bad = dataclasses.replace(info, losses={"cold": {"nats": "low"}})
    for name, about in (("good", info), ("bad", bad)):
        model_file.write(place / "exported" / f"{name}.onnx", model_file.seal(graph, about))
    return "good.onnx"


def bad_run(place):
    """What a crash in the middle of another tool might leave."""
    described = {"cell": {"name": "lstm"}, "corpus": {"name": "verses"}, "settings": {}}
    for name, about in (("good", json.dumps(described)), ("bad", '{"format": 1}')):
        (place / "runs" / name).mkdir(parents=True)
        (place / "runs" / name / "run.json").write_text(about)
    return "good"


def truncated_run(place):
    name = bad_run(place)
    (place / "runs" / "bad" / "run.json").write_text('{"form')
    return name


def metrics_without_steps(place):
    name = bad_run(place)
    good = (place / "runs" / "good" / "run.json").read_text()
    (place / "runs" / "bad" / "run.json").write_text(good)
    (place / "runs" / "bad" / "metrics.jsonl").write_text('{"loss": 1.5}\n')
    return name


def run_of_a_number(place):
    name = bad_run(place)
    described = {"cell": {"name": "lstm"}, "corpus": {"name": 7}, "settings": {}}
    (place / "runs" / "bad" / "run.json").write_text(json.dumps(described))
    return name


def model_of_a_number(place):
    graph, info = lstm()
    for name, about in (("good", info), ("bad", dataclasses.replace(info, corpus={"name": 7}))):
        model_file.write(place / "exported" / f"{name}.onnx", model_file.seal(graph, about))
    return "good.onnx"


def bad_recipe(place):
    """A distribution's recipe that says something unknown."""
    (place / "site").mkdir()
    install(place / "site", "textgen-bad", RECIPES, {"textgen.corpora:bad": "textgen_bad"})
    (place / "site" / "bad.toml").write_text("nonsense = 1\n")
    return "python-docs"


@pytest.mark.parametrize(
    ("words", "made"),
    [
        ("models", bad_model),
        ("runs", bad_run),
        ("runs", truncated_run),
        ("corpora", bad_recipe),
        ("runs", metrics_without_steps),
        ("runs", run_of_a_number),
        ("models", model_of_a_number),
    ],
)
def test_one_that_cannot_be_read_hides_no_other(words, made, textgen_command, tmp_path):
    sound = made(tmp_path)
    done = textgen_command(words, env={"PYTHONPATH": str(tmp_path / "site")})
    assert done.status == 0, done.err
    assert f"{sound}\t" in done.out
    assert "bad" in done.err


@pytest.mark.parametrize(
    ("words", "made"),
    [
        ("show bad", bad_model),
        ("show bad", model_of_a_number),
        ("runs show bad", bad_run),
        ("runs show bad", truncated_run),
        ("runs show bad", metrics_without_steps),
        ("export bad", bad_run),
        ("train --resume bad", bad_run),
    ],
)
def test_what_is_strange_is_told_in_two_lines(words, made, command_here, tmp_path):
    made(tmp_path)
    done = command_here(*words.split())
    assert done.status == 2
    problem, _ = done.err.splitlines()
    assert problem.startswith("Error: ") and "bad" in problem


def test_only_runs_are_removed(command_here, tmp_path):
    """A folder elsewhere may hold a run.json of another program, and much else."""
    bad_run(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "run.json").write_text("{}")
    refused = command_here("runs", "rm", "elsewhere")
    assert refused.status == 2 and "not in runs" in refused.err
    assert (tmp_path / "elsewhere" / "run.json").exists()
    assert command_here("runs", "rm", "runs/good").status == 0
    assert not (tmp_path / "runs" / "good").exists()
