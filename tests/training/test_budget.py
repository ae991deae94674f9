"""A budget of time becomes steps: what a step takes is seen through disturbances, and the pauses
between steps are part of the budget."""

from __future__ import annotations

import itertools
import time

import pytest
import torch
from everything import trainer_of
from watching import Remember

import textgen
from textgen.training.budget import Pauses, seconds_a_symbol, steps_within
from textgen.training.observer import Finished, Started
from textgen.training.settings import build_settings


class Machine:
    """Steps of 100 or 300 symbols, whose time goes by their symbols and by a disturbance."""

    def __init__(self, disturbance):
        self.now = 0.0
        self._sizes, self._disturbance = itertools.cycle([100, 300]), disturbance

    def clock(self):
        return self.now

    def step(self):
        symbols = next(self._sizes)
        self.now += symbols * 1e-5 * self._disturbance(self.now)
        return symbols


def test_what_a_symbol_takes_is_seen_through_disturbances():
    for disturbance in (lambda now: 1.0, lambda now: 1.0 if now % 1 < 0.6 else 30.0):
        machine = Machine(disturbance)
        assert seconds_a_symbol(machine.step, 4.0, machine.clock) == pytest.approx(1e-5, rel=0.01)
        assert 4 <= machine.now < 5


def test_one_step_is_measured_however_short_the_time():
    machine = Machine(lambda now: 1.0)
    assert seconds_a_symbol(machine.step, 0.0, machine.clock) == pytest.approx(1e-5)
    assert machine.now == pytest.approx(1e-3)


def test_pauses_are_part_of_the_budget():
    usual = build_settings({})
    assert steps_within(60.0, 0.01, Pauses(), usual) == 6000
    assert steps_within(60.0, 0.01, Pauses(1.0, 0.5, 0.5), usual) == 4000
    assert steps_within(60.0, 0.01, Pauses(100.0), usual) == 1
    assert steps_within(-1.0, 0.01, Pauses(), usual) == 1
    often = build_settings({"evaluate_every": 10})
    assert steps_within(60.0, 0.01, Pauses(evaluation=0.1), often) == 3000
    assert steps_within(6e10, 1e-3, Pauses(1.0), usual) == pytest.approx(6e13, rel=1e-9)


def test_what_went_before_is_part_of_the_budget(verses, tmp_path):
    seen, began = Remember(), time.perf_counter() - 1000
    settings = {"hidden_size": 8, "precision": "float32", "minutes": 0.5}
    trainer = trainer_of(
        textgen.open_corpus(verses), "gru", tmp_path, seen, began=began, **settings
    )
    trained = trainer.run()
    assert trained.plan.steps == trained.step == 1
    assert seen.last(Finished).seconds == trained.seconds > 1000
    assert any("one step is left" in notice for notice in seen.last(Started).notices)


def test_measuring_pauses_leaves_no_trace(verses, tmp_path):
    corpus = textgen.open_corpus(verses)
    trainer = trainer_of(corpus, "gru", tmp_path, hidden_size=8, precision="float32", steps=1)
    before, record = torch.get_rng_state(), trainer._record
    pauses = record.measure_pauses()
    assert min(pauses.evaluation, pauses.sample, pauses.checkpoint) > 0
    assert torch.equal(torch.get_rng_state(), before)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert record.chosen_by == "" and record.samples == []
