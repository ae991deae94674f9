"""The rules every cell keeps, as a function to call from a plugin's own tests.

    from textgen.conformance.check_cell import check_cell

    def test_conforms():
        check_cell(MyCell)

B batch, T time, D input size, H hidden size.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from textgen.conformance.check_export import export_parts
from textgen.conformance.rules import Finding, Findings, enforce, in_turn
from textgen.contracts.cell import Cell, Layer, State
from textgen.contracts.options import build_options

_T, _D, _H = 12, 5, 8
_BATCHES = (1, 3, 8, 16)
_LENGTHS = (1, 2, _T, 33)
_LESSONS = 400
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def check_cell(
    cell_class: type[Cell], options: Mapping[str, Any] | None = None, hidden_size: int = _H
) -> None:
    """Tries every promise of the cell: its equations, that it learns, and what it exports to.

    ``options`` are as a person would give them. Raises BrokenRuleError for the first broken rule.
    """
    enforce(examine_cell(cell_class, options, hidden_size))


def examine_cell(
    cell_class: type[Cell], options: Mapping[str, Any] | None = None, hidden_size: int = _H
) -> Findings:
    """The same, rule by rule. Raises UserError for options that the cell does not have."""
    chosen = build_options(cell_class.Options, options or {}, f"cell {cell_class.__name__}")
    exported = export_parts(cell_class, options, hidden_size=hidden_size)
    return in_turn(chain(_parts(cell_class, chosen, hidden_size), exported))


def _parts(cell_class: type[Cell], options: Any, hidden_size: int) -> Iterator[Findings]:
    torch.manual_seed(0)
    cell = cell_class(Layer(_D, hidden_size, 0, 1, options)).eval()
    for parameter in cell.parameters():  # biases that start at zero would hide mistakes
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    yield _names(cell)
    yield _shapes(cell)
    yield _purity(cell)
    yield _repeating(cell)
    yield _rows(cell)
    yield _training(copy.deepcopy(cell).train())
    yield _scan(cell)
    yield _split(cell)
    yield _bound(cell)
    yield _hello(cell_class(Layer(4, hidden_size, 0, 1, options)))


def _names(cell: Cell) -> Findings:
    names = list(cell.state_shapes())
    yield Finding(
        all(_NAME.fullmatch(name) for name in names),
        "state names are lower case letters, digits and underscores",
        ", ".join(names),
        "a capital letter or a dot in state_shapes()",
    )
    parameters = dict(cell.named_parameters())
    unknown = [name for name in cell.recurrent_weights if name not in parameters]
    yield Finding(
        not unknown,
        "recurrent_weights names parameters",
        f"{', '.join(unknown)}, but there are {', '.join(parameters)}"
        if unknown
        else ", ".join(cell.recurrent_weights) or "none",
        "a parameter was renamed",
    )
    yield Finding(
        cell.tolerance <= 1e-3, "tolerance is at most 1e-3", f"{cell.tolerance}", "an unstable scan"
    )


def _shapes(cell: Cell) -> Findings:
    for batch in _BATCHES:
        expected = [(batch, *shape) for shape in cell.state_shapes().values()]
        state = cell.initial_state(batch)
        yield from _state_shapes("initial_state", state, expected)
        yield Finding(
            all(bool((part == part[:1]).all()) for part in state),
            "all rows of the initial state are equal",
            f"at batch {batch}",
            "randomness in initial_state()",
        )
        with torch.no_grad():
            output, following = cell.step(torch.randn(batch, _D), state)
            outputs, last = cell.scan(torch.randn(_T, batch, _D), state)
        yield from _state_shapes("step", following, expected)
        yield from _state_shapes("scan", last, expected)
        parts = (output, outputs, *following, *last)
        finite = all(bool(part.isfinite().all()) for part in parts)
        largest = max(_largest(part) for part in parts)
        yield Finding(
            finite,
            "outputs and states are finite",
            f"up to {largest:.3g} at batch {batch}",
            "a division or log of zero",
        )
        for what, found, shape in (
            ("step", output, (batch, cell.output_size)),
            ("scan", outputs, (_T, batch, cell.output_size)),
        ):
            letters = "(B, output_size)" if what == "step" else "(T, B, output_size)"
            yield Finding(
                tuple(found.shape) == shape,
                f"the output of {what} has the shape {letters}",
                f"{tuple(found.shape)} where it is {shape}",
                "output_size is not overridden, or B and T are swapped",
            )


def _state_shapes(what: str, state: State, expected: list[tuple[int, ...]]) -> Findings:
    found = [tuple(part.shape) for part in state]
    yield Finding(
        found == expected,
        f"{what} returns the states of state_shapes(), B first, in their order",
        f"{found}, and they are {expected}" if found != expected else str(found),
        "a state is missing, or in another order",
    )
    dtypes = sorted({str(part.dtype) for part in state})
    yield Finding(
        dtypes in ([], ["torch.float32"]),
        f"{what} returns float32 state",
        ", ".join(dtypes) or "no state",
        "a tensor made in another type",
    )


def _purity(cell: Cell) -> Findings:
    for what, call, x, state in _calls(cell):
        given = {"x": x, **dict(zip(cell.state_shapes(), state, strict=True))}
        before = {name: tensor.clone() for name, tensor in given.items()}
        with torch.no_grad():
            call(x, state)
        changed = [name for name, old in before.items() if not torch.equal(given[name], old)]
        yield Finding(
            not changed,
            f"{what} changes none of its arguments",
            f"{', '.join(changed) or 'none'} changed at batch {x.shape[-2]}",
            "an in-place operation such as += or mul_()",
        )


def _repeating(cell: Cell) -> Findings:
    for what, call, x, state in _calls(cell):
        with torch.no_grad():
            first, _ = call(x, state)
            again, _ = call(x, state)
        yield Finding(
            torch.equal(first, again),
            "in eval mode nothing is random, and state is no attribute",
            f"two calls of {what} differ by {_largest(first - again):.1e}",
            "dropout without self.training, or a state kept on self",
        )


def _calls(cell: Cell) -> Iterator[tuple[str, Any, Tensor, State]]:
    """What may be called, with an input and a state for it."""
    for batch in _BATCHES:
        yield "step", cell.step, torch.randn(batch, _D), _warm(cell, batch)
        yield "scan", cell.scan, torch.randn(_T, batch, _D), _warm(cell, batch)


def _rows(cell: Cell) -> Findings:
    """Rows do not see each other."""
    xs, state = torch.randn(_T, 8, _D), _warm(cell, 8)
    differences = []
    with torch.no_grad():
        together, _ = cell.scan(xs, state)
        for row in range(8):
            alone, _ = cell.scan(xs[:, row : row + 1], tuple(part[row : row + 1] for part in state))
            differences.append(_largest(together[:, row : row + 1] - alone))
    yield Finding(
        max(differences) <= 1e-5,
        "a row alone gives what it gives among others",
        f"a difference of {max(differences):.1e}; 1e-05 is allowed",
        "a mean, norm or softmax over the batch",
    )


def _training(cell: Cell) -> Findings:
    """By gradients, which tell of training mode too, where outputs may be random."""
    xs = torch.randn(_T, 3, _D, requires_grad=True)
    outputs, _ = cell.scan(xs, _warm(cell, 3))
    (gradient,) = torch.autograd.grad(outputs[_T // 2, 1].sum(), xs)
    rows, future = _largest(gradient[:, [0, 2]]), _largest(gradient[_T // 2 + 1 :])
    yield Finding(
        rows == 0 and future == 0,
        "in training an output depends on its own row and its past alone",
        f"gradients of {rows:.1e} to other rows and {future:.1e} to later inputs",
        "a statistic over the batch or over time, such as BatchNorm",
    )


def _scan(cell: Cell) -> Findings:
    """scan is step, in float32 to the cell's tolerance and in float64 to 1e-9, gradients too."""
    for dtype, allowed in ((torch.float32, cell.tolerance), (torch.float64, 1e-9)):
        other = copy.deepcopy(cell).to(dtype)
        worst = dict.fromkeys(("outputs", "states", "gradients"), 0.0)
        for length in _LENGTHS:
            xs = torch.randn(length, 3, _D, dtype=dtype)
            state = _warm(other, 3, dtype)
            by_scan = _run(other, xs, state, type(other).scan)
            by_step = _run(other, xs, state, Cell.scan)
            for what, a, b in zip(worst, by_scan, by_step, strict=True):
                worst[what] = max(worst[what], _relative(a, b))
        holds = all(
            difference <= (10 * allowed if what == "gradients" else allowed)
            for what, difference in worst.items()
        )
        yield Finding(
            holds,
            f"scan equals a loop of step, in {str(dtype).removeprefix('torch.')}",
            "relative differences: "
            + ", ".join(f"{what} {difference:.1e}" for what, difference in worst.items())
            + f"; {allowed:.0e} is allowed, gradients ten times that",
            "a gate in another order, a bias counted twice or not at all, or a tolerance that a "
            "parallel scan needs larger",
        )


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


def _relative(found: list[Tensor], expected: list[Tensor]) -> float:
    scale = max([1.0, *map(_largest, expected)])
    pairs = zip(found, expected, strict=True)
    return max([0.0, *(_largest(a - b) for a, b in pairs)]) / scale


def _split(cell: Cell) -> Findings:
    """A text read in parts gives what it gives at once."""
    xs, state = torch.randn(_T, 3, _D), _warm(cell, 3)
    with torch.no_grad():
        whole, last = cell.scan(xs, state)
        first, middle = cell.scan(xs[:5], state)
        second, end = cell.scan(xs[5:], middle)
    difference = max(_relative([torch.cat([first, second])], [whole]), _relative([*end], [*last]))
    yield Finding(
        difference <= cell.tolerance,
        "a scan in two parts equals the scan of the whole",
        f"a relative difference of {difference:.1e}; {cell.tolerance:.0e} is allowed",
        "something that should be state is not returned as state",
    )


def _bound(cell: Cell) -> Findings:
    if cell.output_bound is None:
        return
    with torch.no_grad():
        outputs, _ = cell.scan(20 * torch.randn(_T, 8, _D), _warm(cell, 8))
    yield Finding(
        _largest(outputs) <= cell.output_bound + 1e-6,
        "|output| is at most output_bound",
        f"up to {_largest(outputs):.4f}; the bound is {cell.output_bound}",
        "output_bound copied from another cell",
    )


def _hello(cell: Cell) -> Findings:
    """The example of Karpathy's article: h to e, e to l, the first l to l, the second to o. The two
    l's are the same input, and need a memory."""
    torch.manual_seed(0)
    head = nn.Linear(cell.output_size, 4)
    optimizer = torch.optim.Adam([*cell.parameters(), *head.parameters()], lr=0.05)
    inputs, wanted = torch.eye(4)[[0, 1, 2, 2]].unsqueeze(1), torch.tensor([1, 2, 2, 3])
    lessons, loss = 0, torch.tensor(torch.inf)
    while lessons < _LESSONS and loss > 0.1:
        outputs, _ = cell.scan(inputs, cell.initial_state(1))
        loss = cross_entropy(head(outputs[:, 0]), wanted)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        lessons += 1
    with torch.no_grad():
        outputs, _ = cell.eval().scan(inputs, cell.initial_state(1))
        written = "".join("helo"[i] for i in head(outputs[:, 0]).argmax(dim=1))
    yield Finding(
        written == "ello",
        "it learns to write hello",
        f"after hell it writes {written} in {lessons} lessons, at a loss of {loss:.2f} nats",
        "the state is not used, or no gradient reaches the weights",
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
