"""Steps whose states stay on a device: the same numbers as those whose states come and go.

There is a GPU on few machines, so the device is the CPU here; the way through the code is the same.
"""

from __future__ import annotations

import numpy as np
import pytest

from step_models import LETTERS, loaded, lstm, memory
from textgen.runtime import stepping
from textgen.runtime.stepping import DeviceStep, HostStep, stepper


@pytest.mark.parametrize("made", [lambda: lstm(layers=2), memory])
@pytest.mark.parametrize("batch", [1, 5])
def test_they_give_the_same_numbers_bit_for_bit(made, batch):
    model = loaded(made())
    session = model._engines.step
    host, device = HostStep(session), DeviceStep(session, "cpu")
    random = np.random.default_rng(0)
    first = {n: random.normal(0, 1, s.shape).astype(np.float32)
             for n, s in model.initial_state(batch).items()}  # fmt: skip
    expected, found = host.begin(first), device.begin(first)
    kept = []
    for token in random.integers(0, len(LETTERS), (300, batch)):
        kept.append((expected, found))
        wanted, expected = host.step(token, expected)
        logits, found = device.step(token, found)
        np.testing.assert_array_equal(logits, wanted)
    # of every step: none was written over by a later one
    for before, after in [*kept, (expected, found)]:
        for name, value in device.end(after).items():
            np.testing.assert_array_equal(value, before[name])


def test_a_text_is_the_same_and_it_is_told(monkeypatch):
    model = loaded(lstm(layers=2))
    chain = model.chain(1.0, top_k=5)
    loop, plain = model.engine(chain), model.engine(chain, stepwise=True)
    monkeypatch.setattr(stepping, "stepper", lambda session, provider: DeviceStep(session, "cpu"))
    kept = model._engines._build_engine(chain, True)
    assert kept.path == f"{plain.path}, states stay on cpu"
    forced = np.full((90, 4), -1, np.int64)
    noise = np.random.default_rng(1).random((90, 4), np.float32)
    begun = model.start(chain, 4)
    parts = []
    for engine in (loop, plain, kept):
        cursor, ids = begun, []
        for turns in (slice(0, 40), slice(40, 90)):
            part, cursor = engine.write(cursor, chain, forced[turns], noise[turns])
            ids.append(part)
        parts.append((np.concatenate(ids), cursor.states))
    for ids, states in parts[1:]:
        np.testing.assert_array_equal(ids, parts[0][0])
        for name, value in states.items():
            np.testing.assert_array_equal(value, parts[0][1][name])


def test_states_stay_where_that_is_worth_it():
    session = loaded(lstm())._engines.step
    assert isinstance(stepper(session, "cpu"), HostStep)
    assert stepper(session, "cuda").where == "states stay on cuda"
