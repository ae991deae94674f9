"""The rules every cell keeps, as a function to call from a plugin's own tests.

    from textgen.conformance.check_cell import check_cell

    def test_conforms():
        check_cell(MyCell)

B batch, T time, D input size, H hidden size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from textgen.conformance.rules import require
from textgen.contracts.cell import Cell, Layer, State
from textgen.contracts.options import build_options

_T, _D, _H = 12, 5, 8
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def check_cell(
    cell_class: type[Cell], options: Mapping[str, Any] | None = None, hidden_size: int = _H
) -> None:
    """Builds the cell and tries its promises at batches 1, 3, 8 and 16.

    ``options`` are as a person would give them. Raises BrokenRuleError for the first broken rule.
    Export is tried by ``check_export``.
    """
    chosen = build_options(cell_class.Options, options or {}, f"cell {cell_class.__name__}")
    torch.manual_seed(0)
    cell = cell_class(Layer(_D, hidden_size, 0, 1, chosen)).eval()
    for parameter in cell.parameters():  # biases that start at zero would hide mistakes
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    _check_names(cell)
    for batch in (1, 3, 8, 16):
        _check_shapes(cell, batch)
        _check_purity(cell, batch)
    _check_rows(cell)
    _check_scan(cell)
    _check_split(cell)
    _check_bound(cell)


def _check_names(cell: Cell) -> None:
    names = list(cell.state_shapes())
    require(
        all(_NAME.fullmatch(name) for name in names),
        "state names are lower case letters, digits and underscores",
        ", ".join(names),
        "a capital letter or a dot in state_shapes()",
    )
    parameters = dict(cell.named_parameters())
    for name in cell.recurrent_weights:
        require(
            name in parameters,
            "recurrent_weights names parameters",
            f"{name}, but there are {', '.join(parameters)}",
            "a parameter was renamed",
        )
    require(
        cell.tolerance <= 1e-3, "tolerance is at most 1e-3", f"{cell.tolerance}", "an unstable scan"
    )


def _check_shapes(cell: Cell, batch: int) -> None:
    expected = [(batch, *shape) for shape in cell.state_shapes().values()]
    state = cell.initial_state(batch)
    _require_shapes("initial_state", state, expected)
    for part in state:
        require(
            bool((part == part[:1]).all()),
            "all rows of the initial state are equal",
            f"rows that differ at batch {batch}",
            "randomness in initial_state()",
        )
    with torch.no_grad():
        output, following = cell.step(torch.randn(batch, _D), state)
        outputs, last = cell.scan(torch.randn(_T, batch, _D), state)
    _require_shapes("step", following, expected)
    _require_shapes("scan", last, expected)
    finite = all(bool(part.isfinite().all()) for part in (output, outputs, *following, *last))
    require(finite, "outputs and states are finite", "inf or nan", "a division or log of zero")
    for what, found, shape in (
        ("step", output, (batch, cell.output_size)),
        ("scan", outputs, (_T, batch, cell.output_size)),
    ):
        require(
            tuple(found.shape) == shape,
            f"the output of {what} has shape {shape}",
            str(tuple(found.shape)),
            "output_size is not overridden, or B and T are swapped",
        )


def _require_shapes(what: str, state: State, expected: list[tuple[int, ...]]) -> None:
    found = [tuple(part.shape) for part in state]
    require(
        found == expected,
        f"{what} returns the states of state_shapes(), B first, in their order",
        f"{found}, not {expected}",
        "a state is missing, or in another order",
    )
    require(
        all(part.dtype == torch.float32 for part in state),
        f"{what} returns float32 state",
        str([part.dtype for part in state]),
        "a tensor made in another type",
    )


def _check_purity(cell: Cell, batch: int) -> None:
    state = _warm(cell, batch)
    for what, call, x in (
        ("step", cell.step, torch.randn(batch, _D)),
        ("scan", cell.scan, torch.randn(_T, batch, _D)),
    ):
        given = {"x": x, **dict(zip(cell.state_shapes(), state, strict=True))}
        before = {name: tensor.clone() for name, tensor in given.items()}
        with torch.no_grad():
            first, _ = call(x, state)
            again, _ = call(x, state)
        changed = [name for name, tensor in given.items() if not torch.equal(tensor, before[name])]
        require(
            not changed,
            f"{what} changes none of its arguments",
            f"a changed {', '.join(changed)} at batch {batch}",
            "an in-place operation such as += or mul_()",
        )
        require(
            torch.equal(first, again),
            "in eval mode nothing is random, and state is no attribute",
            f"two calls of {what} differ by {_largest(first - again):.1e}",
            "dropout without self.training, or a state kept on self",
        )


def _check_rows(cell: Cell) -> None:
    """Rows do not see each other."""
    xs, state = torch.randn(_T, 8, _D), _warm(cell, 8)
    with torch.no_grad():
        together, _ = cell.scan(xs, state)
        for row in range(8):
            alone, _ = cell.scan(xs[:, row : row + 1], tuple(part[row : row + 1] for part in state))
            difference = _largest(together[:, row : row + 1] - alone)
            require(
                difference <= 1e-5,
                "a row alone gives what it gives among others",
                f"row {row} differs by {difference:.1e}",
                "a mean, norm or softmax over the batch",
            )


def _check_scan(cell: Cell) -> None:
    """scan is step, in float32 to the cell's tolerance and in float64 to 1e-9, gradients too."""
    for dtype, allowed in ((torch.float32, cell.tolerance), (torch.float64, 1e-9)):
        copy = cell.to(dtype)
        xs = torch.randn(_T, 3, _D, dtype=dtype)
        state = tuple(part.detach().to(dtype) for part in _warm(copy, 3, dtype))
        by_scan = _run(copy, xs, state, type(copy).scan)
        by_step = _run(copy, xs, state, Cell.scan)
        for what, a, b in zip(("outputs", "states", "gradients"), by_scan, by_step, strict=True):
            scale = max(1.0, max(_largest(tensor) for tensor in b))
            difference = max(_largest(p - q) for p, q in zip(a, b, strict=True)) / scale
            require(
                difference <= (allowed if what != "gradients" else 10 * allowed),
                f"scan equals a loop of step ({what}, {dtype})",
                f"a relative difference of {difference:.1e}; {allowed:.0e} is allowed",
                "a gate in another order, or a bias counted twice or not at all",
            )
    cell.to(torch.float32)


def _run(cell: Cell, xs: Tensor, state: State, scan: Any) -> tuple[list[Tensor], ...]:
    inputs = xs.clone().requires_grad_()
    states = tuple(part.clone().requires_grad_() for part in state)
    outputs, last = scan(cell, inputs, states)
    total = outputs.sin().sum() + sum(part.cos().sum() for part in last)
    wanted = [inputs, *states, *cell.parameters()]
    gradients = torch.autograd.grad(total, wanted, allow_unused=True)
    found = [
        torch.zeros_like(tensor) if gradient is None else gradient
        for tensor, gradient in zip(wanted, gradients, strict=True)
    ]
    return [outputs.detach()], [part.detach() for part in last], found


def _check_split(cell: Cell) -> None:
    """A text read in parts gives what it gives at once."""
    xs, state = torch.randn(_T, 3, _D), _warm(cell, 3)
    with torch.no_grad():
        whole, last = cell.scan(xs, state)
        first, middle = cell.scan(xs[:5], state)
        second, end = cell.scan(xs[5:], middle)
    pairs = [(whole, torch.cat([first, second])), *zip(last, end, strict=True)]
    difference = max(_largest(a - b) / max(1.0, _largest(a)) for a, b in pairs)
    require(
        difference <= cell.tolerance,
        "a scan in two parts equals the scan of the whole",
        f"a relative difference of {difference:.1e}",
        "something that should be state is not returned as state",
    )


def _check_bound(cell: Cell) -> None:
    if cell.output_bound is None:
        return
    with torch.no_grad():
        outputs, _ = cell.scan(20 * torch.randn(_T, 8, _D), _warm(cell, 8))
    require(
        _largest(outputs) <= cell.output_bound + 1e-6,
        f"|output| is at most output_bound, {cell.output_bound}",
        f"{_largest(outputs):.4f}",
        "output_bound copied from another cell",
    )


def _warm(cell: Cell, batch: int, dtype: torch.dtype = torch.float32) -> State:
    """A state that rows do not share, as it is in the middle of a text."""
    with torch.no_grad():
        start = tuple(part.to(dtype) for part in cell.initial_state(batch))
        _, state = cell.scan(torch.randn(4, batch, _D, dtype=dtype), start)
    return state


def _largest(tensor: Tensor) -> float:
    """The largest absolute value; infinite where there is one that is not a number."""
    return float(tensor.abs().nan_to_num(nan=float("inf")).max()) if tensor.numel() else 0.0
