"""Equilibration on quadratics whose answers are known, and trainings by name."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import textgen
from textgen import verify_resume
from textgen_esgd import ESGD, Options

SMALL = {"hidden_size": 12, "batch_size": 4, "sequence_length": 12, "precision": "float32"}


def minimised(matrix, target, start, *, steps, rate, **options):
    """Minimises x A x / 2 - b x, and returns x and the optimizer."""
    x = torch.nn.Parameter(start.clone())
    optimizer = ESGD.build([{"params": [x], "lr": rate}], Options(**options))
    for _ in range(steps):
        loss = x @ matrix @ x / 2 - target @ x
        (x.grad,) = torch.autograd.grad(loss, [x], create_graph=True)
        optimizer.step()
    return x.detach(), optimizer


def ill_conditioned(size=6, spread=3.0):
    """S Q S: well conditioned but for the scale of each variable, from 1e-3 to 1e3."""
    torch.manual_seed(1)
    root = 0.2 * torch.randn(size, size, dtype=torch.float64)
    even = torch.eye(size, dtype=torch.float64) + root @ root.T
    scale = torch.logspace(-spread, spread, size, dtype=torch.float64)
    return scale[:, None] * even * scale


def test_the_preconditioner_is_the_length_of_the_hessians_rows():
    matrix = ill_conditioned()
    zero = torch.zeros(6, dtype=torch.float64)
    _, optimizer = minimised(matrix, zero, zero, steps=1000, rate=0.0, every=1)
    (group,) = optimizer.param_groups
    (state,) = optimizer.state.values()
    found = (state["squares"] / group["estimates"]).sqrt()
    torch.testing.assert_close(found, matrix.norm(dim=1), rtol=0.1, atol=0.0)


def test_scales_a_million_apart_are_learnt_at_once():
    """The curvature spans twelve orders of magnitude; gradient descent at its largest stable rate
    would not have moved the flattest variable."""
    torch.manual_seed(2)
    curvature = torch.logspace(-6, 6, 7, dtype=torch.float64)
    answer = torch.randn(7, dtype=torch.float64)
    start = torch.zeros(7, dtype=torch.float64)
    x, _ = minimised(
        torch.diag(curvature), curvature * answer, start, steps=300, rate=0.3, damping=1e-9
    )
    torch.testing.assert_close(x, answer, rtol=1e-6, atol=0.0)


def test_a_saddle_is_left():
    """Newton's step would go to it: curvature counts by its size."""
    torch.manual_seed(3)
    matrix = torch.diag(torch.tensor([100.0, -0.01], dtype=torch.float64))
    start = torch.tensor([1.0, 1e-3], dtype=torch.float64)
    zero = torch.zeros(2, dtype=torch.float64)
    x, _ = minimised(matrix, zero, start, steps=60, rate=0.2, damping=1e-6)
    assert abs(x[0]) < 1e-2 and abs(x[1]) > 0.1


def test_the_curvature_is_estimated_every_so_many_steps():
    matrix, zero = torch.eye(2), torch.zeros(2)
    _, optimizer = minimised(matrix, zero, torch.ones(2), steps=21, rate=0.1, every=5)
    # once in each of the first five steps, then after 5, 10, 15 and 20
    assert optimizer.param_groups[0]["estimates"] == 9


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "verses.txt"
    path.write_text("ANNA:\nSing the river, sing the sea,\nBERT:\nhold the door for me.\n" * 100)
    return path


def test_it_learns_and_is_written_down(text, tmp_path):
    run = textgen.train(
        text,
        optimizer="esgd",
        optimizer_options={"every": 5},
        learning_rate=0.05,
        steps=60,
        folder=tmp_path,
        **SMALL,
    )
    losses = [line["validation"] for line in run.metrics if "validation" in line]
    assert losses[-1] < losses[0] - 0.3
    assert textgen.load(run.model).generate(length=20, seed=1).text


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_resuming_is_exact(cell, text):
    found = verify_resume(text, cell=cell, optimizer="esgd", dropout=0.2, **SMALL)
    assert found.exact, found.differing


def test_the_command(text, tmp_path):
    words = "--steps 3 --hidden-size 8 --optimizer esgd --optimizer-option every=2"
    command = [sys.executable, "-m", "textgen", "train", str(text), *words.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "esgd takes second derivatives" in done.stderr
    wrong = subprocess.run(
        [*command, "--optimizer-option", "damping=0"], cwd=tmp_path, capture_output=True, text=True
    )
    assert wrong.returncode == 2 and "above 0" in wrong.stderr
