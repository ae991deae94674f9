"""Healthy for ever: a long text from one state neither drifts nor grows; threads share a model."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import textgen
from soak import SOAK, count

SYMBOLS = count(30_000, 1_000_000)
STATUS = Path("/proc/self/status")


@pytest.fixture(scope="module")
def model(trained):
    return textgen.load(trained.model)


def anonymous_bytes() -> int:
    return 1024 * int(STATUS.read_text().partition("RssAnon:")[2].split()[0])


def test_a_long_text_is_as_healthy_at_its_end(model):
    """Bits a symbol under the model itself, and how the text looks, by tenths."""
    session = model.session(seed=11, temperature=1.0)
    parts = [
        np.concatenate([np.array(c.ids) for c in session.stream(SYMBOLS // 10)])
        for _ in "0123456789"
    ]
    (nats,) = model.score_ids([np.concatenate(parts)])
    first, *_, last = np.split(nats, 10)
    # a short text's tenths differ by chance as well
    chance = 0 if SOAK else 4 * np.hypot(first.std(), last.std()) / len(first) ** 0.5
    assert abs(last.mean() - first.mean()) < 0.03 * first.mean() + chance
    size = model.vocabulary.size
    shares = [np.bincount(part, minlength=size) / len(part) for part in (parts[0], parts[-1])]
    assert np.abs(shares[0] - shares[1]).sum() < 0.1
    lines = [
        "".join(model.vocabulary.symbols[i].decode() for i in part).split("\n") for part in parts
    ]
    repeated = [1 - len(set(own)) / len(own) for own in lines]
    assert repeated[-1] < repeated[0] + 0.05


@pytest.mark.skipif(not STATUS.exists(), reason="memory is read from /proc")
def test_memory_does_not_grow(model):
    session = model.session(seed=12)
    for _ in session.stream(SYMBOLS // 10):
        pass
    before = anonymous_bytes()
    for _ in range(9):
        for _ in session.stream(SYMBOLS // 10):
            pass
    assert anonymous_bytes() - before < 8 << 20


def test_threads_of_a_program_share_one_model(model):
    """Eight at once write what they would one after the other."""
    expected = [model.generate("ANNA:", seed=seed, length=SYMBOLS // 60).ids for seed in range(8)]
    found: dict[int, object] = {}

    def work(seed: int) -> None:
        found[seed] = model.generate("ANNA:", seed=seed, length=SYMBOLS // 60).ids

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[seed] for seed in range(8)] == expected
