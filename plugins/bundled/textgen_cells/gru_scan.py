"""All steps of a GRU, with a backward pass written by hand (see ``unrolled``).

T time, B batch, D input size, H hidden size. The reset gate is r, the candidate n = tanh(x_n + r *
p) with p the product of the state. Of the update gate z = sigmoid(a) it is u = 1 - z = sigmoid(-a)
that is computed, and h' = h + u * (n - h): what hardly changes the state is told from nothing in
bfloat16 too, which has 0.004 between 1 and the next smaller number.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from textgen_cells.fused import fused_scan
from textgen_cells.unrolled import computing_type, differentiable, fitted, total


class GRUScan(Function):
    """``apply(xs, h, weight_ih, weight_hh, bias_ih, bias_hh)``: ``xs`` (T, B, D) and ``h`` (B, H)
    to the outputs (T, B, H) and the last state (B, H)."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        xs, h, weight_ih, weight_hh, bias_ih, bias_hh = inputs
        kind, size = computing_type(xs), h.shape[1]
        with torch.autocast(xs.device.type, enabled=False):
            x, w_x, w_h, b_h = (t.to(kind) for t in (xs, weight_ih, weight_hh, bias_hh))
            bias = bias_ih.clone()
            bias[: 2 * size] += bias_hh[: 2 * size]
            gates = torch.addmm(bias.to(kind), x.flatten(0, 1), w_x.t()).view(*xs.shape[:2], -1)
            gates[..., size : 2 * size].neg_()
            w_ru = torch.cat([w_h[:size], -w_h[size : 2 * size]]).t()
            w_p, b_p = w_h[2 * size :].t(), b_h[2 * size :]
            states = h.to(kind).repeat(len(xs) + 1, 1, 1)
            products = states[1:].clone()
            parts = (gates[..., : 2 * size].unbind(), gates[..., 2 * size :].unbind())
            for ru, n, p, before, after in zip(
                *parts, products.unbind(), states[:-1].unbind(), states[1:].unbind(), strict=True
            ):
                ru.addmm_(before, w_ru).sigmoid_()
                torch.addmm(b_p, before, w_p, out=p)
                n.addcmul_(ru[:, :size], p).tanh_()
                h = torch.lerp(h, n.to(h.dtype), ru[:, size:].to(h.dtype))
                after.copy_(h)
        ctx.save_for_backward(*inputs, x, w_x, w_h, gates, states, products)
        return states[1:], h

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, x, w_x, w_h, gates, states, products = ctx.saved_tensors
        if torch.is_grad_enabled():
            return differentiable(partial(fused_scan, torch.gru), inputs, gradients)
        r, u, n = gates.chunk(3, dim=-1)
        z = 1 - u
        d_gates = torch.empty_like(gates)
        d_r, d_z, d_p = d_gates.chunk(3, dim=-1)
        # all three are proportional to the gradient of h', which only the loop knows
        d_n = (1 - n * n).mul_(u)
        torch.mul(d_n, r, out=d_p)
        torch.mul(d_p, products, out=d_r).mul_(1 - r)
        torch.sub(states[:-1], n, out=d_z).mul_(u).mul_(z)
        d_states = torch.cat([torch.zeros_like(states[:1]), gradients[0].to(x.dtype)])
        d_states[-1] += gradients[1]
        for t in reversed(range(len(x))):
            d_gates[t].view(-1, 3, states.shape[-1]).mul_(d_states[t + 1].unsqueeze(1))
            d_states[t].addcmul_(d_states[t + 1], z[t]).addmm_(d_gates[t], w_h)
        flat = d_gates.flatten(0, 1)
        d_weight_hh, d_bias_hh = flat.t() @ states[:-1].flatten(0, 1), total(flat)
        d_p.copy_(d_n.mul_(d_states[1:]))
        d_weight_ih, d_bias_ih = flat.t() @ x.flatten(0, 1), total(flat)
        found = [d_gates @ w_x, d_states[0], d_weight_ih, d_weight_hh, d_bias_ih, d_bias_hh]
        return fitted(found, inputs)
