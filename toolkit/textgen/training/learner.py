"""A network that learns from streams: what one optimizer step does, and all that it changes.

Truncated backpropagation through time with carried state: Werbos, Backpropagation Through Time
(1990); Williams and Peng (1990) for its truncation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from textgen.chosen import Chosen
from textgen.contracts.cell import State
from textgen.contracts.errors import UserError
from textgen.contracts.optimizer import Optimizer
from textgen.corpus.packed import PackedCorpus
from textgen.training.averaging import Average
from textgen.training.checkpoint import (
    Checkpoint,
    named,
    pack_random,
    unpack_random,
)
from textgen.training.device import autocast
from textgen.training.feeding import build_feed
from textgen.training.held_back import hold_back
from textgen.training.network import Network, Scanned
from textgen.training.objective import build_objective
from textgen.training.optimizers import build_optimizer, pack_optimizer, unpack_optimizer
from textgen.training.ranks import ALONE, Ranks
from textgen.training.settings import Settings
from textgen.training.streams import Batch, Streams
from textgen.training.targets import Spans


class Learner:
    """Network, optimizer, streams and the state carried between steps.

    What is in here, and torch's random generators, is what a checkpoint of a training holds. All of
    it is the same on all ``ranks``, but for the rows of the carried state.

    Raises UserError where the optimizer takes second derivatives, of which each of several ranks
    would have a part.
    """

    def __init__(
        self,
        network: Network,
        corpus: PackedCorpus,
        settings: Settings,
        optimizer: Chosen[Optimizer],
        ranks: Ranks = ALONE,
    ) -> None:
        self.second_order = optimizer.plugin.second_order
        """Whether the optimizer takes derivatives of the gradients."""
        if self.second_order and ranks.count > 1:
            raise UserError(
                f"The optimizer {optimizer.name!r} takes second derivatives, which several ranks "
                "cannot: each would have those of its own rows.",
                "Train without torchrun, or with another --optimizer.",
            )
        self.network = network
        self.network.one_by_one = self.second_order
        self.network.ranks = self._ranks = ranks
        # on another processor the same seed may draw other last bits
        ranks.take_after_first(list(network.state_dict().values()))
        self.device = network.head.weight.device
        self._corpus = corpus
        self._settings = settings
        spans = corpus.spans("train")
        self._spans: Spans = spans
        self.held_back = spans[:0]
        """Spans (m, 2) of the training text that are not learnt from."""
        if settings.hold_back:
            self._spans, self.held_back = hold_back(spans, corpus.symbols("train"))
        self._rows = ranks.rows(settings.batch_size)
        self.streams = self._first_streams()
        self._feed = build_feed(corpus.ids, corpus.vocabulary.boundary, self.device)
        self._objective = build_objective(settings)
        self._chosen_optimizer = optimizer
        self._optimizer = build_optimizer(network, optimizer, settings)
        self._packs = False
        self._average = self._first_average()
        rows = self._rows.stop - self._rows.start
        self._state = _detached(network.initial_state(rows))

    @property
    def result(self) -> Network:
        """The network that is evaluated and kept: of averaged weights, where that is wanted."""
        return self._average.network if self._average else self.network

    def step(self, rate: float, precision: str) -> tuple[Tensor, int]:
        """One optimizer step on the next batch: its loss in nats, left on the device, and how many
        symbols it showed."""
        batch = self.streams.next()
        for group in self._optimizer.param_groups:
            group["lr"] = rate * batch.share
        self._optimizer.zero_grad(set_to_none=True)  # of the last step, with their graphs
        total, loss = self._losses(batch, precision)
        self._backward(total)
        if self._ranks.count > 1:
            gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
            self._ranks.sum([loss, *gradients])
        self._clip()
        self._optimizer.step()
        if not self._packs:  # what no checkpoint can hold is refused before anything is learnt
            pack_optimizer(self._optimizer)
            self._packs = True
        if self._average:
            self._average.follow(self.network)
        return loss, batch.symbols

    def checkpoint(self) -> Checkpoint:
        """Everything that any number of ranks need to go on exactly from here."""
        optimizer, numbers = pack_optimizer(self._optimizer)
        tensors = {f"weights.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= optimizer | pack_random(self.device)
        tensors |= {f"state.{i}": self._ranks.gather(part) for i, part in enumerate(self._state)}
        values: dict[str, Any] = {"cursor": self.streams.cursor(), "optimizer": numbers}
        if self._average:
            means = self._average.network.state_dict()
            tensors |= {f"average.{name}": value for name, value in means.items()}
            values["averaged"] = self._average.steps
        return Checkpoint(tensors, values)

    def restore(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Goes on from what ``checkpoint`` gave."""
        self.network.load_state_dict(named(tensors, "weights."))
        unpack_optimizer(self._optimizer, tensors, values["optimizer"])
        if self._average:
            self._average.network.load_state_dict(named(tensors, "average."))
            self._average.steps = values["averaged"]
        count = len(self._state)
        whole = (tensors[f"state.{i}"] for i in range(count))
        self._state = tuple(part[self._rows].to(self.device) for part in whole)
        self.streams.restore(values["cursor"])
        unpack_random(tensors, self.device)

    @contextlib.contextmanager
    def untouched(self) -> Iterator[None]:
        """Puts a learner that has not begun back to its beginning after the block."""
        weights = {name: value.clone() for name, value in self.network.state_dict().items()}
        state, random = self._state, pack_random(self.device)
        yield
        self.network.load_state_dict(weights)
        self._state = state
        self._optimizer = build_optimizer(self.network, self._chosen_optimizer, self._settings)
        self._optimizer.zero_grad(set_to_none=True)
        self._average = self._first_average()
        self.streams = self._first_streams()
        unpack_random(random, self.device)

    def _first_average(self) -> Average | None:
        decay = self._settings.average
        return Average(self.network, decay) if decay else None

    def _first_streams(self) -> Streams:
        corpus, settings = self._corpus, self._settings
        corpus.require(settings.sequence_length)
        starts, ends = self.held_back.T
        return Streams(
            corpus.ids,
            self._spans,
            corpus.vocabulary.boundary,
            batch_size=settings.batch_size,
            sequence_length=settings.sequence_length,
            reset_probability=settings.reset_probability,
            jitter=settings.sequence_jitter,
            seed=settings.seed,
            rows=self._rows,
            within=corpus.symbols("train") - int((ends - starts).sum()),
        )

    def _backward(self, total: Tensor) -> None:
        """Puts the gradient of ``total`` into each parameter, of which a second-order optimizer
        can take derivatives."""
        if not self.second_order:
            torch.autograd.backward(total)
            return
        # torch warns of the cycle that backward(create_graph=True) makes; zero_grad breaks it
        parameters = list(self.network.parameters())
        found = torch.autograd.grad(total, parameters, create_graph=True, allow_unused=True)
        for parameter, gradient in zip(parameters, found, strict=True):
            parameter.grad = gradient

    def _clip(self) -> None:
        parameters, settings = list(self.network.parameters()), self._settings
        with torch.no_grad():  # a gradient's own derivatives are those before clipping
            if settings.clip_entries:
                torch.nn.utils.clip_grad_value_(parameters, settings.clip_entries)
            if settings.clip:
                torch.nn.utils.clip_grad_norm_(parameters, settings.clip)

    def _losses(self, batch: Batch, precision: str) -> tuple[Tensor, Tensor]:
        """What is made smaller, and the loss that is told."""
        inputs, targets, reset = self._feed(batch)
        state = self._after_resets(reset)
        with autocast(self.device, precision):
            weights = self.network.dropped_weights()
            scanned: Scanned = functional_call(self.network, weights, (inputs, state))
        self._state = _detached(scanned.state)
        return self._objective(scanned, targets, batch.symbols, batch.changes)

    def _after_resets(self, reset: Tensor) -> State:
        """The carried state, with the initial one (through which it learns) where ``reset`` is."""
        initial = self.network.initial_state(len(reset))
        return tuple(
            torch.where(reset.view(-1, *[1] * (part.dim() - 1)), first, part)
            for first, part in zip(initial, self._state, strict=True)
        )


def _detached(state: State) -> State:
    return tuple(part.detach() for part in state)
