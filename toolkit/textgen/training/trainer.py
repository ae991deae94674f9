"""The training loop: truncated backpropagation through time over streams with carried state.

Werbos, Backpropagation Through Time (1990); Williams and Peng (1990) for its truncation.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from textgen.contracts.cell import Cell, State
from textgen.contracts.errors import TextgenError
from textgen.corpus.packed import PackedCorpus
from textgen.training import device as devices
from textgen.training.checkpoint import (
    Checkpoint,
    pack_optimizer,
    pack_random,
    read_checkpoint,
    unpack_optimizer,
    unpack_random,
    write_checkpoint,
)
from textgen.training.evaluation import Evaluator, Loss
from textgen.training.interrupts import Interrupts
from textgen.training.meter import Meter
from textgen.training.network import Network
from textgen.training.observer import (
    Evaluated,
    Finished,
    Observer,
    Progress,
    Sampled,
    Saved,
    Started,
)
from textgen.training.optimizers import build_optimizer, learning_rate
from textgen.training.run_folder import RunFolder
from textgen.training.sampling import sample
from textgen.training.settings import Settings
from textgen.training.streams import IGNORED, Batch, Streams
from textgen.training.threads import Threads

_VALIDATION_SYMBOLS = 64 * 256
"""Symbols of the validations on the way; at the end it is all of them."""

_SPEED_SECONDS = 3.0
"""For how long speed is measured, at most; never more than a twentieth of the budget."""


@dataclass(frozen=True)
class Plan:
    """What was settled before the first step, and holds from then on."""

    steps: int
    device: str
    precision: str


@dataclass
class TrainedRun:
    """What a training leaves."""

    network: Network
    plan: Plan
    step: int
    symbols: int
    seconds: float
    interrupted: int | None
    """The signal that ended it early, if one did."""
    losses: dict[str, Any]
    samples: list[Sampled] = field(default_factory=list)
    weights_of_step: int = 0
    """The step whose weights these are: the best on the validation text."""


class Trainer:
    """One training of one network on one corpus."""

    def __init__(
        self,
        corpus: PackedCorpus,
        cell_class: type[Cell],
        cell_options: Any,
        settings: Settings,
        folder: RunFolder,
        observer: Observer,
    ) -> None:
        self._corpus = corpus
        self._settings = settings
        self._folder = folder
        self._observer = observer
        self._device = devices.choose_device(settings.device)
        torch.manual_seed(settings.seed)
        vocabulary = corpus.vocabulary
        network = build_network(vocabulary.size, cell_class, cell_options, settings)
        self.network = network.to(self._device)
        self._streams = _streams(corpus, settings)
        evaluator = Evaluator(corpus.ids, corpus.spans("validation"), vocabulary.boundary)
        self._evaluator = evaluator if evaluator.symbols else None
        self._optimizer = build_optimizer(self.network, settings)
        self._state = self._detached(self.network.initial_state(settings.batch_size))
        self._step = 0
        self._seconds = 0.0
        self._best: float | None = None
        self._best_step = 0
        self._samples: list[Sampled] = []
        self._interrupts = Interrupts()
        self._threads: Threads | None = None
        if settings.budget[0] == "minutes" and self._device.type == "cpu":
            self._threads = Threads()
        self._plan: Plan | None = None

    def resume(self) -> None:
        """Goes on from the run's last checkpoint, exactly where it was."""
        checkpoint = read_checkpoint(self._folder.last)
        values, tensors = checkpoint.values, checkpoint.tensors
        self.network.load_state_dict(_named(tensors, "weights."))
        unpack_optimizer(self._optimizer, tensors, values["optimizer"])
        count = len(self._state)
        self._state = tuple(tensors[f"state.{i}"].to(self._device) for i in range(count))
        self._streams.restore(values["cursor"])
        self._step, self._seconds = values["step"], values["seconds"]
        self._best, self._best_step = values["best"], values["best_step"]
        self._samples = [Sampled(step, text) for step, text in values["samples"]]
        self._plan = Plan(**values["plan"])
        unpack_random(tensors, self._device)
        # what a killed training had written since is written again
        self._folder.forget_after(self._step)

    def run(self) -> TrainedRun:
        """Trains to the end of the budget, or to the first interrupt."""
        began = time.perf_counter() - self._seconds
        with self._interrupts, self._threads or contextlib.nullcontext():
            plan = self._plan = self._plan or self._make_plan(began)
            self._tell_start(plan)
            self._loop(plan, began)
            self._seconds = time.perf_counter() - began
            self._save(plan)
            return self._finish(plan)

    def _loop(self, plan: Plan, began: float) -> None:
        settings = self._settings
        evaluate = settings.interval(settings.evaluate_every, plan.steps)
        write = settings.interval(settings.sample_every, plan.steps)
        save = settings.interval(settings.checkpoint_every, plan.steps)
        meter = Meter(self._streams.shown)
        self.network.train()
        while self._step < plan.steps and self._interrupts.signal is None:
            rate = learning_rate(settings, self._step, plan.steps)
            if self._threads:
                self._threads.begin()
            batch = self._streams.next()
            meter.add(self._train_step(batch, rate, plan.precision))
            if self._threads:
                self._threads.end(batch.symbols)
            self._step += 1
            if meter.due() or self._step == plan.steps:
                self._seconds = time.perf_counter() - began
                self._report(meter, rate, plan)
            pause = time.perf_counter()
            # the last step is evaluated and sampled like any other
            last = self._step == plan.steps
            if self._step % evaluate == 0 or last:
                self._evaluate()
            if self._step % write == 0 or last:
                self._sample()
            if self._step % save == 0 and not last:
                self._seconds = time.perf_counter() - began
                self._save(plan)
            meter.pause(time.perf_counter() - pause)

    def _train_step(self, batch: Batch, rate: float, precision: str) -> Tensor:
        """One optimizer step; the loss in nats, left on the device."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss = self._loss(batch, precision)
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if self._settings.clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self._settings.clip)
        self._optimizer.step()
        return loss.detach()

    def _loss(self, batch: Batch, precision: str) -> Tensor:
        inputs = torch.from_numpy(batch.inputs).to(self._device, non_blocking=True)
        targets = torch.from_numpy(batch.targets).to(self._device, non_blocking=True)
        reset = torch.from_numpy(batch.reset).to(self._device, non_blocking=True)
        state = self._reset(self._state, reset)
        with devices.autocast(self._device, precision):
            logits, state = self.network.scan(inputs, state)
        self._state = self._detached(state)
        return cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED)

    def _reset(self, state: State, reset: Tensor) -> State:
        initial = self.network.initial_state(len(reset))
        return tuple(
            torch.where(reset.view(-1, *[1] * (part.dim() - 1)), first, part)
            for first, part in zip(initial, state, strict=True)
        )

    def _detached(self, state: State) -> State:
        return tuple(part.detach() for part in state)

    def _make_plan(self, began: float) -> Plan:
        """Settles precision and steps, leaving no trace in weights, data or random numbers."""
        settings = self._settings
        with self._untouched():
            precision = devices.choose_precision(
                settings.precision,
                self._device,
                lambda wanted: self._train_step(self._streams.next(), 0.0, wanted),
            )
            kind, amount = settings.budget
            if kind == "steps":
                steps = amount
            elif kind == "minutes":
                seconds = self._seconds_a_step(precision, min(_SPEED_SECONDS, 3 * amount))
                steps = (amount * 60 - (time.perf_counter() - began)) / seconds
            else:
                whole = self._streams.symbols_in_epoch if kind == "epochs" else 1
                steps = amount * whole / self._streams.look_ahead()[0]
        return Plan(max(1, round(steps)), str(self._device), precision)

    def _seconds_a_step(self, precision: str, seconds: float) -> float:
        """How long a step takes, measured for some ``seconds``; nothing is learnt."""

        def step() -> None:
            self._train_step(self._streams.next(), 0.0, precision)
            devices.synchronize(self._device)

        if self._threads:
            return self._threads.calibrate(step, seconds)
        steps = 0
        began = time.perf_counter()
        while (passed := time.perf_counter() - began) < seconds or not steps:
            step()
            steps += 1
        return passed / steps

    @contextlib.contextmanager
    def _untouched(self) -> Iterator[None]:
        """Puts everything back as it was before the block."""
        weights = {name: value.clone() for name, value in self.network.state_dict().items()}
        state, random = self._state, pack_random(self._device)
        yield
        self.network.load_state_dict(weights)
        self._state = state
        self._optimizer = build_optimizer(self.network, self._settings)
        self._optimizer.zero_grad(set_to_none=True)
        self._streams = _streams(self._corpus, self._settings)
        unpack_random(random, self._device)

    def _tell_start(self, plan: Plan) -> None:
        symbols, padding = self._streams.look_ahead()
        notices = list(self._corpus.notices)
        if padding >= 0.005:
            notices.append(f"Documents of differing length: {padding:.1%} of a step is padding.")
        self._observer.on(
            Started(
                run=self._folder.path,
                cell=type(self.network.cells[0]).__name__,
                parameters=sum(p.numel() for p in self.network.parameters()),
                device=plan.device,
                precision=plan.precision,
                steps=plan.steps,
                step=self._step,
                symbols=round(plan.steps * symbols),
                corpus_symbols=self._streams.symbols_in_epoch,
                notices=tuple(notices),
            )
        )

    def _report(self, meter: Meter, rate: float, plan: Plan) -> None:
        loss, speed = meter.read(self._streams.shown)
        if not loss < float("inf"):
            raise TextgenError(
                f"The loss is {loss} at step {self._step}: the training has diverged.",
                "Lower --learning-rate or --clip; the last checkpoint is kept.",
            )
        done = max(1, self._step)
        progress = Progress(
            step=self._step,
            steps=plan.steps,
            loss=loss,
            learning_rate=rate,
            characters_per_second=speed,
            seconds=self._seconds,
            seconds_left=self._seconds / done * (plan.steps - done),
            epoch=self._streams.epoch,
        )
        self._folder.add_metrics(
            {"step": self._step, "loss": loss, "rate": rate, "seconds": round(self._seconds, 2)}
        )
        self._observer.on(progress)

    def _evaluate(self) -> None:
        if self._evaluator is None:
            return
        loss = self._evaluator.cold(self.network, limit=_VALIDATION_SYMBOLS)
        best = math.isfinite(loss.nats) and (self._best is None or loss.nats < self._best)
        if best:
            self._best, self._best_step = loss.nats, self._step
            weights = {f"weights.{n}": v for n, v in self.network.state_dict().items()}
            write_checkpoint(self._folder.best, Checkpoint(weights, {"step": self._step}))
        self._folder.add_metrics({"step": self._step, "validation": loss.nats})
        self._observer.on(Evaluated(self._step, loss, best))

    def _sample(self) -> None:
        text = sample(
            self.network,
            self._corpus.vocabulary,
            documents=self._corpus.documents not in ("files", "none"),
            seed=self._settings.seed,
        )
        self._samples.append(Sampled(self._step, text))
        self._folder.add_sample(self._step, text)
        self._observer.on(self._samples[-1])

    def _save(self, plan: Plan) -> None:
        tensors = {f"weights.{name}": value for name, value in self.network.state_dict().items()}
        optimizer, numbers = pack_optimizer(self._optimizer)
        tensors |= optimizer | pack_random(self._device)
        tensors |= {f"state.{i}": part for i, part in enumerate(self._state)}
        values = {
            "step": self._step,
            "seconds": self._seconds,
            "best": self._best,
            "best_step": self._best_step,
            "cursor": self._streams.cursor(),
            "optimizer": numbers,
            "samples": [[s.step, s.text] for s in self._samples],
            "plan": vars(plan),
        }
        write_checkpoint(self._folder.last, Checkpoint(tensors, values))
        self._observer.on(Saved(self._step))

    def _finish(self, plan: Plan) -> TrainedRun:
        """The best weights so far, evaluated by both protocols on the whole validation text."""
        weights_of_step = self._step
        if self._best_step and self._best_step != self._step and self._folder.best.exists():
            best = read_checkpoint(self._folder.best)
            self.network.load_state_dict(_named(best.tensors, "weights."))
            weights_of_step = best.values["step"]
        losses = losses_of(self.network, self._evaluator) if self._evaluator else {}
        interrupted = self._interrupts.signal is not None
        self._observer.on(Finished(self._step, interrupted, losses, self._seconds))
        self._folder.add_metrics({"step": self._step, "finished": not interrupted, **losses})
        return TrainedRun(
            network=self.network,
            plan=plan,
            step=self._step,
            symbols=self._streams.shown,
            seconds=self._seconds,
            interrupted=self._interrupts.signal,
            losses=losses,
            samples=list(self._samples),
            weights_of_step=weights_of_step,
        )


def build_network(
    vocabulary_size: int, cell_class: type[Cell], cell_options: Any, settings: Settings
) -> Network:
    """The network of the settings, with fresh weights."""
    return Network(
        cell_class,
        vocabulary_size,
        hidden_size=settings.hidden_size,
        layers=settings.layers,
        embedding_size=settings.embedding_size,
        dropout=settings.dropout,
        cell_options=cell_options,
    )


def losses_of(network: Network, evaluator: Evaluator) -> dict[str, Any]:
    """The losses by both protocols, for the record."""
    return {
        "cold": _loss_record(evaluator.cold(network)),
        "carried": _loss_record(evaluator.carried(network)),
    }


def load_weights(network: Network, folder: RunFolder) -> int:
    """Puts the run's best weights, else its last, into ``network``; the step they are of."""
    path = folder.best if folder.best.exists() else folder.last
    checkpoint = read_checkpoint(path)
    network.load_state_dict(_named(checkpoint.tensors, "weights."))
    step: int = checkpoint.values["step"]
    return step


def _streams(corpus: PackedCorpus, settings: Settings) -> Streams:
    corpus.require(settings.sequence_length)
    return Streams(
        corpus.ids,
        corpus.spans("train"),
        corpus.vocabulary.boundary,
        batch_size=settings.batch_size,
        sequence_length=settings.sequence_length,
        reset_probability=settings.reset_probability,
        seed=settings.seed,
    )


def _named(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _loss_record(loss: Loss) -> dict[str, float]:
    return {"nats": loss.nats, "bits": loss.bits, "symbols": loss.symbols}
