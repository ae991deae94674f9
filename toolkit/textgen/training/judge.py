"""The judge: says which weights of a training are kept, and how well they do.

Weights are chosen by text held back from training. The validation text chooses nothing: it is only
told, on the way and at the end.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from textgen.corpus.packed import PackedCorpus
from textgen.losses import Loss
from textgen.training.evaluation import Evaluator
from textgen.training.network import Network
from textgen.training.observer import Evaluated

_SYMBOLS = 64 * 256
"""Symbols of each evaluation on the way; at the end it is all of them."""


class Judge:
    """Evaluates a network on the spans ``held_back`` from training and on the validation text."""

    def __init__(self, corpus: PackedCorpus, held_back: np.ndarray) -> None:
        self._held_back = _evaluator(corpus, held_back)
        self._validation = _evaluator(corpus, corpus.spans("validation"))
        self.best: Loss | None = None
        """The lowest loss on the text held back, if any is."""
        self.best_step = 0
        self._lowest: Loss | None = None

    def judge(self, network: Network, step: int) -> Evaluated:
        """The losses after ``step``, and whether these weights are the best so far."""
        held_back, validation = _some(self._held_back, network), _some(self._validation, network)
        best = _lower(held_back, self.best)
        if best:
            self.best, self.best_step = held_back, step
        if _lower(validation, self._lowest):
            self._lowest = validation
        return Evaluated(step, held_back, validation, best)

    def seconds(self, network: Network) -> float:
        """How long an evaluation takes, by a part of one."""
        texts = (self._held_back, self._validation)
        return sum(evaluator.seconds(network, limit=_SYMBOLS) for evaluator in texts if evaluator)

    def losses(self, network: Network) -> dict[str, dict[str, float]]:
        """The losses of the weights that are kept, for the record.

        ``cold`` and ``carried`` are of the validation text, ``held_back`` is what the weights were
        chosen by, and ``nanogpt`` the minimum over the evaluations on the validation text, which
        is what nanoGPT reports: chosen on the text it is told of, so lower than it should be.
        """
        found = self._validation.losses(network) if self._validation else {}
        others = {"held_back": self.best, "nanogpt": self._lowest}
        return found | {name: loss.record() for name, loss in others.items() if loss is not None}

    def checkpoint(self) -> dict[str, Any]:
        """What ``restore`` needs, as JSON values."""
        losses = {"best": self.best, "lowest": self._lowest}
        return {
            "step": self.best_step,
            **{name: loss and [loss.nats, loss.symbols] for name, loss in losses.items()},
        }

    def restore(self, values: dict[str, Any]) -> None:
        """Goes on from what ``checkpoint`` gave."""
        self.best_step = values["step"]
        self.best, self._lowest = (
            Loss(*values[name]) if values[name] else None for name in ("best", "lowest")
        )


def _evaluator(corpus: PackedCorpus, spans: np.ndarray) -> Evaluator | None:
    evaluator = Evaluator(corpus.ids, spans, corpus.vocabulary.boundary)
    return evaluator if evaluator.symbols else None


def _some(evaluator: Evaluator | None, network: Network) -> Loss | None:
    return None if evaluator is None else evaluator.cold(network, limit=_SYMBOLS)


def _lower(loss: Loss | None, than: Loss | None) -> bool:
    if loss is None or not math.isfinite(loss.nats):
        return False
    return than is None or loss.nats < than.nats
