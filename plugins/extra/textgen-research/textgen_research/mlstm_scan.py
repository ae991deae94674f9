"""All steps of an mLSTM: the parallel form of arXiv 2405.04517, in chunks that hand the memory on.

T time, B batch, N heads, E width of a head; s and t are times, s <= t. What enters at s counts at t
with the weight exp(i_s + f_{s+1} + ... + f_t - m_t), as in attention.
"""

from __future__ import annotations

import torch
from torch import Tensor, einsum

from textgen.contracts.cell import State
from textgen_research.exponential import least

_CHUNK = 64
"""Its square is computed, and kept for the gradient."""


def mlstm_scan(
    q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor, state: State
) -> tuple[Tensor, State]:
    """What is read (T, B, N, E), and the last state.

    ``q``, ``k`` and ``v`` are (T, B, N, E); ``i`` and ``f`` (T, B, N) are the logarithms of what
    enters and of what is kept.
    """
    outputs = []
    for parts in zip(*(torch.split(part, _CHUNK) for part in (q, k, v, i, f)), strict=True):
        output, state = _chunk(parts, state)
        outputs.append(output)
    return torch.cat(outputs), state


def _chunk(parts: tuple[Tensor, ...], state: State) -> tuple[Tensor, State]:
    q, k, v, i, f = parts
    c, n, m = state
    decay = f.cumsum(0)
    kept = decay + m
    later = torch.ones(len(q), len(q), dtype=torch.bool, device=q.device).triu(1)
    added = (decay.unsqueeze(1) - decay + i).masked_fill(later[..., None, None], -torch.inf)
    m = torch.maximum(kept, added.amax(1))
    left, weight = torch.exp(kept - m), torch.exp(added - m.unsqueeze(1))
    seen = weight * einsum("tbne,sbne->tsbn", q, k)
    read = einsum("tsbn,sbne->tbne", seen, v)
    read = read + left.unsqueeze(-1) * einsum("bnef,tbnf->tbne", c, q)
    total = seen.sum(1) + left * einsum("bne,tbne->tbn", n, q)
    total = torch.maximum(total.abs(), least(m))
    k, left = weight[-1].unsqueeze(-1) * k, left[-1].unsqueeze(-1)
    c = left.unsqueeze(-1) * c + einsum("sbne,sbnf->bnef", v, k)
    return read / total.unsqueeze(-1), (c, left * n + k.sum(0), m[-1])
