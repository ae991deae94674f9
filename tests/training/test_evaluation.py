"""Evaluation against the same figures derived again, symbol by symbol."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from textgen import api, runs
from textgen.contracts.reader import Document
from textgen.corpus.ranges import WINDOW
from textgen.registry import discover
from textgen.runtime.document_scoring import score_documents
from textgen.training.checkpoint import load_weights
from textgen.training.evaluation import Evaluator
from textgen.training.network import Network, build_network
from textgen.training.regularisation import Regularisation
from textgen.training.run_folder import RunFolder


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network(discover().load("cell", "gru"), 7, hidden_size=8, embedding_size=4).eval()


def naive(network, inputs, counted):
    """The summed nats of the last ``counted`` next symbols of a sequence read from the start."""
    state = network.initial_state(1)
    losses = []
    with torch.no_grad():
        for now, following in pairwise(inputs):
            logits, state = network.step(torch.tensor([now]), state)
            losses.append(float(-torch.log_softmax(logits[0], 0)[following]))
    return sum(losses[len(losses) - counted :])


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


def long_documents():
    """Two of them, and a short one between: ids and spans."""
    random = np.random.default_rng(3)
    ids, spans = [0], []
    for length in (500, 3, 330):
        spans.append((len(ids), len(ids) + length))
        ids += [*random.integers(1, 7, length), 0]
    return np.array(ids), np.array(spans)


@pytest.mark.parametrize("forgets", [True, False])
def test_long_documents_are_read_in_pieces_where_the_network_forgets(forgets, network, monkeypatch):
    monkeypatch.setattr("textgen.training.evaluation._WARM_UP", 24)
    ids, spans = long_documents()
    evaluator = Evaluator(ids, spans, 0)
    if not forgets:
        with torch.no_grad():  # the update gate keeps all of the state but a thousandth
            network.cells[0].bias_ih[8:16] = 7.0
    pieces, read = [], evaluator._nats_in_pieces

    def noted(*arguments):
        pieces.append(read(*arguments))
        return pieces[-1]

    monkeypatch.setattr(evaluator, "_nats_in_pieces", noted)
    total = sum(naive(network, [0, *ids[low : high + 1]], high - low + 1) for low, high in spans)
    carried = evaluator.carried(network)
    assert carried.symbols == evaluator.symbols == 500 + 3 + 330 + 3
    assert carried.nats == pytest.approx(total / carried.symbols, rel=1e-5)
    assert [found is not None for found in pieces] == [forgets]


def test_dropout_is_off_while_it_evaluates_and_on_again_after(network):
    network.regularisation = Regularisation(dropout=0.5)
    network.train()
    ids = np.array([0, 1, 2, 3, 4, 5, 0])
    evaluator = Evaluator(ids, np.array([[1, 6]]), 0)
    assert evaluator.cold(network) == evaluator.cold(network)
    assert network.training


def test_nanogpts_windows(network):
    """x = data[i:i+256], y = data[i+1:i+257] at every i, the boundary shown before x."""
    data = np.random.default_rng(1).integers(1, 7, 4 * WINDOW + 1)
    ids = np.concatenate([[0, 3, 3, 3], data])  # held out: the end of a text
    windows = [
        naive(network, [0, *data[i : i + WINDOW + 1]], WINDOW)
        for i in range(0, len(data) - 1, WINDOW)
    ]
    cold = Evaluator(ids, np.array([[4, len(ids)]]), 0).cold(network)
    assert cold.symbols == 4 * WINDOW
    assert cold.nats == pytest.approx(sum(windows) / cold.symbols, rel=1e-5)


def test_long_and_short_documents_side_by_side_in_chunks(network, monkeypatch):
    monkeypatch.setattr("textgen.training.evaluation._SYMBOLS", 100)
    random = np.random.default_rng(2)
    ids, spans, total = [0], [], 0.0
    for length in (1, 40, 7, 333, 90):
        document = random.integers(1, 7, length).tolist()
        spans.append((len(ids), len(ids) + length))
        ids += [*document, 0]
        total += naive(network, [0, *document, 0], length + 1)
    evaluator = Evaluator(np.array(ids), np.array(spans), 0)
    assert evaluator.carried(network).nats == pytest.approx(total / evaluator.symbols, rel=1e-5)


def test_a_part_of_short_documents_is_measured_in_symbols(network):
    spans = [(1 + 5 * i, 5 + 5 * i) for i in range(500)]
    ids = np.random.default_rng(3).integers(1, 7, 2501)
    ids[::5] = 0
    evaluator = Evaluator(ids, np.array(spans), 0)
    assert 900 <= evaluator.cold(network, limit=1000).symbols <= 1000


def test_cold_windows_are_what_score_reads(trained_names, monkeypatch):
    """``textgen score --windows`` tells the figure that training does."""
    registry = discover()
    setup = runs.read_setup(RunFolder(trained_names.folder), None, registry)
    corpus, cell = setup.corpus, setup.cell
    size = corpus.vocabulary.size
    network = build_network(size, cell.cell_class, cell.options, setup.settings)
    load_weights(network, RunFolder(trained_names.folder).weights)
    monkeypatch.setattr("textgen.corpus.ranges.WINDOW", 3)
    spans = corpus.spans("validation")
    expected = Evaluator(corpus.ids, spans, corpus.vocabulary.boundary).cold(network)
    symbols = corpus.vocabulary.symbols
    texts = [b"".join(symbols[i] for i in corpus.ids[a:b]).decode() for a, b in spans]
    model = api.load(trained_names.model, registry=registry)
    documents = [Document(text, (text,)) for text in texts]
    found = [scored.total for scored in score_documents(model, documents, windows=3)]
    assert sum(total.symbols for total in found) == expected.symbols > 50
    nats = sum(total.nats for total in found) / expected.symbols
    assert nats == pytest.approx(expected.nats, rel=1e-5)
    assert nats > 1.1 * sum(model.score(text).nats for text in texts) / expected.symbols
