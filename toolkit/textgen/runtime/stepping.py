"""One step a call, with the states where they are needed next.

In the loop states cross the bus to a GPU once in hundreds of turns: some eight copies of a few
kilobytes beside thousands of kernels, so nothing is gained by keeping them there. Stepwise they
would cross with every symbol, there and back; ``DeviceStep`` leaves them on the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import onnxruntime

States = Mapping[str, Any]
"""Values of onnxruntime or numpy, by the states' names."""


class Stepper(Protocol):
    """Runs a step graph, B rows at a time."""

    session: onnxruntime.InferenceSession
    where: str
    """Where the states stay from step to step, for people; empty where they do not."""

    def begin(self, states: Mapping[str, np.ndarray]) -> States:
        """The states (B, ...) as ``step`` takes them."""

    def step(self, token: np.ndarray, states: States) -> tuple[np.ndarray, States]:
        """``token`` (B,) is read: logits (B, V) float32, and the states after."""

    def end(self, states: States) -> dict[str, np.ndarray]:
        """The states as arrays again."""


class HostStep:
    """States are arrays, handed over at each call: on a CPU nothing is copied
    (onnxruntime#10000)."""

    where = ""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self.session = session

    def begin(self, states: Mapping[str, np.ndarray]) -> States:
        return states

    def step(self, token: np.ndarray, states: States) -> tuple[np.ndarray, States]:
        logits, *following = self.session.run(None, {"token": token, **states})
        return logits, dict(zip(states, following, strict=True))

    def end(self, states: States) -> dict[str, np.ndarray]:
        return dict(states)


class DeviceStep:
    """States stay on a device between steps (onnxruntime#18475); tokens go there, and logits come
    back, for the samplers and the draw."""

    def __init__(self, session: onnxruntime.InferenceSession, device: str) -> None:
        self.session = session
        self._device = device
        self.where = f"states stay on {device}"

    def begin(self, states: Mapping[str, np.ndarray]) -> States:
        from_numpy = onnxruntime.OrtValue.ortvalue_from_numpy
        return {n: from_numpy(np.ascontiguousarray(v), self._device) for n, v in states.items()}

    def step(self, token: np.ndarray, states: States) -> tuple[np.ndarray, States]:
        # a binding of its own for each step: one that is used again writes over its outputs, which
        # are the states being read (so does a captured graph, onnxruntime#32243)
        binding = self.session.io_binding()
        binding.bind_cpu_input("token", np.ascontiguousarray(token))
        binding.bind_output("logits")
        for name, value in states.items():
            binding.bind_ortvalue_input(name, value)
            binding.bind_output(f"{name}.next", self._device)
        self.session.run_with_iobinding(binding)
        logits, *following = binding.get_outputs()
        return logits.numpy(), dict(zip(states, following, strict=True))

    def end(self, states: States) -> dict[str, np.ndarray]:
        return {name: value.numpy() for name, value in states.items()}


def stepper(session: onnxruntime.InferenceSession, provider: str) -> Stepper:
    """How ``session`` is stepped where ``provider`` runs it."""
    return DeviceStep(session, "cuda") if provider == "cuda" else HostStep(session)
