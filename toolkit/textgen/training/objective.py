"""The objective: what a step makes smaller, and the loss that is told.

T time, B batch, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import log_softmax, nll_loss

from textgen.training.feeding import IGNORED
from textgen.training.network import Scanned
from textgen.training.settings import Settings


@dataclass(frozen=True)
class Objective:
    """Cross-entropy, and what the settings add to it."""

    label_smoothing: float = 0.0
    """Szegedy et al., arXiv 1512.00567, section 7."""
    activation: float = 0.0
    """Weight of activation regularisation: Merity et al., arXiv 1708.01009."""
    slowness: float = 0.0
    """Weight of temporal activation regularisation: the same."""

    def __call__(
        self, scanned: Scanned, targets: Tensor, symbols: int, changes: int
    ) -> tuple[Tensor, Tensor]:
        """What is made smaller, and the plain cross-entropy in nats, of ``targets`` (T, B).

        Both are sums over these rows divided by the ``symbols``, or the ``changes`` from one to the
        next, of the whole batch: added up over its parts they are the means over all of it.
        """
        logits, wanted = scanned.logits.flatten(0, 1).float(), targets.flatten()
        chances = log_softmax(logits, dim=-1)
        told = nll_loss(chances, wanted, ignore_index=IGNORED, reduction="sum") / symbols
        total = told
        if self.label_smoothing:
            others = -chances.sum(dim=-1).masked_fill(wanted == IGNORED, 0).sum() / symbols
            spread = self.label_smoothing / chances.shape[-1]
            total = (1 - self.label_smoothing) * told + spread * others
        counted = targets != IGNORED
        if self.activation:
            total = total + self.activation * _mean_square(scanned.dropped, counted, symbols)
        if self.slowness:
            change = scanned.output[1:] - scanned.output[:-1]
            total = total + self.slowness * _mean_square(change, counted[1:], changes)
        return total, told.detach()


def build_objective(settings: Settings) -> Objective:
    """The objective of the settings."""
    return Objective(
        settings.label_smoothing, settings.activation_penalty, settings.slowness_penalty
    )


def _mean_square(values: Tensor, counted: Tensor, count: int) -> Tensor:
    """The squares (T, B, D) where ``counted`` (T, B), summed over T and B and divided by ``count``;
    padding is left out."""
    squares = values.float().square().mean(dim=-1) * counted
    return squares.sum() / max(1, count)
