"""Checkpoints: one safetensors file that holds a whole training, and knows when it is damaged.

Its header's metadata holds what is not a tensor as JSON, and the SHA-256 of the file with that
digest's own 64 characters written as zeros.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from textgen.contracts.errors import TextgenError, UserError
from textgen.storage import write_bytes
from textgen.training.ranks import ALONE, Ranks

FORMAT = 2
_BLANK = "0" * 64
_MARK = b'"sha256":"'
_WITH_GENERATOR = ("cuda", "mps")
"""Devices whose random numbers are not the CPU's."""


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and JSON values by name."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Puts the checkpoint in the place of ``path``, whole or not at all."""
    values = json.dumps({"format": FORMAT, **checkpoint.values}, sort_keys=True)
    # tied weights have two names and one memory, which the format does not allow
    form = torch.contiguous_format
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=form)
        for name, tensor in checkpoint.tensors.items()
    }
    data = save(tensors, metadata={"sha256": _BLANK, "values": values})
    at = _digest_place(data)
    digest = hashlib.sha256(data).hexdigest().encode()
    write_bytes(path, data[:at] + digest + data[at + 64 :])


def read_checkpoint(path: Path, ranks: Ranks = ALONE) -> Checkpoint:
    """The checkpoint in ``path``, which the first of the ``ranks`` reads for all of them. Raises
    UserError where it is missing, TextgenError if damaged."""
    try:
        data = ranks.broadcast(path.read_bytes() if ranks.first else b"")
    except OSError as error:
        raise UserError(
            f"The checkpoint {path} could not be read: {error.strerror}.", "Check the run's folder."
        ) from None
    at = _digest_place(data)
    blanked = data[:at] + _BLANK.encode() + data[at + 64 :]
    if at < 0 or hashlib.sha256(blanked).hexdigest().encode() != data[at : at + 64]:
        raise TextgenError(f"The checkpoint {path} is damaged.", "Use another one, or train again.")
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        values = json.loads(header["__metadata__"]["values"])
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise TextgenError(f"{path} is no checkpoint: {error}.", "Name another file.") from error
    if values["format"] > FORMAT:
        raise TextgenError(f"{path} was written by a newer textgen.", "Install the newer one.")
    return Checkpoint(tensors, values)


def load_weights(network: nn.Module, path: Path) -> dict[str, Any]:
    """Puts the weights of the checkpoint in ``path``, or their average where it holds one, into
    ``network``; its values."""
    checkpoint = read_checkpoint(path)
    averaged = named(checkpoint.tensors, "average.")
    network.load_state_dict(averaged or named(checkpoint.tensors, "weights."))
    return checkpoint.values


def named(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def pack_random(device: torch.device) -> dict[str, Tensor]:
    """The state of torch's generators: the CPU's, and the device's where it has one of its own."""
    states = {"random.cpu": torch.get_rng_state()}
    if device.type in _WITH_GENERATOR:
        generator = torch.get_device_module(device)
        states[f"random.{device.type}"] = generator.get_rng_state(device).cpu()
    return states


def unpack_random(tensors: dict[str, Tensor], device: torch.device) -> None:
    """Puts the generators back to where they were."""
    torch.set_rng_state(tensors["random.cpu"])
    name = f"random.{device.type}"
    if device.type in _WITH_GENERATOR and name in tensors:  # not of a run begun on another
        torch.get_device_module(device).set_rng_state(tensors[name], device)


def _digest_place(data: bytes) -> int:
    """Where the digest's 64 characters begin in the header, or -1."""
    length = int(np.frombuffer(data[:8], "<u8")[0]) if len(data) >= 8 else 0
    found = data.find(_MARK, 8, min(len(data), 8 + length))
    return found + len(_MARK) if found >= 0 else -1
