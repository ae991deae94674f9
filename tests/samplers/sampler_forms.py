"""Both forms of a chain side by side, and what the samplers claim, written out naively."""

from __future__ import annotations

import math

import numpy as np
import onnxruntime

from textgen.contracts.tokenizer import Vocabulary
from textgen.registry import discover
from textgen.runtime.chain import build_chain
from textgen.runtime.names import option, sampler_state, sampler_state_after
from textgen.runtime.sampling_graph import accept_graph, adjust_graph

REGISTRY = discover()

STREAMS = 24
"""Rows of penalties and their histories."""

STATELESS = {
    "typical": [{"mass": m} for m in (1e-6, 0.2, 0.5, 0.9, 1)],
    "epsilon": [{"epsilon": e} for e in (1e-9, 0.003, 0.05, 1)],
    "eta": [{"epsilon": e} for e in (1e-9, 0.01, 0.2, 1)],
    "forbid": [{}, {"text": "bde."}],
    "only": [{}, {"text": "cafe bag"}],
}
REMEMBERING = {
    "begin": [{}, {"text": "cab"}],
    "repetition": [{}, {"penalty": 0.5}, {"penalty": 3, "window": 1}, {"penalty": 2, "window": 5}],
    "presence": [{}, {"penalty": -1.5}, {"penalty": 1, "window": 1}, {"penalty": 2, "window": 5}],
    "frequency": [{}, {"penalty": -0.5}, {"penalty": 1, "window": 1}, {"penalty": 2, "window": 5}],
    "no-repeat-ngram": [{}, {"size": 1, "window": 4}, {"size": 2}, {"size": 3, "window": 6}],
    "mirostat": [{}, {"tau": 0.5, "eta": 1}, {"tau": 2.2}, {"tau": 2.4}, {"tau": 3, "eta": 0.05}],
}
CASES = [
    (name, options)
    for samplers in (STATELESS, REMEMBERING)
    for name in samplers
    for options in samplers[name]
]


def letters(size):
    """A vocabulary of ``size``: the boundary, then letters and what follows them."""
    first = "abcdefghijklmnopqrstuvwxyz ."
    characters = [*first, *(chr(0x4E00 + i) for i in range(size))]
    return Vocabulary((b"", *(c.encode() for c in characters[: size - 1])), 0)


def chain_of(*choices, size=None, vocabulary=None):
    vocabulary = vocabulary or Vocabulary((b"", *(f"s{i}".encode() for i in range(1, size))), 0)
    return build_chain(
        vocabulary, lambda name: REGISTRY.load("sampler", name), [], choices, ends=True
    )


def both_forms(logits, *choices, history=(), vocabulary=None):
    """What numpy and the graph make of ``logits`` (B, V) after the symbols ``history`` (T, B), each
    drawn with a probability of a quarter."""
    logits = np.asarray(logits, np.float32)
    streams, size = logits.shape
    chain = chain_of(*choices, size=size, vocabulary=vocabulary)
    links = range(len(chain.links))
    options = chain.options(streams)
    given = {option(n, name): v for n, link in enumerate(options) for name, v in link.items()}
    state = chain.initial_state(streams)
    fed = {sampler_state(n, name): v for n, link in enumerate(state) for name, v in link.items()}
    accept = session_of(accept_graph(chain, links)) if fed and len(history) else None
    for ids in np.asarray(history, np.int64):
        if accept is None:
            break
        logprobs = np.full(streams, np.log(0.25), np.float32)
        state = chain.accept(ids, logprobs, state)
        results = accept.run(None, {"ids": ids, "logprobs": logprobs, **given, **fed})
        names = [output.name for output in accept.get_outputs()]
        found = dict(zip(names, results, strict=True))
        for n, link in enumerate(state):
            for name, value in link.items():
                fed[sampler_state(n, name)] = found[sampler_state_after(n, name)]
                np.testing.assert_array_equal(fed[sampler_state(n, name)], value)
    adjusted = chain.adjust(logits, state, options)
    (found,) = session_of(adjust_graph(chain, links)).run(None, {"logits": logits, **given, **fed})
    return adjusted, found


def session_of(graph):
    return onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def chances(row):
    """The distribution of ``row``, in double precision."""
    row = np.asarray(row, np.float64)
    weights = np.exp(row - row.max())
    return weights / weights.sum()


def expected_logits(name, options, row, history=(), mu=None, symbols=()):
    """The logits after the sampler of that name, in double precision, from the words of its paper.

    ``options`` are complete; ``history`` are the ids read and written so far.
    """
    row, history = np.asarray(row, np.float64), list(history)
    shares, likeliest = chances(row), row == row.max()
    seen = history[-options["window"] :] if options.get("window") else history
    counts = np.array([seen.count(symbol) for symbol in range(len(row))])
    if name == "repetition":
        changed = np.where(row < 0, row * options["penalty"], row / options["penalty"])
        return np.where(counts > 0, changed, row)
    if name == "presence":
        return row - options["penalty"] * (counts > 0)
    if name == "frequency":
        return row - options["penalty"] * counts
    if name == "no-repeat-ngram":
        kept = ~_ngram_ends(options, history, len(row))
        return _masked(row, kept if np.isfinite(row[kept]).any() else likeliest)
    if name == "begin":
        texts = [symbol.decode() for symbol in symbols]
        rest = options["text"][len("".join(texts[i] for i in history)) :]
        return _masked(row, [not rest or (rest.startswith(text) and text != "") for text in texts])
    if name in ("forbid", "only"):
        texts = [symbol.decode() for symbol in symbols]
        kept = [_may_be_written(name, options["text"], text) for text in texts]
        return _masked(row, kept)
    with np.errstate(divide="ignore"):
        surprise = -np.log(shares)
    entropy = sum(p * s for p, s in zip(shares, surprise, strict=True) if p > 0)
    if name == "epsilon":
        return _masked(row, likeliest | (shares >= options["epsilon"]))
    if name == "eta":
        eta = min(options["epsilon"], math.sqrt(options["epsilon"]) * math.exp(-entropy))
        return _masked(row, likeliest | (shares >= eta))
    if name == "mirostat":
        return _masked(row, likeliest | (surprise / math.log(2) <= mu))
    if name == "typical":
        return _masked(row, _typical(options["mass"], shares, np.abs(surprise - entropy)))
    raise AssertionError(name)


def _masked(row, kept):
    return np.where(kept, row, -np.inf)


def _typical(mass, shares, distances):
    kept, held = set(), 0.0
    order = sorted(range(len(shares)), key=lambda symbol: distances[symbol])
    for symbol in order:
        kept.add(symbol)
        held += shares[symbol]
        if held >= mass and mass < 1:
            break
    farthest = max(distances[symbol] for symbol in kept)
    return distances <= farthest + 1e-12


def _ngram_ends(options, history, size):
    """Symbols that would write an n-gram again whose end is in the window."""
    n, found = options["size"], np.zeros(size, bool)
    begun = history[len(history) - (n - 1) :]
    if len(history) < n:
        return found
    for end in range(n - 1, len(history)):
        if end >= len(history) - options["window"] and history[end - (n - 1) : end] == begun:
            found[history[end]] = True
    return found


def _may_be_written(name, text, symbol):
    if name == "forbid":
        return not any(character in text for character in symbol)
    return not text or all(character in text for character in symbol)


def rows_of_many_kinds(seed, size, count=120):
    """Rows of many kinds: ordinary, peaked, flat, with ties, far from 0, some of it forbidden."""
    random = np.random.default_rng(seed)
    rows = random.standard_normal((count, size))
    rows *= random.choice([0.01, 1, 3, 20], size=(count, 1))
    rows += random.choice([0, -50, 40], size=(count, 1))
    tied = random.random(count) < 0.3
    rows[tied] = np.round(rows[tied])
    forbidden = random.random(rows.shape) < random.choice([0, 0.3, 0.9], size=(count, 1))
    forbidden[np.arange(count), random.integers(0, size, count)] = False
    return np.where(forbidden, -np.inf, rows).astype(np.float32)


def is_decided(name, option, row):
    """Whether float32 cannot decide which symbols stay: none is at the edge, or exactly so."""
    shares = chances(row)[np.isfinite(row)]
    finite = np.asarray(row, np.float64)[np.isfinite(row)]
    entropy = float(-(shares * np.log(np.maximum(shares, 1e-300))).sum())
    room = 1e-6 * (4 + np.ptp(finite))
    if name == "typical":
        if option == 1:
            return True
        distances = np.abs(-np.log(np.maximum(shares, 1e-300)) - entropy)
        order = np.argsort(distances)
        gaps, rises = np.diff(distances[order]), np.diff(finite[order])
        sums = np.cumsum(shares[order])
        ends = (gaps > 0) & (rises != 0)  # of equal symbols any may come first
        at_edge = np.abs(sums - option) < 1e-6
        return bool((gaps[rises != 0] > room).all() and not (at_edge[:-1] & ends).any())
    eta = option if name == "epsilon" else min(option, option**0.5 * np.exp(-entropy))
    away = np.abs(np.log(np.maximum(shares, 1e-300)) - np.log(eta)) > room
    return bool((away | (finite == finite.max())).all())  # the likeliest stays anyhow


def rows_to_penalise(random, streams, size):
    logits = (3 * random.standard_normal((streams, size))).astype(np.float32)
    logits[random.random(logits.shape) < 0.2] = -np.inf
    logits[:, -1] = np.round(random.standard_normal(streams))
    return logits


def histories(random, length, size):
    """Texts (T, B) that come back to what they said; the later streams ever more."""
    ids = random.integers(0, size, (length, STREAMS))
    period = 1 + np.arange(STREAMS) % 5
    again = random.random((length, STREAMS)) < np.linspace(0, 1, STREAMS)
    for turn in range(5, length):
        ids[turn] = np.where(again[turn], ids[turn - period, np.arange(STREAMS)], ids[turn])
    return ids
