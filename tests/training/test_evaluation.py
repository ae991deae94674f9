"""Evaluation against the same figures derived again, symbol by symbol."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from textgen.registry import discover
from textgen.training.evaluation import WINDOW, Evaluator
from textgen.training.network import Network


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network(discover().load("cell", "gru"), 7, hidden_size=8, embedding_size=4).eval()


def naive(network, inputs, counted):
    """The summed nats of the last ``counted`` next symbols of a sequence read from the start."""
    state, total = network.initial_state(1), 0.0
    losses = []
    with torch.no_grad():
        for now, following in zip(inputs[:-1], inputs[1:], strict=True):
            logits, state = network.step(torch.tensor([now]), state)
            losses.append(float(-torch.log_softmax(logits[0], 0)[following]))
    total = sum(losses[len(losses) - counted :])
    return total


def test_cold_windows_and_the_carried_pass_of_running_text(network):
    random = np.random.default_rng(0)
    text = random.integers(1, 7, 700)
    ids = np.concatenate([[0], text, [0]])
    start = 1 + 500  # the tail of the text is held out; what stood before it is no boundary
    spans = np.array([[start, 701]])
    evaluator = Evaluator(ids, spans, 0)
    targets = list(range(start + 1, 702))  # the first has no context; the closing boundary counts
    assert evaluator.symbols == len(targets)

    total = 0.0
    for low in range(start + 1, 702, WINDOW):
        high = min(low + WINDOW, 702)
        total += naive(network, [0, *ids[low - 1 : high]], high - low)
    cold = evaluator.cold(network)
    assert cold.symbols == len(targets)
    assert cold.nats == pytest.approx(total / len(targets), rel=1e-5)
    assert cold.bits == pytest.approx(cold.nats / np.log(2))

    carried = evaluator.carried(network)
    expected = naive(network, [0, *ids[start:702]], len(targets)) / len(targets)
    assert carried.nats == pytest.approx(expected, rel=1e-5)
    assert carried.symbols == len(targets)


def test_short_documents_are_read_from_their_boundary(network):
    documents = [[1, 2, 3], [4], [5, 6, 1, 2, 3, 4], [2, 2]]
    ids, spans = [0], []
    for document in documents:
        spans.append((len(ids), len(ids) + len(document)))
        ids += [*document, 0]
    evaluator = Evaluator(np.array(ids), np.array(spans), 0)
    total = sum(naive(network, [0, *d, 0], len(d) + 1) for d in documents)
    count = sum(len(d) + 1 for d in documents)
    for loss in (evaluator.cold(network), evaluator.carried(network)):
        assert loss.symbols == count
        assert loss.nats == pytest.approx(total / count, rel=1e-5)


def test_dropout_is_off_while_it_evaluates_and_on_again_after(network):
    network.dropout = 0.5
    network.train()
    ids = np.array([0, 1, 2, 3, 4, 5, 0])
    evaluator = Evaluator(ids, np.array([[1, 6]]), 0)
    assert evaluator.cold(network) == evaluator.cold(network)
    assert network.training
