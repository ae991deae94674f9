"""Text from a network that is still learning, one symbol at a time."""

from __future__ import annotations

import torch

from textgen.contracts.tokenizer import Vocabulary
from textgen.training.network import Network

LENGTH = 400
TEMPERATURE = 0.8


def sample(
    network: Network,
    vocabulary: Vocabulary,
    *,
    documents: bool,
    seed: int,
    length: int = LENGTH,
    temperature: float = TEMPERATURE,
) -> str:
    """About ``length`` symbols from the initial state and the boundary.

    Where the model has learnt short ``documents``, several of them, one a line.
    """
    device = network.head.weight.device
    generator = torch.Generator().manual_seed(seed)
    was_training = network.training
    network.eval()
    written = []
    with torch.inference_mode():
        token = torch.full((1,), vocabulary.boundary, device=device)
        state = network.initial_state(1)
        for _ in range(length):
            logits, state = network.step(token, state)
            chances = torch.softmax(logits[0].float().cpu() / temperature, dim=0)
            if not documents:
                chances[vocabulary.boundary] = 0
            if not torch.isfinite(chances).all():  # weights that overflow write nothing more
                break
            symbol = int(torch.multinomial(chances, 1, generator=generator))
            if symbol == vocabulary.boundary:
                state = network.initial_state(1)
            written.append(b"\n" if symbol == vocabulary.boundary else vocabulary.symbols[symbol])
            token = torch.full((1,), symbol, device=device)
    network.train(was_training)
    return b"".join(written).decode("utf-8", "replace")
