"""The objective: what a step makes smaller, and the loss that is told.

T time, B batch, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cross_entropy

from textgen.training.network import Scanned
from textgen.training.settings import Settings
from textgen.training.streams import IGNORED


@dataclass(frozen=True)
class Objective:
    """Cross-entropy, and what the settings add to it."""

    label_smoothing: float = 0.0
    """Szegedy et al., arXiv 1512.00567, section 7."""
    activation: float = 0.0
    """Weight of activation regularisation: Merity et al., arXiv 1708.01009."""
    slowness: float = 0.0
    """Weight of temporal activation regularisation: the same."""

    def __call__(self, scanned: Scanned, targets: Tensor) -> tuple[Tensor, Tensor]:
        """What is made smaller, and the plain cross-entropy in nats, of ``targets`` (T, B)."""
        logits, wanted = scanned.logits.flatten(0, 1).float(), targets.flatten()
        told = cross_entropy(logits, wanted, ignore_index=IGNORED)
        total = told
        if self.label_smoothing:
            total = cross_entropy(
                logits, wanted, ignore_index=IGNORED, label_smoothing=self.label_smoothing
            )
        counted = targets != IGNORED
        if self.activation:
            total = total + self.activation * _mean_square(scanned.dropped, counted)
        if self.slowness:
            change = scanned.output[1:] - scanned.output[:-1]
            total = total + self.slowness * _mean_square(change, counted[1:])
        return total, told.detach()


def build_objective(settings: Settings) -> Objective:
    """The objective of the settings."""
    return Objective(
        settings.label_smoothing, settings.activation_penalty, settings.slowness_penalty
    )


def _mean_square(values: Tensor, counted: Tensor) -> Tensor:
    """The mean of the squares (T, B, D) where ``counted`` (T, B); padding is left out."""
    squares = values.float().square().mean(dim=-1) * counted
    return squares.sum() / counted.sum().clamp(min=1)
