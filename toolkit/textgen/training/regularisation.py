"""Regularisation: noise in a network that learns, so that it does not learn by heart.

T time, B batch, D width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from textgen.contracts.cell import Cell, State
from textgen.training.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Regularisation:
    """Shares of what is dropped from a network while it learns."""

    dropout: float = 0.0
    """Of every layer's output."""
    locked: bool = False
    """Whether a mask of ``dropout`` and ``input_dropout`` holds for all T (variational dropout:
    Gal and Ghahramani, arXiv 1512.05287)."""
    input_dropout: float = 0.0
    """Of what the first layer reads."""
    embedding_dropout: float = 0.0
    """Of the symbols: they are not seen for all T (the same paper)."""
    weight_drop: float = 0.0
    """Of the recurrent weights (Merity et al., arXiv 1708.02182)."""
    zoneout: float = 0.0
    """Of the state, which stays what it was (Krueger et al., arXiv 1606.01305)."""


NONE = Regularisation()
"""Nothing is dropped."""


def drop(xs: Tensor, share: float, *, locked: bool, ranks: Ranks = ALONE) -> Tensor:
    """``xs`` (T, B, D) with a share of it at zero and the rest scaled up; ``locked``, the same for
    all T. B are the rows of one of the ``ranks``."""
    if not share:
        return xs
    like = xs[:1] if locked else xs
    return xs * ranks.drawn(like, lambda whole: _mask(whole, share), axis=1)


def drop_symbols(xs: Tensor, tokens: Tensor, vocabulary_size: int, share: float) -> Tensor:
    """The inputs ``xs`` (T, B, D) of ``tokens`` (T, B) without a share of the vocabulary."""
    if not share:
        return xs
    seen = _mask(xs.new_empty(vocabulary_size), share)
    return xs * seen[tokens].unsqueeze(-1)


def dropped_weights(cell: Cell, share: float) -> dict[str, Tensor]:
    """The cell's recurrent weights without a share of their entries, by name."""
    weights = {name: cell.get_parameter(name) for name in cell.recurrent_weights}
    return {name: weight * _mask(weight, share) for name, weight in weights.items()}


def zoned_step(
    cell: Cell, x: Tensor, state: State, share: float, *, training: bool, ranks: Ranks = ALONE
) -> tuple[Tensor, State]:
    """A step after which a share of the state is what it was before.

    Drawn while training, else the mean of both outcomes. An output that is one of the
    states stays that state. B are the rows of one of the ``ranks``.
    """
    output, stepped = cell.step(x, state)
    zoned = []
    for before, after in zip(state, stepped, strict=True):
        if training:
            drawn = ranks.drawn(after, torch.rand_like, axis=0)
            zoned.append(torch.where(drawn < share, before, after))
        else:
            zoned.append(share * before + (1 - share) * after)
    for kept, after in zip(zoned, stepped, strict=True):
        if output is after:
            return kept, tuple(zoned)
    return output, tuple(zoned)


def _mask(like: Tensor, share: float) -> Tensor:
    """Zero for a ``share`` of the entries, and what makes up for them in the others."""
    return _kept(like, share).to(like.dtype).mul_(1 / (1 - share))


def _kept(like: Tensor, share: float) -> Tensor:
    """Which entries are kept: all but a ``share``, on the CPU rounded to a multiple of 2^-16.

    There bernoulli_ draws one number an entry, on one thread: it took an eighth of a training step,
    and a quarter with two threads for all else. Four entries share a draw of 64 bits instead.
    """
    if like.device.type != "cpu":
        return torch.rand(like.shape, device=like.device) >= share
    words = torch.empty(-(-like.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.int16)[: like.numel()].view(like.shape) >= round(share * 2**16) - 2**15
