"""The samplers inside the loop: their law, and the same text in every form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sampler_forms import CASES, REGISTRY, REMEMBERING, STATELESS, chances, expected_logits
from scipy import stats

from step_models import loaded, lstm
from textgen.conformance.check_sampler import check_sampler
from textgen.contracts.options import build_options
from textgen.contracts.sampler import Sampler
from textgen.runtime.names import FREE
from textgen.runtime.noise import noise
from textgen.runtime.writer import read_prompt

DRAWS, BATCH = 200_000, 10_000
STREAMS, TURNS = 5, 60
PROMPT = np.array([3, 1, 4, 1, 5, 3, 1])
CHAINS = {
    **{f"{name} {options}": [(name, options)] for name, options in CASES},
    "all": [
        ("begin", {"text": "bad cab"}),
        ("forbid", {"text": "j\n"}),
        ("only", {"text": "abcdefghi .j"}),
        ("repetition", {"penalty": 1.1, "window": 9}),
        ("presence", {"penalty": 0.1}),
        ("frequency", {"penalty": 0.1, "window": 20}),
        ("no-repeat-ngram", {"size": 4, "window": 50}),
        ("temperature", {"temperature": 1.2}),
        ("eta", {"epsilon": 0.01}),
        ("epsilon", {"epsilon": 0.01}),
        ("typical", {"mass": 0.95}),
        ("mirostat", {"tau": 2}),
    ],
}


@pytest.fixture(scope="module")
def model():
    return loaded(lstm(seed=3))


def expected_chances(model, name, options):
    """What the sampler claims of the symbol after the prompt, from the model's own steps."""
    plugin = REGISTRY.load("sampler", name)
    complete = vars(build_options(plugin.Options, options, name))
    mu = 2 * complete.get("tau", 0)
    state, token = model.initial_state(1), np.array([model.vocabulary.boundary])
    for symbol in PROMPT:
        logits, state = model.step(token, state)
        surprise = -math.log2(chances(logits[0])[symbol])
        if name == "mirostat":
            mu = min(mu - complete["eta"] * (min(surprise, mu) - complete["tau"]), 24)
        token = np.array([symbol])
    logits, _ = model.step(token, state)
    logits[:, model.vocabulary.boundary] = -np.inf
    symbols = model.vocabulary.symbols
    heard = PROMPT.tolist() if plugin.hears_prompt else []
    return chances(expected_logits(name, complete, logits[0], heard, mu, symbols))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_their_law(model, name, options):
    """Chi-square of 200,000 draws of the symbol after a prompt, in the loop."""
    expected = expected_chances(model, name, options)
    chain = model.chain(samplers=[(name, options)])
    engine = model.engine(chain)
    cursor = read_prompt(engine, chain, model.start(chain, 1), PROMPT)
    cursor = cursor.rows(np.zeros(BATCH, np.int64))
    forced, counts = np.full((1, BATCH), FREE, np.int64), np.zeros(len(expected), np.int64)
    for first in range(0, DRAWS, BATCH):
        random = noise(22, np.arange(first, first + BATCH), np.array([0]))
        ids, _ = engine.write(cursor, chain, forced, random)
        counts += np.bincount(ids[0], minlength=len(expected))
    possible = expected > 1e-12
    assert counts[~possible].sum() == 0
    if possible.sum() > 1:
        assert (expected[possible] * DRAWS > 5).all()
        assert stats.chisquare(counts[possible], expected[possible] * DRAWS).pvalue > 1e-3


def written(model, chain, *, stepwise=False, chunks=(TURNS,), streams=range(STREAMS)):
    engine = model.engine(chain, stepwise=stepwise)
    streams = np.array(streams)
    cursor = read_prompt(engine, chain, model.start(chain, len(streams)), PROMPT)
    found, done = [], 0
    for turns in chunks:
        random = noise(5, streams, np.arange(done, done + turns))
        ids, cursor = engine.write(cursor, chain, np.full(random.shape, FREE, np.int64), random)
        found.append(ids)
        done += turns
    return np.concatenate(found)


class InNumpy(Sampler):
    """A sampler's numpy form alone."""

    def __init__(self, sampler):
        super().__init__(sampler.vocabulary, sampler.options)
        self.state_shapes, self.initial_state = sampler.state_shapes, sampler.initial_state
        self.adjust, self.accept = sampler.adjust, sampler.accept

    def adjust(self, logits, state, options):
        raise AssertionError


def in_numpy(sampler):
    of_class = {"Options": type(sampler).Options, "hears_prompt": sampler.hears_prompt}
    kind = type("InNumpy", (InNumpy,), of_class)
    return kind(sampler)


@pytest.mark.parametrize("name", CHAINS)
def test_the_same_text_in_every_form(model, name):
    chain = model.chain(samplers=CHAINS[name])
    assert chain.in_graph
    expected = written(model, chain)
    np.testing.assert_array_equal(written(model, chain, stepwise=True), expected)
    np.testing.assert_array_equal(written(model, chain, chunks=(1, 7, 20, 32)), expected)
    np.testing.assert_array_equal(written(model, chain, streams=[3])[:, 0], expected[:, 3])
    in_python = model.chain(samplers=[in_numpy(link.sampler) for link in chain.links])
    assert not in_python.in_graph
    np.testing.assert_array_equal(written(model, in_python), expected)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_they_conform(name, options):
    plugin = REGISTRY.load("sampler", name)
    if "text" in options:
        options = {"text": {"only": "s7 ", "forbid": "7", "begin": "s7 s1 s"}[name]}
    check_sampler(plugin, options)
    if "text" not in options:
        check_sampler(plugin, options, vocabulary_size=2)


def test_penalties_keep_a_model_from_its_loop(model):
    """What repeats itself for ever says something else once it may not."""
    looping = model.chain(samplers=[("top-k", {"k": 1})])
    freed = model.chain(samplers=[("no-repeat-ngram", {"size": 4}), ("top-k", {"k": 1})])

    def repeated(ids):
        grams = [tuple(ids[i : i + 4]) for i in range(len(ids) - 3)]
        return len(grams) - len(set(grams))

    assert repeated(written(model, looping)[:, 0].tolist()) > 10
    assert repeated(written(model, freed)[:, 0].tolist()) == 0


def test_every_new_sampler_is_tried():
    assert {name for name, _ in CASES} == {*STATELESS, *REMEMBERING}
