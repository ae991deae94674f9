"""What a user would write to score lines with PyTorch: batches of them through nn.LSTM.

    python benchmarks/torch_scorer.py WEIGHTS.safetensors THREADS < LINES

Lines are of the letters that the benchmarks' models know; one JSON object out for each.
"""

from __future__ import annotations

import json
import math
import sys
from itertools import islice

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

BATCH = 256
IGNORED = -100


class Scorer(nn.Module):
    """``nn.Embedding``, ``nn.LSTM``, ``nn.Linear``; symbol 0 is the boundary."""

    def __init__(self, symbols: int, embedding: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, embedding)
        self.layers = nn.LSTM(embedding, hidden, layers)
        self.head = nn.Linear(hidden, symbols)

    def forward(self, lines: list[Tensor]) -> Tensor:
        """The bits of each line (symbols,), its closing boundary included: (lines,)."""
        boundary = torch.zeros(1, dtype=torch.long)
        inputs = pad_sequence([torch.cat([boundary, line]) for line in lines])
        targets = pad_sequence(
            [torch.cat([line, boundary]) for line in lines], padding_value=IGNORED
        )
        output, _ = self.layers(self.embedding(inputs))
        losses = cross_entropy(
            self.head(output).flatten(0, 1),
            targets.flatten(),
            ignore_index=IGNORED,
            reduction="none",
        )
        return losses.view_as(targets).sum(dim=0) / math.log(2)


def encoded(line: bytes) -> Tensor:
    """The ids of a line: 1 is the letter ``a``."""
    return torch.frombuffer(bytearray(line.rstrip(b"\n")), dtype=torch.uint8).long() - ord("a") + 1


def main() -> None:
    weights = load_file(sys.argv[1])
    torch.set_num_threads(int(sys.argv[2]))
    symbols, embedding = weights["embedding.weight"].shape
    layers = sum(name.startswith("layers.weight_hh") for name in weights)
    scorer = Scorer(symbols, embedding, weights["layers.weight_hh_l0"].shape[1], layers)
    scorer.load_state_dict(weights)
    number = 0
    with torch.inference_mode():
        while lines := list(islice(sys.stdin.buffer, BATCH)):
            for bits in scorer([encoded(line) for line in lines]).tolist():
                number += 1
                print(json.dumps({"line": number, "bits": round(bits, 4)}))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
