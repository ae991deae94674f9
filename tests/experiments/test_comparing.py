"""Comparisons as a whole: small trainings, several processes, cells that fail, kills."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys

import pytest

import textgen
from awkward.cells import FastWeights
from textgen.contracts.cell import Cell
from textgen.contracts.errors import PluginError, UserError
from textgen.experiments.compare_events import (
    Chosen,
    CompareObserver,
    OfTrial,
    RunBegun,
    RunEnded,
    Waiting,
)
from textgen.training.observer import Evaluated, Started
from textgen.training.run_folder import RunFolder

SMALL = {
    "hidden_size": 8,
    "batch_size": 4,
    "sequence_length": 16,
    "steps": 12,
    "embedding_size": 4,
}
FIXED = {"learning_rate": 0.01, "dropout": 0.0}
"""With these there is nothing to try."""


@pytest.fixture
def compare(few_verses, tmp_path):
    def run(**changes):
        options = {"cells": ["lstm", "gru"], "seeds": 3, "trials": 2, "folder": tmp_path}
        return textgen.compare(few_verses, **{**options, **SMALL, **changes})

    return run


@pytest.fixture(scope="module")
def done(few_verses, tmp_path_factory):
    """A comparison of fixed settings that has come to its end."""
    folder = tmp_path_factory.mktemp("done")
    return textgen.compare(
        few_verses, cells=["lstm", "gru"], seeds=3, trials=2, folder=folder, **SMALL, **FIXED
    )


def begin(done, folder):
    """A comparison in ``folder`` of which there is the plan of the one that is done, and nothing
    more: so its runs have the same steps, which otherwise depend on how fast they are."""
    kept = folder / "comparisons" / done.folder.name
    kept.mkdir(parents=True)
    shutil.copy(done.folder / "comparison.json", kept)


class Remember(CompareObserver):
    """Keeps the events."""

    def __init__(self):
        self.events, self.of_compare = [], []

    def on(self, event):
        self.events.append(event)

    def on_compare(self, event):
        self.of_compare.append(event)

    def of(self, kind):
        return [event for event in self.of_compare if isinstance(event, kind)]

    @property
    def trainings(self):
        return sum(isinstance(event, Started) for event in self.events)


def test_the_whole_experiment(compare, few_verses, tmp_path):
    seen = Remember()
    words = {"cells": ["lstm", "gru", FastWeights], "steps": 4}
    done = compare(**words, observer=seen)
    found = done.found
    assert found["finished"] and done.interrupted is None
    cells = {cell["cell"]: cell for cell in found["cells"]}
    assert {cell["state"] for cell in cells.values()} == {"complete"}
    assert cells["lstm"]["hidden_size"] == 8, "the first has the size that was asked for"
    for cell in cells.values():
        parts = cell["parameters"]
        assert parts["total"] == parts["embedding"] + parts["recurrent"] + parts["head"]
        assert abs(cell["differs"]) < 0.1
        assert cell["trials"]["states"] == {"complete": 2}
        assert set(cell["settings"]) == {"learning_rate", "dropout"}
        assert cell["symbols"]["symbols"] == pytest.approx(4 * 4 * 16, rel=0.02)
        assert cell["symbols"]["runs"] == cell["time"]["runs"] == 3
        assert cell["time"]["steps"] * cell["seconds_a_step"] == pytest.approx(
            found["budgets"]["time"]["seconds"], abs=cell["seconds_a_step"]
        )
    assert [cells[c]["kernel"] for c in cells] == ["fused", "own scan", "loop of steps"]

    trials = [e for e in seen.of(OfTrial) if hasattr(e.event, "settings")]
    first = [e.event.settings for e in trials if e.label == "lstm"]
    assert first == [e.event.settings for e in trials if e.label == "gru"], "all try the same"
    assert len(seen.of(Chosen)) == 3

    runs = found["runs"]
    shared = [run for run in runs if run["cell"] == "lstm"]
    assert all(run["budgets"] == ["symbols", "time"] for run in shared), "one run is both"
    assert {run["seed"] for run in runs} == {2, 3, 4}, "the trials had another"
    assert len(seen.of(RunEnded)) == len(runs)
    assert seen.trainings == len(runs) + 3 * 2
    started = [event for event in seen.events if isinstance(event, Started)]
    assert {event.parameters for event in started} == {
        cell["parameters"]["total"] for cell in cells.values()
    }
    assert {event.precision for event in started} == {"float32"}
    assert len(found["sentences"]) == 3 and "three seeds" in found["sentences"][0]
    assert len(found["differences"]) == 4

    written = {path.name for path in done.folder.iterdir()}
    assert written >= {
        "report.html", "results.json", "results.csv", "table.tex",
        "loss-symbols.svg", "loss-symbols.pdf", "loss-time.svg", "loss-time.pdf",
    }  # fmt: skip
    assert json.loads((done.folder / "results.json").read_text()) == json.loads(json.dumps(found))

    again = Remember()
    assert compare(**words, observer=again).found == found
    assert again.trainings == 0, "what is done is told again"


def test_the_figure_is_of_the_weights_that_are_kept_on_the_test_text(done, few_verses, tmp_path):
    run = done.found["runs"][0]
    path = textgen.export_run(done.folder / "runs" / run["run"], folder=tmp_path)
    scored = textgen.score_split(few_verses, path)
    assert scored["carried"].nats == pytest.approx(run["carried"], abs=1e-5)
    assert scored["cold"].nats == pytest.approx(run["cold"], abs=1e-5)
    left = {path.name for path in (done.folder / "runs" / run["run"] / "checkpoints").iterdir()}
    assert left == {"best.safetensors"}
    assert not (done.folder / "runs" / run["run"] / "samples.txt").exists(), "none is read"


class Crashing(FastWeights):
    """Fails when it is trained for a while."""

    left = 0

    def step(self, x, state):
        Crashing.left -= 1
        if Crashing.left < 0:
            raise RuntimeError("the <b>cell</b> is broken")
        return super().step(x, state)


class Exploding(FastWeights):
    def step(self, x, state):
        y, state = super().step(x, state)
        return y * float("nan"), state


class Refusing(Cell):
    def __init__(self, layer):
        raise ValueError("no width suits me")

    def step(self, x, state):
        return x, state


@pytest.mark.parametrize(("calls", "given"), [(0, FIXED), (16 * 40, {})])
def test_a_cell_that_fails_is_a_row_that_says_so(compare, calls, given):
    Crashing.left = calls  # at once, or in its first trial
    cells = ["lstm", Crashing, Refusing]
    found = compare(cells=cells, steps=4, **given).found
    rows = {cell["cell"]: cell for cell in found["cells"]}
    assert rows["lstm"]["state"] == "complete" and rows["lstm"]["symbols"]["runs"] == 3
    assert rows["crashing"]["state"] == "failed"
    assert "RuntimeError: the <b>cell</b> is broken" in rows["crashing"]["reason"]
    assert rows["refusing"]["reason"] == "ValueError: no width suits me"
    assert found["finished"] and found["sentences"] == []
    Crashing.left = 10**9
    seen = Remember()
    assert compare(cells=cells, steps=4, **given, observer=seen).found["cells"] == found["cells"]
    assert seen.trainings == 0


def test_a_cell_that_diverges_is_a_row_too(compare):
    found = compare(cells=["gru", Exploding], steps=4).found
    rows = {cell["cell"]: cell for cell in found["cells"]}
    assert rows["gru"]["state"] == "complete"
    assert rows["exploding"]["state"] == "failed"
    assert "the training has diverged" in rows["exploding"]["reason"]
    assert rows["exploding"]["trials"]["states"] == {"diverged": 2}


class Interrupt(CompareObserver):
    """Presses Ctrl-C in the middle of the second run, whose steps no measurement decides."""

    number = 0

    def on_compare(self, event):
        if isinstance(event, RunBegun):
            self.number += 1

    def on(self, event):
        if isinstance(event, Evaluated) and self.number == 2 and event.step == 6:
            signal.raise_signal(signal.SIGINT)


def test_an_interrupted_comparison_tells_what_it_found_and_goes_on(done, compare, tmp_path):
    begin(done, tmp_path)
    whole, handler = done.found, signal.getsignal(signal.SIGINT)
    done = compare(**FIXED, observer=Interrupt())
    assert signal.getsignal(signal.SIGINT) is handler
    assert done.interrupted == signal.SIGINT and not done.found["finished"]
    assert len(done.found["runs"]) == 1 and done.found["sentences"] == []
    assert "Unfinished" in (done.folder / "report.html").read_text()
    seen = Remember()
    done = compare(**FIXED, observer=seen)
    assert done.found["finished"] and seen.of(RunBegun)[0].resumed
    assert [event.step for event in seen.events if isinstance(event, Started)][:2] == [6, 0]
    assert reached(done.found) == reached(whole), "as if it had not been interrupted"


def reached(found):
    """What the runs came to, but for the time that they took."""
    pick = ("run", "carried", "cold", "symbols", "curve")
    return [[run[name] for name in pick] for run in found["runs"]]


HANG = """
import sys, time
import textgen
from textgen.experiments.compare_events import CompareObserver, RunBegun
from textgen.training.observer import Saved

class Hang(CompareObserver):
    number = 0

    def on_compare(self, event):
        self.number += isinstance(event, RunBegun)

    def on(self, event):
        if isinstance(event, Saved) and self.number == 2 and event.step == 8:
            print("hanging", flush=True)
            time.sleep(600)

corpus, folder = sys.argv[1:]
textgen.compare(corpus, cells=["lstm", "gru"], seeds=3, folder=folder, observer=Hang(), **{given!r})
"""


def test_what_a_kill_left_is_gone_on_with_and_ends_as_it_would_have(
    done, compare, few_verses, tmp_path
):
    begin(done, tmp_path)
    whole, given = done.found, {**SMALL, **FIXED}
    words = [sys.executable, "-c", HANG.format(given=given), str(few_verses), str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout.readline() == b"hanging\n"
        finally:
            other.kill()
    seen = Remember()
    done = compare(**FIXED, observer=seen)
    assert done.found["finished"] and seen.of(RunBegun)[0].resumed
    assert reached(done.found) == reached(whole)


def test_two_processes_at_once_share_trials_and_runs(compare, few_verses, tmp_path):
    short = {**SMALL, "steps": 4}
    program = (
        "import sys, textgen\n"
        "done = textgen.compare(sys.argv[1], cells=['lstm', 'gru'], seeds=3, trials=2,\n"
        f"                       folder=sys.argv[2], **{short!r})\n"
        "assert done.found['finished']"
    )
    words = [sys.executable, "-c", program, str(few_verses), str(tmp_path)]
    with subprocess.Popen(words) as other:
        done = compare(steps=4)
        assert other.wait() == 0
    assert done.found["finished"]
    assert {cell["state"] for cell in done.found["cells"]} == {"complete"}
    assert all(cell["trials"]["states"] == {"complete": 2} for cell in done.found["cells"])
    for run in done.found["runs"]:  # by two at once, its metrics would stand there twice
        steps = [line["step"] for line in run["curve"]]
        assert steps == sorted(set(steps))


def test_what_another_process_holds_is_left_to_it_and_waited_for(
    done, compare, tmp_path, monkeypatch
):
    from textgen.experiments import contest

    shutil.copytree(done.folder, tmp_path / "comparisons" / done.folder.name)
    done = compare(**FIXED)
    held = RunFolder(done.folder / "runs" / done.found["runs"][0]["run"])
    result = held.path / "result.json"
    kept = result.read_text()
    result.unlink()
    with held.locked():
        monkeypatch.setattr(contest.time, "sleep", lambda seconds: result.write_text(kept))
        seen = Remember()
        again = compare(**FIXED, observer=seen)
    assert again.found == done.found and seen.trainings == 0
    assert len(seen.of(Waiting)) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cells": ["lstm"]}, "two cells or more"),
        ({"cells": ["lstm", "lstm"]}, "each once"),
        ({"cells": ["lstm", "gruu"]}, "Did you mean gru"),
        ({"cell_options": {"rnn": {"a": 1}}}, "rnn, which is not compared"),
        ({"cell_options": {"gru": {"a": 1}}}, "has no options"),
        ({"seeds": 2}, "nothing of chance"),
        ({"seed": 2**63 - 3}, "seed"),
        ({"trials": 0}, "one trial at least"),
        ({"parameters": 900}, "Both the number of parameters"),
        ({"steps": 5, "epochs": 1}, "given together"),
        ({"vary": {"hidden_size": "8,16"}}, "sizes are equal here"),
        ({"vary": {"cell.a": "8,16"}}, "sizes are equal here"),
        ({"vary": {"dropout": "0..2"}}, "below 1"),
        ({"dropout": 0.1, "vary": {"dropout": "0..0.5"}}, "both given and varied"),
        ({"tie_weights": True}, "Tied weights"),
        ({"hold_back": False}, "hold_back itself"),
        ({"name": "../x"}, "cannot name a comparison"),
        ({"device": "abacus"}, "abacus"),
        ({"corpus_options": {"split_sizes": (95, 5, 0)}}, "test split"),
        ({"weight_drop": 0.2, "cells": [FastWeights, "nothing"]}, "There is no cell"),
    ],
)
def test_what_is_refused_leaves_nothing(compare, tmp_path, changes, said):
    with pytest.raises(UserError, match=said):
        compare(**changes)
    assert list(tmp_path.iterdir()) == []


def test_a_first_cell_that_cannot_be_built_ends_it_before_it_begins(compare, tmp_path):
    with pytest.raises(PluginError, match="made as large as it"):
        compare(cells=[Refusing, "lstm"])
    assert list(tmp_path.iterdir()) == []


def test_with_parameters_and_minutes_nothing_depends_on_the_first_cell(compare):
    words = {"hidden_size": None, "parameters": 700, "minutes": 0.001, "steps": 4}
    found = compare(cells=[Refusing, "lstm", "rnn"], **words, **FIXED).found
    first, *others = found["cells"]
    assert [first["state"], *(cell["state"] for cell in others)] == ["failed", *["complete"] * 2]
    assert found["parameters"] == 700 and found["differences"] == []
    assert found["budgets"]["time"]["seconds"] == pytest.approx(0.06)
    for cell in others:
        steps = cell["time"]["steps"]
        assert steps == max(1, round(0.06 / cell["seconds_a_step"]))
        assert cell["time"]["symbols"] == pytest.approx(steps * 4 * 16, rel=0.02)


def test_another_comparison_of_the_same_name_is_refused(done, compare, tmp_path):
    begin(done, tmp_path)
    name = done.folder.name
    plan = tmp_path / "comparisons" / name / "comparison.json"
    before = plan.read_bytes()
    for changes, said in [
        ({"steps": 13}, "begun with other budgets: steps 12 and not steps 13"),
        ({"parameters": 900, "hidden_size": None}, "begun with other parameters"),
        ({"seeds": 4}, "begun with other seeds: 3 and not 4"),
        ({"batch_size": 8}, "begun with batch_size 4, not 8"),
        ({"cells": ["lstm", "rnn"]}, "begun with other cells: lstm, gru and not lstm, rnn"),
        ({"optimizer": "adam"}, "begun with other optimizer: name adamw, .* and not name adam,"),
    ]:
        with pytest.raises(UserError, match=said):
            compare(**{**FIXED, "name": name, **changes})
    assert plan.read_bytes() == before


def test_a_file_that_is_no_plan_is_told_in_a_sentence(compare, tmp_path):
    folder = tmp_path / "comparisons" / "one"
    folder.mkdir(parents=True)
    (folder / "comparison.json").write_text("{")
    with pytest.raises(UserError, match="not what a comparison writes"):
        compare(name="one")
