"""Where a network is taught, and in which precision: asked for, or found out."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import torch

from textgen.contracts.errors import TextgenError, UserError

_PROBE_STEPS = 5
_PROBE_SECONDS = 3.0
_KNOWN = ("cpu", "cuda", "mps")


def choose_device(wanted: str) -> torch.device:
    """``auto`` is CUDA where it works, else the CPU; anything else must work.

    Raises UserError for a device torch has no name for, TextgenError where it cannot be used.
    """
    if wanted == "auto":
        cuda = torch.device("cuda")
        usable = torch.cuda.is_available() and _reason_against(cuda) is None
        return cuda if usable else torch.device("cpu")
    if wanted.partition(":")[0] not in _KNOWN:
        raise UserError(f"There is no device {wanted!r}.", "Write auto, cpu, cuda, cuda:1 or mps.")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise UserError(f"There is no device {wanted!r}.", "Write cpu, cuda or cuda:1.") from None
    if reason := _reason_against(device):
        raise TextgenError(
            f"The device {wanted} cannot be used: {reason}", "Use --device auto, or cpu."
        )
    return device


def _reason_against(device: torch.device) -> str | None:
    """Why the device cannot compute, or None. An old card has memory, but no kernels for it."""
    try:
        float((torch.ones(2, 2, device=device) @ torch.ones(2, 2, device=device)).sum())
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        return str(error).partition("\n")[0] or type(error).__name__
    return None


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context in which a step of this precision is computed."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def choose_precision(wanted: str, device: torch.device, step: Callable[[str], object]) -> str:
    """``auto`` times ``step`` in float32 and bfloat16 and takes the faster.

    bfloat16 in cuDNN's recurrent kernels needs cuDNN 9.13 and an Ampere card (pytorch#164411);
    without them torch loops. What fails is not chosen.
    """
    if wanted != "auto":
        return wanted
    seconds = {"float32": fastest(partial(step, "float32"), device)}
    try:
        seconds["bfloat16"] = fastest(partial(step, "bfloat16"), device)
    except RuntimeError:
        return "float32"
    return min(seconds, key=lambda precision: seconds[precision])


def circumstances(device: str, precision: str, *, threads: bool) -> dict[str, str]:
    """What the last bits of a training depend on beside its settings, by name.

    Without ``threads``, their number is left out: it changes while a budget of minutes runs.
    """
    found = {
        "device": device,
        "precision": precision,
        "torch": torch.__version__,
        "CPU": torch.backends.cpu.get_cpu_capability(),
    }
    return found | ({"threads": str(torch.get_num_threads())} if threads else {})


def synchronize(device: torch.device) -> None:
    """Waits for what the device was given to do, before a clock is read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def fastest(step: Callable[[], object], device: torch.device) -> float:
    """The seconds of the fastest of some steps: others on the machine only ever slow one down."""
    step()
    synchronize(device)
    began, least = time.perf_counter(), float("inf")
    for _ in range(_PROBE_STEPS):
        start = time.perf_counter()
        step()
        synchronize(device)
        now = time.perf_counter()
        least = min(least, now - start)
        if now - began > _PROBE_SECONDS:
            break
    return least
