"""Optimizers and the schedule of their learning rate."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from textgen.chosen import Chosen
from textgen.contracts.errors import PluginError
from textgen.contracts.optimizer import Optimizer
from textgen.quarantine import PluginFailure, contained
from textgen.training.settings import Settings


def build_optimizer(
    network: nn.Module, chosen: Chosen[Optimizer], settings: Settings
) -> torch.optim.Optimizer:
    """The chosen optimizer over all of the network's parameters. Raises PluginError where it
    cannot be built."""
    group = {"params": list(network.parameters()), "lr": settings.learning_rate}
    try:
        with contained():
            optimizer = chosen.plugin.build([group], chosen.options)
            if not isinstance(optimizer, torch.optim.Optimizer):
                raise PluginFailure(f"{optimizer!r} is no torch.optim.Optimizer")
    except PluginFailure as failure:
        raise PluginError(
            f"The optimizer {chosen.name!r} could not be built: {failure}",
            "Give it other options, or take another: --optimizer.",
        ) from failure.__cause__
    return optimizer


def pack_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The optimizer's state as tensors, and as numbers and words. Raises PluginError where it has
    something else."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for place, kept in _parts(optimizer).items():
        for name, value in kept.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{place}.{name}"] = value
            elif _is_plain(value):
                values[f"{place}.{name}"] = value
            elif value is not None:
                raise _not_kept(optimizer, f"a {type(value).__name__} as {name}")
    return tensors, values


def unpack_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], values: dict[str, Any]
) -> None:
    """Puts back what ``pack_optimizer`` took out."""
    places: dict[str, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, place, key = name.split(".", 2)
            places.setdefault(place, {})[key] = tensor
    for name, value in values.items():
        place, key = name.split(".", 1)
        places.setdefault(place, {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    for number, group in enumerate(groups):
        kept = places.pop(f"group{number}", {})
        # JSON knows no tuples
        group |= {k: tuple(v) if isinstance(group.get(k), tuple) else v for k, v in kept.items()}
    state = {int(place): kept for place, kept in places.items()}
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, kept in state.items():  # torch has made all of the parameter's type
        for name, value in kept.items():
            if isinstance(value, Tensor) and name != "step":
                put = optimizer.state[parameters[index]]
                put[name] = value.to(put[name].device)


def _parts(optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Any]]:
    """What is kept for each parameter, by its number, and for each group."""
    whole = optimizer.state_dict()
    state, groups = whole.pop("state"), whole.pop("param_groups")
    for place, kept in state.items():
        if not (isinstance(place, int) and isinstance(kept, dict)):
            raise _not_kept(optimizer, f"{place!r}, which is of no parameter")
    if whole:
        raise _not_kept(optimizer, f"{min(map(str, whole))} beside its state")
    parts = {str(index): kept for index, kept in state.items()}
    for number, group in enumerate(groups):
        parts[f"group{number}"] = {n: value for n, value in group.items() if n != "params"}
    return parts


def _is_plain(value: Any) -> bool:
    """Whether JSON gives it back as it is, or as the list of a tuple."""
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, (bool, int, float, str))


def _not_kept(optimizer: torch.optim.Optimizer, what: str) -> PluginError:
    return PluginError(
        f"The optimizer's {type(optimizer).__name__} keeps {what}; a checkpoint holds tensors, "
        "numbers and words of parameters and groups alone.",
        "Take another --optimizer.",
    )


def learning_rate(settings: Settings, step: int, steps: int, epoch: float = 0.0) -> float:
    """The learning rate of step ``step`` of ``steps``: a linear rise, then the schedule's fall.

    The cosine falls to a hundredth of the highest rate (Loshchilov and Hutter, arXiv 1608.03983).
    The epoch schedule has char-rnn's factor at the end of each of the ``epoch`` passes made, from
    the one numbered ``decay_after`` on.
    """
    highest = settings.learning_rate
    warmup = min(settings.warmup_steps, steps // 4)
    if step < warmup:
        return highest * (step + 1) / (warmup + 1)
    if settings.schedule == "cosine":
        done = (step - warmup) / max(1, steps - warmup)
        return highest * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
    if settings.schedule == "step":
        return highest * settings.decay_rate ** (step // settings.decay_steps)
    if settings.schedule == "epoch":
        return highest * settings.decay_rate ** max(
            0, int(epoch) - max(0, settings.decay_after - 1)
        )
    return highest
