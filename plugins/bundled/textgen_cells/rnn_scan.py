"""All steps of a vanilla RNN, with a backward pass written by hand (see ``unrolled``).

T time, B batch, D input size, H hidden size.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from textgen_cells.fused import fused_scan
from textgen_cells.unrolled import computing_type, differentiable, fitted, total


class RNNScan(Function):
    """``apply(xs, h, weight_ih, weight_hh, bias_ih, bias_hh)``: ``xs`` (T, B, D) and ``h`` (B, H)
    to the outputs (T, B, H) and the last state (B, H)."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        xs, h, weight_ih, weight_hh, bias_ih, bias_hh = inputs
        kind = computing_type(xs)
        with torch.autocast(xs.device.type, enabled=False):
            x, w_x, w_h = (t.to(kind) for t in (xs, weight_ih, weight_hh))
            states = h.to(kind).repeat(len(xs) + 1, 1, 1)
            bias = (bias_ih + bias_hh).to(kind)
            torch.addmm(bias, x.flatten(0, 1), w_x.t(), out=states[1:].flatten(0, 1))
            for before, after in zip(states[:-1].unbind(), states[1:].unbind(), strict=True):
                after.addmm_(before, w_h.t()).tanh_()
        ctx.save_for_backward(*inputs, x, w_x, w_h, states)
        return states[1:], states[-1].to(h.dtype, copy=True)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, x, w_x, w_h, states = ctx.saved_tensors
        if torch.is_grad_enabled():
            return differentiable(partial(fused_scan, torch.rnn_tanh), inputs, gradients)
        d_gates = 1 - states[1:].square()
        d_states = torch.cat([torch.zeros_like(states[:1]), gradients[0].to(x.dtype)])
        d_states[-1] += gradients[1]
        for t in reversed(range(len(x))):
            d_gates[t].mul_(d_states[t + 1])
            d_states[t].addmm_(d_gates[t], w_h)
        flat = d_gates.flatten(0, 1)
        d_weight_ih, d_weight_hh = flat.t() @ x.flatten(0, 1), flat.t() @ states[:-1].flatten(0, 1)
        d_bias = total(flat)
        found = [d_gates @ w_x, d_states[0], d_weight_ih, d_weight_hh, d_bias, d_bias]
        return fitted(found, inputs)
