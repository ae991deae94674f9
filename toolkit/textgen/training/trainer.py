"""The training loop: steps, and between them what the record tells and what is saved."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from typing import Any

from textgen.chosen import Chosen
from textgen.contracts.errors import TextgenError
from textgen.contracts.optimizer import Optimizer
from textgen.corpus.packed import PackedCorpus
from textgen.interrupts import Interrupts
from textgen.training.checkpoint import Checkpoint, read_checkpoint
from textgen.training.device import choose_device, circumstances
from textgen.training.learner import Learner
from textgen.training.network import Network
from textgen.training.observer import Observer, Sampled
from textgen.training.optimizers import learning_rate
from textgen.training.plan import Plan, make_plan
from textgen.training.ranks import ALONE, Ranks
from textgen.training.record import Record
from textgen.training.run_folder import RunFolder
from textgen.training.settings import Settings
from textgen.training.threads import Threads

_TOO_SHORT = (
    "What was measured took nearly all of the budget, and one step is left of it: "
    "give more --minutes, or --steps."
)


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
    """Of the weights that are kept. Ranks after the first evaluate nothing, and have the last."""
    samples: list[Sampled] = field(default_factory=list)
    weights_of_step: int = 0
    """The step whose weights these are."""
    chosen_by: str = ""
    """``held back``, or nothing: the last weights."""


class StoppedError(TextgenError):
    """A signal came before the first step."""

    def __init__(self, number: int) -> None:
        super().__init__(
            "Stopped before the first step: there is nothing to keep.",
            "The same command begins again.",
        )
        self.exit_status = 128 + number


class Trainer:
    """One training of a fresh network on one corpus.

    With several ``ranks`` each of them runs one; the first alone evaluates, tells and writes. A
    budget in minutes counts from when the training ``began`` by ``time.perf_counter``: from ``run``
    where that is left out.
    """

    def __init__(
        self,
        corpus: PackedCorpus,
        network: Network,
        settings: Settings,
        optimizer: Chosen[Optimizer],
        folder: RunFolder,
        observer: Observer,
        ranks: Ranks = ALONE,
        began: float | None = None,
    ) -> None:
        self._settings = settings
        self._began = began
        self._folder = folder
        self._ranks = ranks
        device = choose_device(settings.device)
        self._learner = Learner(network.to(device), corpus, settings, optimizer, ranks)
        self._record = Record(corpus, self._learner, settings, folder, observer)
        self._step = 0
        self._seconds = 0.0
        self._interrupts = Interrupts()
        self._signal: int | None = None
        self._threads: Threads | None = None
        if settings.budget[0] == "minutes" and device.type == "cpu" and ranks.count == 1:
            self._threads = Threads()
        self._plan: Plan | None = None
        self._notices: list[str] = []
        if self._learner.second_order:
            self._notices.append(
                f"The optimizer {optimizer.name} takes second derivatives: cells learn step by "
                "step, without fused kernels."
            )

    @property
    def network(self) -> Network:
        """The network that is evaluated, sampled and kept."""
        return self._learner.result

    def resume(self) -> None:
        """Goes on from the run's last checkpoint, exactly where it was."""
        self._began = None  # the time before counts, the time between does not
        checkpoint = read_checkpoint(self._folder.last, self._ranks)
        values = checkpoint.values
        self._learner.restore(checkpoint.tensors, values)
        self._step, self._seconds = values["step"], values["seconds"]
        self._plan = self._plan_from(values)
        if self._ranks.first:
            self._record.restore(values)

    def _plan_from(self, values: dict[str, Any]) -> Plan:
        """The plan of a checkpoint, here; what is not as it was there will be said."""
        plan, settings = Plan(**values["plan"]), self._settings
        precision = plan.precision if settings.precision == "auto" else settings.precision
        graphs = plan.graphs and self._learner.network.graphable
        device = str(self._learner.device)
        plan = replace(plan, device=device, precision=precision, graphs=graphs)
        then, now = values.get("circumstances", values["plan"]), self._circumstances(plan)
        changed = [
            f"{name} {then[name]} to {now[name]}"
            for name in now
            if name in then and then[name] != now[name]
        ]
        if changed:
            self._notices.append(
                f"Since this training was interrupted it went from {', '.join(changed)}: its last "
                "bits, and what follows from them, will not be what they would have been."
            )
        return plan

    def _circumstances(self, plan: Plan) -> dict[str, str]:
        found = circumstances(plan.device, plan.precision, threads=self._threads is None)
        return found | {"ranks": str(self._ranks.count)}

    def run(self, until: int | None = None) -> TrainedRun:
        """Trains to the end of the budget, to the first interrupt, or to the step ``until``.

        Raises StoppedError where a signal comes before the first step of all.
        """
        began = self._began or time.perf_counter() - self._seconds
        with self._interrupts, self._threads or contextlib.nullcontext():
            plan = self._plan
            if plan is None:
                plan = make_plan(
                    self._learner,
                    self._settings,
                    self._threads,
                    self._ranks,
                    began=began,
                    pauses=self._record.measure_pauses,
                )
                if self._stopped():
                    raise StoppedError(self._signal or 0)
                if plan.steps == 1 and self._settings.budget[0] == "minutes":
                    self._notices.append(_TOO_SHORT)
            self._plan = plan
            self._learner.network.use_graphs(plan.graphs)
            if self._ranks.first:
                self._record.begin(plan, self._step, self._notices)
            self._loop(plan, began, plan.steps if until is None else until)
            self._seconds = time.perf_counter() - began
            self._save(plan)
            return self._finish(plan)

    def _loop(self, plan: Plan, began: float, until: int) -> None:
        settings, learner = self._settings, self._learner
        save = settings.interval(settings.checkpoint_every, plan.steps)
        learner.network.train()
        while self._step < until and not self._stopped():
            rate = learning_rate(settings, self._step, plan.steps, learner.streams.epoch)
            if self._threads:
                self._threads.begin()
            loss, symbols = learner.step(rate, plan.precision)
            if self._threads:
                self._threads.end(symbols)
            self._step += 1
            self._seconds = time.perf_counter() - began
            if self._ranks.first:
                self._record.after_step(self._step, loss, rate, self._seconds)
            if self._step % save == 0 and self._step != plan.steps:
                self._seconds = time.perf_counter() - began
                self._save(plan)

    def _stopped(self) -> bool:
        """Whether a signal came to any rank: all end after the same step."""
        self._signal = self._ranks.largest(self._interrupts.signal or 0) or None
        return self._signal is not None

    @property
    def interrupted(self) -> int | None:
        """The signal that came, if one did; perhaps only after the last step."""
        return self._signal or self._interrupts.signal

    def _save(self, plan: Plan) -> None:
        learnt = self._learner.checkpoint()
        values = {
            "seconds": self._seconds,
            "plan": vars(plan),
            "circumstances": self._circumstances(plan),
        }
        if self._ranks.first:
            self._record.save(self._step, Checkpoint(learnt.tensors, learnt.values | values))

    def _finish(self, plan: Plan) -> TrainedRun:
        weights_of_step = self._step
        losses: dict[str, Any] = {}
        if self._ranks.first:
            interrupted = self.interrupted is not None or self._step < plan.steps
            weights_of_step, losses = self._record.finish(
                self._step, interrupted=interrupted, seconds=self._seconds
            )
        return TrainedRun(
            network=self.network,
            plan=plan,
            step=self._step,
            symbols=self._learner.streams.shown,
            seconds=self._seconds,
            interrupted=self.interrupted,
            losses=losses,
            samples=list(self._record.samples),
            weights_of_step=weights_of_step,
            chosen_by=self._record.chosen_by,
        )
