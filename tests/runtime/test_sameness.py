"""The same ids bit for bit: in the loop, stepwise, alone, in a batch, in any chunks and threads."""

from __future__ import annotations

import numpy as np
import pytest

from awkward.samplers import Surprised, Tired
from step_models import loaded, lstm, memory
from textgen.contracts.options import build_options
from textgen.runtime.names import FREE
from textgen.runtime.noise import noise
from textgen.runtime.writer import read_prompt

STREAMS, TURNS = 5, 60
MODELS = {
    "lstm": lambda seed: lstm(seed=seed),
    "two layers": lambda seed: lstm(layers=2, hidden=33, seed=seed),
    "matrix state, learned start": lambda seed: memory(seed=seed),
}
CHAINS = {
    "plain": [],
    "greedy": ["greedy"],
    "temperature": [("temperature", {"temperature": 0.7})],
    "top-k": [("top-k", {"k": 3})],
    "top-p": [("top-p", {"p": 0.8})],
    "min-p": [("min-p", {"p": 0.2})],
    "all": [("temperature", {}), ("top-k", {"k": 9}), ("top-p", {}), ("min-p", {"p": 0.05})],
    "state in the graph": [Surprised, ("top-p", {"p": 0.95})],
    "numpy alone": [("temperature", {}), ("top-p", {}), Tired, ("top-k", {"k": 9}), Surprised],
}


def made_chain(model, name):
    def made(choice):
        if isinstance(choice, type):
            options = build_options(choice.Options, {"strength": 0.3}, "test")
            return choice(model.vocabulary, options)
        return choice

    return model.chain(samplers=[made(choice) for choice in CHAINS[name]])


def written(model, chain, seed, *, stepwise=False, streams=range(STREAMS), chunks=(TURNS,)):
    """The ids (T, B) of ``streams`` after a short prompt, in chunks of the given lengths."""
    engine = model.engine(chain, stepwise=stepwise)
    streams = np.array(streams)
    start = model.start(chain, len(streams))
    cursor = read_prompt(engine, chain, start, np.array([3, 1, 4]))
    found, done = [], 0
    for turns in chunks:
        random = noise(seed, streams, np.arange(done, done + turns))
        forced = np.full(random.shape, FREE, np.int64)
        ids, cursor = engine.write(cursor, chain, forced, random)
        found.append(ids)
        done += turns
    return np.concatenate(found), cursor


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("name", MODELS)
def test_the_same_ids(name, chain, seed):
    model = loaded(MODELS[name](seed % 97))
    samplers = made_chain(model, chain)
    assert samplers.in_graph == (chain != "numpy alone")
    expected, end = written(model, samplers, seed)
    assert chain == "greedy" or len(np.unique(expected)) > 2
    stepwise, _ = written(model, samplers, seed, stepwise=True)
    np.testing.assert_array_equal(stepwise, expected)
    for stream in range(STREAMS):
        alone, _ = written(model, samplers, seed, streams=[stream])
        np.testing.assert_array_equal(alone[:, 0], expected[:, stream])
    pieces, end_of_pieces = written(model, samplers, seed, chunks=(1, 7, 20, 32))
    np.testing.assert_array_equal(pieces, expected)
    for one, other in zip(
        [*end.states.values(), *(v for s in end.samplers for v in s.values())],
        [*end_of_pieces.states.values(), *(v for s in end_of_pieces.samplers for v in s.values())],
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_any_number_of_threads():
    made = lstm(hidden=256, embedding=64, seed=5)
    expected = None
    for threads in (1, 2, 3):
        model = loaded(made, threads=threads)
        ids, _ = written(model, made_chain(model, "top-p"), 4, streams=range(96))
        alone, _ = written(model, made_chain(model, "top-p"), 4, streams=[95])
        expected = ids if expected is None else expected
        np.testing.assert_array_equal(ids, expected)
        np.testing.assert_array_equal(alone[:, 0], expected[:, 95])


@pytest.mark.parametrize("name", MODELS)
def test_the_loop_is_the_model_s_own_steps(name):
    """Stepping with Model.step and drawing in numpy gives the same text."""
    model = loaded(MODELS[name](1))
    chain = made_chain(model, "temperature")
    expected, _ = written(model, chain, 8)
    state, token = model.initial_state(STREAMS), np.zeros(STREAMS, np.int64)
    for symbol in (3, 1, 4):
        _, state = model.step(token, state)
        token = np.full(STREAMS, symbol)
    random = noise(8, np.arange(STREAMS), np.arange(TURNS))
    for turn in range(TURNS):
        logits, state = model.step(token, state)
        logits[:, model.vocabulary.boundary] = -np.inf
        scaled = (logits - logits.max(axis=1, keepdims=True)).astype(float) / 0.7
        sums = np.cumsum(np.exp(scaled), axis=1)
        shares = sums / sums[:, -1:]
        drawn = (shares > random[turn][:, None]).argmax(axis=1)
        for row in np.flatnonzero(drawn != expected[turn]):
            assert np.abs(shares[row] - random[turn, row]).min() < 1e-6
        token = expected[turn]


def test_options_are_inputs_of_one_graph():
    """Another temperature needs no other graph; another object of a sampler class may."""
    model = loaded(lstm())
    hot, cold = (model.chain(temperature=t) for t in (2.0, 0.25))
    assert model.engine(hot) is model.engine(cold)
    assert (written(model, hot, 0)[0] != written(model, cold, 0)[0]).any()
    first, second = (made_chain(model, "state in the graph") for _ in range(2))
    assert model.engine(first) is not model.engine(second)


def test_the_graphs_kept_are_few():
    model = loaded(lstm())
    for _ in range(20):
        model.engine(made_chain(model, "state in the graph"))
    assert len(model._engines._engines) <= 8
