"""The number of threads follows the machine: a clock of our own stands for the machine."""

from __future__ import annotations

import pytest
import torch

from textgen.training.threads import Threads


class Machine:
    """A step's seconds by number of threads; ``clock`` goes on as steps are made."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.now = 0.0

    def clock(self):
        return self.now

    def step(self):
        self.now += self.seconds[torch.get_num_threads()]


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


QUIET, BUSY = {1: 1.4e-2, 2: 1e-2}, {1: 1.6e-2, 2: 0.3}


def train(machine, threads, steps):
    for _ in range(steps):
        threads.begin()
        machine.step()
        threads.end(100)


def test_threads_give_way_to_others_and_come_back(two_threads):
    machine = Machine(QUIET)
    with Threads(machine.clock) as threads:
        assert threads.calibrate(machine.step, 1.0) == pytest.approx(1e-2)
        train(machine, threads, 2000)
        assert threads.count == 2
        assert machine.now < 2000 * 1.1e-2 + 2
        machine.seconds = BUSY
        busy_since = machine.now
        train(machine, threads, 3000)
        assert threads.count == 1
        assert machine.now - busy_since < 1.25 * 3000 * 1.6e-2
        machine.seconds = QUIET
        train(machine, threads, 5000)
        assert threads.count == 2
        torch.set_num_threads(1)
    assert torch.get_num_threads() == 2


def test_a_number_that_is_behind_is_soon_given_up(two_threads):
    machine = Machine({1: 2.0, 2: 1.0})
    with Threads(machine.clock) as threads:
        train(machine, threads, 40)
        spent_alone = machine.now - 40
        assert 0 < spent_alone <= 2 * 2 * 2  # two calls at a time, after 6 and after 14 calls or so
        assert threads.count == 2


def test_a_busy_machine_is_seen_before_the_first_step(two_threads):
    machine = Machine(BUSY)
    with Threads(machine.clock) as threads:
        assert threads.calibrate(machine.step, 1.0) == pytest.approx(1.6e-2)
        assert threads.count == torch.get_num_threads() == 1


def test_one_thread_has_nothing_to_choose(two_threads):
    torch.set_num_threads(1)
    machine = Machine(QUIET)
    with Threads(machine.clock) as threads:
        threads.calibrate(machine.step, 0.1)
        train(machine, threads, 1000)
        assert threads.count == 1
