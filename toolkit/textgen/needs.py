"""What is not installed with the runtime, and how to get it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from textgen.contracts.errors import TextgenError


def need_training() -> None:
    """Raises TextgenError with the line that installs it where the training extra is missing."""
    _need("Training", ("torch", "safetensors", "onnxscript"), "train")


def need_sweeping() -> None:
    """The same of the extra of sweeps, which train too."""
    _need("A sweep", ("torch", "safetensors", "onnxscript", "optuna"), "train,sweep")


def need_comparing() -> None:
    """The same of the extras of comparisons, which sweep too."""
    modules = ("torch", "safetensors", "onnxscript", "optuna", "matplotlib")
    _need("A comparison", modules, "train,compare")


def _need(what: str, modules: Sequence[str], extra: str) -> None:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise TextgenError(
            f"{what} needs {', '.join(missing)}, which this Python does not have.",
            f'Install it: pip install "textgen-toolkit[{extra}]"',
        )
