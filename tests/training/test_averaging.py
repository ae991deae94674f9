"""The average of the weights against its formula, and that it is what is evaluated and kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import textgen
from textgen.registry import discover
from textgen.training.averaging import Average
from textgen.training.checkpoint import load_weights, named, read_checkpoint
from textgen.training.network import Network


def test_it_follows_the_weights():
    torch.manual_seed(0)
    network = Network(discover().load("cell", "rnn"), 5, hidden_size=4)
    average = Average(network, 0.9)
    expected = {name: weight.detach().numpy() for name, weight in network.named_parameters()}
    expected = {name: weight.astype(np.float64) for name, weight in expected.items()}
    for n in range(1, 200):
        decay = min(0.9, (1 + n) / (10 + n))
        for name, weight in network.named_parameters():
            with torch.no_grad():
                weight.add_(torch.randn_like(weight), alpha=0.1)
            expected[name] = decay * expected[name] + (1 - decay) * weight.detach().numpy()
        average.follow(network)
    for name, mean in average.network.named_parameters():
        assert mean.detach().numpy() == pytest.approx(expected[name], abs=1e-4), name


def test_the_average_is_evaluated_exported_and_kept(verses, tmp_path):
    run = textgen.train(
        verses,
        cell="rnn",
        steps=30,
        hidden_size=16,
        average=0.9,
        learning_rate=0.05,
        schedule="constant",
        folder=tmp_path,
        precision="float32",
        hold_back=False,
    )
    checkpoint = read_checkpoint(run.folder / "checkpoints" / "last.safetensors")
    weights, means = (named(checkpoint.tensors, f"{kind}.") for kind in ("weights", "average"))
    assert weights.keys() == means.keys()
    assert not torch.equal(weights["head.weight"], means["head.weight"])
    model = textgen.load(run.model)
    network = Network(
        discover().load("cell", "rnn"), model.vocabulary.size, hidden_size=16, embedding_size=64
    )
    load_weights(network, run.folder / "checkpoints" / "last.safetensors")
    state = network.eval().initial_state(1)
    logits, _ = network.step(torch.tensor([3]), state)
    found, _ = model.step(np.array([3]), model.initial_state(1))
    assert found == pytest.approx(logits.detach().numpy(), abs=1e-5)
