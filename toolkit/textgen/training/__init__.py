"""Training: ids become weights."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textgen.training.recurrent import Recurrent

__all__ = ["Recurrent"]


def __getattr__(name: str) -> Any:
    if name == "Recurrent":  # imports torch, so only when it is wanted
        from textgen.training.recurrent import Recurrent

        return Recurrent
    raise AttributeError(f"module 'textgen.training' has no attribute {name!r}")
