"""Row 13 at length: every registered cell and sampler, the same ids bit for bit however they come,
and torch's the same but where the noise lies at a boundary of the distribution.

TEXTGEN_SOAK=1 runs 50 seeds of 500 symbols each; else there are few and short ones.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from soak import SOAK, count
from textgen.conformance.check_export import exported_model
from textgen.export.int8_file import in_int8
from textgen.registry import discover
from textgen.runtime.model import Model
from textgen.runtime.names import FREE
from textgen.runtime.noise import noise
from textgen.runtime.writer import read_prompt

REGISTRY = discover()
CELLS = REGISTRY.names("cell")
SAMPLERS = REGISTRY.names("sampler")

SEEDS, TURNS = range(count(4, 50)), count(60, 500)
HIDDEN, SYMBOLS = count(24, 128), 65
PROMPT = "abc"

TELLING = {
    # what these do by default is nothing, or little
    "forbid": {"text": "aeiou"},
    "only": {"text": "abcdefghijklmnop"},
    "begin": {"text": "cab"},
    "repetition": {"penalty": 1.3},
    "presence": {"penalty": 0.5, "window": 20},
    "frequency": {"penalty": 0.2},
    "no-repeat-ngram": {"size": 2, "window": 30},
}
CHAINS = {
    "plain": [],
    **{name: [(name, TELLING.get(name, {}))] for name in SAMPLERS},
    "several": [
        ("repetition", {"penalty": 1.1, "window": 30}),
        "temperature",
        ("top-k", {"k": 30}),
        ("top-p", {"p": 0.95}),
        ("min-p", {"p": 0.01}),
    ],
}

CASES = [
    (cell, weights, name)
    for cell in CELLS
    for weights in ("float32", "int8", "int4")
    for name in CHAINS
    if SOAK or weights == "float32" or name in ("plain", "several")
]

BOUNDARY = 5e-5
"""How near the noise lies to a boundary of the distribution where two machines may part."""


@functools.cache
def made(cell, weights="float32"):
    """A model with lively weights and the network it was made of."""
    file, network = exported_model(
        REGISTRY.load("cell", cell),
        hidden_size=HIDDEN,
        layers=2,
        vocabulary_size=SYMBOLS,
        embedding_size=16,
    )
    if weights != "float32":
        file = in_int8(file, network, bits=int(weights.removeprefix("int")))
    return Model(file, None, lambda name: REGISTRY.load("sampler", name), provider="cpu"), network


def random_numbers():
    """The noise of every seed's first stream, one a column, (TURNS, seeds)."""
    return np.concatenate([noise(seed, [0], np.arange(TURNS)) for seed in SEEDS], axis=1)


class Writer:
    """Writes ids (TURNS, streams) from the noise of some seeds, in one way or another."""

    def __init__(self, model, chain):
        self.engines = [model.engine(chain), model.engine(chain, stepwise=True)]
        self.model, self.chain = model, chain

    def __call__(self, random, *, stepwise=False, cuts=(), taking_turns=False):
        """In pieces between ``cuts``; ``taking_turns``, in the loop and stepwise by turns."""
        start = self.model.start(self.chain, random.shape[1])
        engine = self.engines[stepwise]
        cursor = read_prompt(engine, self.chain, start, self.model.encode(PROMPT)[0])
        found = []
        for number, piece in enumerate(np.split(random, sorted(cuts))):
            forced = np.full(piece.shape, FREE, np.int64)
            engine = self.engines[stepwise ^ (taking_turns and number % 2 == 1)]
            ids, cursor = engine.write(cursor, self.chain, forced, piece)
            found.append(ids)
        return np.concatenate(found)


@pytest.mark.parametrize(("cell", "weights", "name"), CASES)
def test_the_same_ids_however_they_come(cell, weights, name):
    model, _ = made(cell, weights)
    written = Writer(model, model.chain(samplers=CHAINS[name]))
    random = random_numbers()
    expected = written(random)
    assert len(np.unique(expected)) > (1 if name == "greedy" else 3)
    ways = {
        "stepwise": written(random, stepwise=True),
        "loop, alone": np.concatenate(
            [written(column) for column in np.hsplit(random, len(SEEDS))], 1
        ),
    }
    draw = np.random.default_rng(0)
    for pieces in (2, 5, 17):
        cuts = draw.choice(np.arange(1, TURNS), pieces, replace=False)
        ways[f"loop, cut at {cuts}"] = written(random, cuts=cuts)
        ways[f"by turns, cut at {cuts}"] = written(random, cuts=cuts, taking_turns=True)
    few = random[:, :: max(1, len(SEEDS) // 4)]
    ways["stepwise, some alone"] = np.concatenate(
        [written(column, stepwise=True) for column in np.hsplit(few, few.shape[1])], 1
    )
    for way, found in ways.items():
        same = (
            expected if found.shape == expected.shape else expected[:, :: max(1, len(SEEDS) // 4)]
        )
        np.testing.assert_array_equal(found, same, err_msg=way)
    for seed in SEEDS[:3]:
        options = {"length": TURNS, "temperature": 1.0, "samplers": CHAINS[name]}
        (ids,) = model.generate(PROMPT, seed=seed, **options).ids
        np.testing.assert_array_equal(ids, expected[:, seed])


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("cell", CELLS)
def test_torch_parts_only_at_boundaries(cell, name):
    """torch steps, numpy's samplers and a draw in double precision, with the same noise.

    What was written is fed back, and so are the samplers' states (mirostat's mu remembers where
    two machines parted), so that every place is looked at for itself. A symbol whose logit lies at
    a sampler's threshold may be kept by one and cut by the other: these places are counted too.
    """
    model, network = made(cell)
    chain = model.chain(samplers=CHAINS[name])
    random = random_numbers()
    options = chain.options(len(SEEDS))
    at_boundary = at_threshold = 0
    furthest, wrong = 0.0, []
    for turn, (samplers, expected, torchs, ids) in enumerate(side_by_side(model, network, chain)):
        furthest = max(furthest, np.abs(torchs - expected).max() / max(1, np.abs(expected).max()))
        kept = np.isfinite(chain.adjust(expected, samplers, options))
        adjusted = chain.adjust(torchs, samplers, options)
        shares = np.exp(adjusted - adjusted.max(axis=1, keepdims=True), dtype=np.float64)
        ends = np.cumsum(shares, axis=1)
        ends /= ends[:, -1:]
        u = random[turn][:, None].astype(np.float64)
        for stream in np.flatnonzero((ends > u).argmax(axis=1) != ids):
            if np.abs(ends[stream] - u[stream]).min() <= BOUNDARY:
                at_boundary += 1
            elif (np.isfinite(adjusted[stream]) != kept[stream]).any():
                at_threshold += 1
            else:
                wrong.append((turn, int(stream)))
    print(f"{cell}, {name}: {at_boundary} and {at_threshold} differ, logits by {furthest:.1e}")
    assert not wrong
    assert furthest < 1e-4
    assert at_boundary + at_threshold <= 1 + random.size / 5000


def side_by_side(model, network, chain):
    """Of each turn: the samplers' states, onnxruntime's logits and torch's (B, V), and the ids that
    the loop wrote, which both go on with; each side has its own recurrent state."""
    random = random_numbers()
    engine = model.engine(chain)
    cursor = model.start(chain, len(SEEDS))
    prompt = model.encode(PROMPT)[0]
    forced = np.full((len(prompt) + TURNS, len(SEEDS)), FREE, np.int64)
    forced[: len(prompt)] = prompt[:, None]
    given = np.concatenate([np.zeros((len(prompt), len(SEEDS)), np.float32), random])
    state = network.initial_state(len(SEEDS))
    with torch.inference_mode():
        for turn in range(len(forced)):
            expected, _ = model.step(cursor.token, cursor.states)
            logits, state = network.step(torch.from_numpy(cursor.token.copy()), state)
            samplers = cursor.samplers
            one = slice(turn, turn + 1)
            ids, cursor = engine.write(cursor, chain, forced[one], given[one])
            if turn >= len(prompt):
                yield samplers, expected, logits.numpy(), ids[0]
