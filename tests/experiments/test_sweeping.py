"""Sweeps as a whole: small trainings, several processes, interruptions."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from watching_sweeps import Remember

import textgen
from awkward.cells import Leaky
from textgen.contracts.errors import UserError
from textgen.experiments.trials import Begun, SweepObserver, TrialBegun, TrialEnded
from textgen.training.observer import Evaluated

SMALL = {
    "hidden_size": 8,
    "batch_size": 4,
    "sequence_length": 16,
    "steps": 20,
    "precision": "float32",
}
VARY = {"learning_rate": "1e-3..5e-2:log", "dropout": [0.0, 0.2]}


@pytest.fixture
def sweep(few_verses, tmp_path):
    def run(**changes):
        options = {"vary": VARY, "trials": 3, "folder": tmp_path, **SMALL, **changes}
        return textgen.sweep(few_verses, **options)

    return run


def test_the_best_settings_train_to_the_loss_that_was_told(sweep, few_verses, tmp_path):
    seen = Remember()
    found = sweep(observer=seen)
    assert [trial.state for trial in found.trials] == ["complete"] * 3
    losses = [trial.loss for trial in found.trials]
    assert losses == sorted(losses) and found.best == found.trials[0]
    assert "cold" in found.best.validation
    assert found.picture.read_text().startswith("<svg")
    left = sorted(path.name for path in found.folder.iterdir())
    assert left == [".lock", "study.db", "sweep.svg"], "trials leave nothing behind"
    kinds = [type(event) for event in seen.of_sweep]
    assert kinds == [Begun, *[TrialBegun, TrialEnded] * 3]
    assert seen.trainings == 3

    run = textgen.train(
        few_verses, folder=tmp_path, cell_options=found.cell_options, **found.settings
    )
    assert run.losses["held_back"]["nats"] == found.best.loss
    assert run.losses["cold"] == found.best.validation["cold"]


def test_the_loss_is_of_text_held_back_and_never_of_the_validation_text(sweep):
    seen = Remember()
    found = sweep(trials=1, observer=seen)
    told = [event for event in seen.events if isinstance(event, Evaluated)]
    assert found.best.loss == min(event.held_back.nats for event in told)
    assert found.best.loss != min(event.validation.nats for event in told)


def test_the_same_command_goes_on_and_at_the_end_tells(sweep):
    assert len(sweep(trials=1).trials) == 1
    assert len(sweep(trials=2).trials) == 2
    seen = Remember()
    found = sweep(trials=2, observer=seen)
    assert len(found.trials) == 2 and seen.trainings == 0


def test_options_of_the_optimizer_are_varied(sweep):
    vary = {"optimizer.beta2": [0.9, 0.99]}
    given = {"optimizer": "adam", "optimizer_options": {"beta1": 0.8}, "steps": 4}
    found = sweep(vary=vary, sampler="grid", trials=None, **given)
    assert [trial.state for trial in found.trials] == ["complete"] * 2
    assert {trial.settings["optimizer.beta2"] for trial in found.trials} == {0.9, 0.99}
    assert found.settings["optimizer"] == "adam"
    best = found.best.settings["optimizer.beta2"]
    assert found.optimizer_options == {"beta1": 0.8, "beta2": best}
    with pytest.raises(UserError, match=r"with the optimizer adam beta1=0\.8"):
        sweep(vary=vary, sampler="grid", trials=None, **given | {"optimizer_options": {}})


class InterruptPoor(SweepObserver):
    """Presses Ctrl-C as a poor trial is evaluated, once there are enough to compare it with."""

    def __init__(self):
        self._ended = self._rate = 0

    def on_sweep(self, event):
        self._ended += isinstance(event, TrialEnded)
        if isinstance(event, TrialBegun):
            self._rate = event.settings["learning_rate"]

    def on(self, event):
        poor = self._rate == 1e-6 and self._ended >= 5
        if isinstance(event, Evaluated) and poor and event.step == 6:
            signal.raise_signal(signal.SIGINT)


def test_a_poor_trial_is_ended_early(sweep):
    vary = {"learning_rate": [1e-2, 1e-6], "dropout": [0, 0.1, 0.2, 0.3]}
    found = sweep(vary=vary, sampler="grid", trials=None, observer=InterruptPoor())
    (pruned,) = [trial for trial in found.trials if trial.state == "pruned"]
    assert pruned.settings["learning_rate"] == 1e-6 and pruned.steps == 6 and pruned.symbols > 0
    assert found.interrupted == signal.SIGINT, "though the trial had just been given up"
    assert max(trial.number for trial in found.trials) == pruned.number
    found = sweep(vary=vary, sampler="grid", trials=None)
    assert len(found.trials) == 8
    assert {t.settings["learning_rate"] for t in found.trials if t.state == "pruned"} == {1e-6}


def test_settings_that_diverge_or_do_not_go_together_end_no_sweep(sweep):
    found = sweep(
        vary={"learning_rate": [1e-2, 1e38], "tie_weights": [True, False]},
        sampler="grid",
        trials=None,
        embedding_size=4,
    )
    by_settings = {tuple(trial.settings.values()): trial for trial in found.trials}
    assert by_settings[1e-2, False].state == "complete"
    assert by_settings[1e38, False].state == "diverged"
    assert {by_settings[rate, True].state for rate in (1e-2, 1e38)} == {"impossible"}
    assert "Tied weights" in by_settings[1e-2, True].reason


def test_options_of_a_cell_are_varied_too(sweep, few_verses, tmp_path):
    found = sweep(cell=Leaky, vary={"cell.window": "1,2"}, sampler="grid", trials=None)
    assert {trial.settings["cell.window"] for trial in found.trials} == {1, 2}
    assert set(found.cell_options) == {"window"}


class Interrupt(SweepObserver):
    """Presses Ctrl-C in the middle of the second trial."""

    def __init__(self):
        self._trial = 0

    def on_sweep(self, event):
        if isinstance(event, TrialBegun):
            self._trial = event.number

    def on(self, event):
        if isinstance(event, Evaluated) and self._trial == 2 and event.step == 10:
            signal.raise_signal(signal.SIGINT)


def test_an_interrupted_sweep_tells_what_it_found_and_goes_on(sweep):
    handler = signal.getsignal(signal.SIGINT)
    found = sweep(observer=Interrupt())
    assert signal.getsignal(signal.SIGINT) is handler
    assert found.interrupted == signal.SIGINT
    assert [trial.state for trial in found.trials] == ["complete", "interrupted"]
    assert found.trials[1].steps == 10
    found = sweep()
    again = next(trial for trial in found.trials if trial.number == 3)
    interrupted = next(trial for trial in found.trials if trial.number == 2)
    assert again.settings == interrupted.settings and again.state == "complete"
    assert sum(trial.state == "complete" for trial in found.trials) == 3


def test_a_disk_that_fails_is_not_the_trials_fault(sweep, monkeypatch):
    def full(path, values):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr("textgen.training.record.write_checkpoint", full)
        sweep(trials=1)
    found = sweep(trials=1)
    assert [trial.state for trial in found.trials] == ["complete", "interrupted"]
    assert found.trials[0].settings == found.trials[1].settings


HANG = """
import sys, time
import textgen
from textgen.experiments.trials import SweepObserver, TrialBegun

class Hang(SweepObserver):
    def on_sweep(self, event):
        if isinstance(event, TrialBegun):
            print("begun", flush=True)
            time.sleep(600)

corpus, folder = sys.argv[1:]
textgen.sweep(corpus, vary={vary!r}, trials=3, folder=folder, observer=Hang(), **{small!r})
"""


def test_another_process_joins_and_tries_again_what_a_kill_left(sweep, few_verses, tmp_path):
    program = HANG.format(vary=VARY, small=SMALL)
    words = [sys.executable, "-c", program, str(few_verses), str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout.readline() == b"begun\n"
            states = [trial.state for trial in sweep().trials]
            assert states == ["complete", "complete", "running"]
        finally:
            other.kill()
    found = sweep()
    states = [trial.state for trial in found.trials]
    assert states == ["complete", "complete", "complete", "killed"]
    killed = found.trials[-1]
    again = max(found.trials, key=lambda trial: trial.number)
    assert again.settings == killed.settings


def test_two_processes_at_once_share_the_trials(sweep, few_verses, tmp_path):
    program = (
        "import sys, textgen\n"
        f"textgen.sweep(sys.argv[1], vary={VARY!r}, trials=5, folder=sys.argv[2], **{SMALL!r})"
    )
    words = [sys.executable, "-c", program, str(few_verses), str(tmp_path)]
    with subprocess.Popen(words) as other:
        found = sweep(trials=5)
        assert other.wait() == 0
    found = sweep(trials=5)
    assert len(found.trials) == 5
    assert {trial.state for trial in found.trials} <= {"complete", "pruned"}
    assert len({tuple(trial.settings.values()) for trial in found.trials}) == 5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hold_back": False}, "hold_back itself"),
        ({"name": "../x"}, "cannot name a sweep"),
        ({"sampler": "gp"}, "no sampler of sweeps named 'gp'"),
        ({"pruner": "patient"}, "no pruner of sweeps named"),
        ({"vary": {"hidden_size": "8,16"}}, "both given and varied"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_what_is_refused_leaves_nothing(sweep, tmp_path, changes, said):
    with pytest.raises(UserError, match=said):
        sweep(**changes)
    assert list(tmp_path.iterdir()) == []


def test_a_text_too_small_to_hold_back_any_is_refused(tmp_path):
    (tmp_path / "small.txt").write_text("Sing the river, and sing it well.\n" * 30)
    with pytest.raises(UserError, match="too small to hold text back"):
        textgen.sweep(tmp_path / "small.txt", folder=tmp_path, **SMALL)
