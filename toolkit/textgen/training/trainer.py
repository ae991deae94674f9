"""The training loop: steps, and what is told, evaluated, sampled and saved between them."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from typing import Any

from textgen.contracts.errors import TextgenError
from textgen.corpus.packed import PackedCorpus
from textgen.interrupts import Interrupts
from textgen.training.checkpoint import Checkpoint, load_weights, read_checkpoint, write_checkpoint
from textgen.training.device import choose_device, circumstances
from textgen.training.judge import Judge
from textgen.training.learner import Learner
from textgen.training.meter import Meter
from textgen.training.network import Network
from textgen.training.observer import (
    Finished,
    Observer,
    Progress,
    Sampled,
    Saved,
    Started,
)
from textgen.training.optimizers import learning_rate
from textgen.training.plan import Plan, make_plan
from textgen.training.run_folder import RunFolder
from textgen.training.sampling import sample
from textgen.training.settings import Settings
from textgen.training.threads import Threads

HELD_BACK = "held back"
"""What weights are chosen by: text held back from training."""


class DivergedError(TextgenError):
    """The loss of a training is no number any more."""


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
    """The step whose weights these are."""
    chosen_by: str = ""
    """``held back``, or nothing: the last weights."""


class Trainer:
    """One training of a fresh network on one corpus."""

    def __init__(
        self,
        corpus: PackedCorpus,
        network: Network,
        settings: Settings,
        folder: RunFolder,
        observer: Observer,
    ) -> None:
        self._corpus = corpus
        self._settings = settings
        self._folder = folder
        self._observer = observer
        device = choose_device(settings.device)
        self._learner = Learner(network.to(device), corpus, settings)
        self._judge = Judge(corpus, self._learner.held_back)
        self._step = 0
        self._seconds = 0.0
        self._samples: list[Sampled] = []
        self._interrupts = Interrupts()
        self._threads: Threads | None = None
        if settings.budget[0] == "minutes" and device.type == "cpu":
            self._threads = Threads()
        self._plan: Plan | None = None
        self._changes = ""

    @property
    def network(self) -> Network:
        """The network that is evaluated, sampled and kept."""
        return self._learner.result

    @property
    def interrupted(self) -> int | None:
        """The signal that ends it early, if one came."""
        return self._interrupts.signal

    def resume(self) -> None:
        """Goes on from the run's last checkpoint, exactly where it was."""
        checkpoint = read_checkpoint(self._folder.last)
        values = checkpoint.values
        self._learner.restore(checkpoint.tensors, values)
        self._step, self._seconds = values["step"], values["seconds"]
        if "judge" in values:  # format 1 chose by the validation text
            self._judge.restore(values["judge"])
        if not self._judge.best_step:
            self._folder.best.unlink(missing_ok=True)
        self._samples = [Sampled(step, text) for step, text in values["samples"]]
        self._plan = self._plan_from(values)
        # what a killed training had written since is written again
        self._folder.forget_after(self._step)

    def _plan_from(self, values: dict[str, Any]) -> Plan:
        """The plan of a checkpoint, here; what is not as it was there will be said."""
        plan, settings = Plan(**values["plan"]), self._settings
        precision = plan.precision if settings.precision == "auto" else settings.precision
        plan = replace(plan, device=str(self._learner.device), precision=precision)
        then, now = values.get("circumstances", values["plan"]), self._circumstances(plan)
        changed = [
            f"{name} {then[name]} to {now[name]}"
            for name in now
            if name in then and then[name] != now[name]
        ]
        if changed:
            self._changes = (
                f"Since this training was interrupted it went from {', '.join(changed)}: its last "
                "bits, and what follows from them, will not be what they would have been."
            )
        return plan

    def _circumstances(self, plan: Plan) -> dict[str, str]:
        return circumstances(plan.device, plan.precision, threads=self._threads is None)

    def run(self, until: int | None = None) -> TrainedRun:
        """Trains to the end of the budget, to the first interrupt, or to the step ``until``."""
        began = time.perf_counter() - self._seconds
        with self._interrupts, self._threads or contextlib.nullcontext():
            plan = self._plan or make_plan(self._learner, self._settings, self._threads)
            self._plan = plan
            self._tell_start(plan)
            self._loop(plan, began, plan.steps if until is None else until)
            self._seconds = time.perf_counter() - began
            self._save(plan)
            return self._finish(plan)

    def _loop(self, plan: Plan, began: float, until: int) -> None:
        settings, learner = self._settings, self._learner
        evaluate = settings.interval(settings.evaluate_every, plan.steps)
        write = settings.interval(settings.sample_every, plan.steps)
        save = settings.interval(settings.checkpoint_every, plan.steps)
        meter = Meter(learner.streams.shown, self._step)
        learner.network.train()
        while self._step < until and self._interrupts.signal is None:
            rate = learning_rate(settings, self._step, plan.steps, learner.streams.epoch)
            if self._threads:
                self._threads.begin()
            loss, symbols = learner.step(rate, plan.precision)
            meter.add(loss)
            if self._threads:
                self._threads.end(symbols)
            self._step += 1
            # the last step is evaluated and sampled like any other
            last = self._step == plan.steps
            # a loss that is no number ends the training before anything is made of its weights
            if meter.due() or last or any(self._step % n == 0 for n in (evaluate, write, save)):
                self._seconds = time.perf_counter() - began
                self._report(meter, rate, plan)
            pause = time.perf_counter()
            if self._step % evaluate == 0 or last:
                self._evaluate()
            if self._step % write == 0 or last:
                self._sample()
            if self._step % save == 0 and not last:
                self._seconds = time.perf_counter() - began
                self._save(plan)
            meter.pause(time.perf_counter() - pause)

    def _tell_start(self, plan: Plan) -> None:
        streams = self._learner.streams
        symbols, padding = streams.look_ahead()
        notices = [*self._corpus.notices, *filter(None, [self._changes])]
        starts, ends = self._learner.held_back.T
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
                corpus_symbols=streams.symbols_in_epoch,
                held_back=int((ends - starts).sum()),
                notices=tuple(notices),
            )
        )

    def _report(self, meter: Meter, rate: float, plan: Plan) -> None:
        streams = self._learner.streams
        left = meter.seconds_a_step(self._step) * (plan.steps - self._step)
        loss, speed = meter.read(streams.shown)
        self._refuse_divergence(loss)
        progress = Progress(
            step=self._step,
            steps=plan.steps,
            loss=loss,
            learning_rate=rate,
            characters_per_second=speed,
            seconds=self._seconds,
            seconds_left=left,
            symbols=streams.shown,
            epoch=streams.epoch,
        )
        self._folder.add_metrics(
            {
                "step": self._step,
                "symbols": streams.shown,
                "loss": loss,
                "rate": rate,
                "seconds": round(self._seconds, 2),
            }
        )
        self._observer.on(progress)

    def _refuse_divergence(self, loss: float) -> None:
        if not loss < float("inf"):
            raise DivergedError(
                f"The loss is {loss} at step {self._step}: the training has diverged.",
                "Lower --learning-rate or --clip; the last checkpoint is kept.",
            )

    def _evaluate(self) -> None:
        evaluated = self._judge.judge(self.network, self._step)
        losses = {"held_back": evaluated.held_back, "validation": evaluated.validation}
        for loss in filter(None, losses.values()):
            self._refuse_divergence(loss.nats)
        if not any(losses.values()):
            return
        if evaluated.best:
            weights = {f"weights.{n}": v for n, v in self.network.state_dict().items()}
            values = {"step": self._step, "chosen_by": HELD_BACK}
            write_checkpoint(self._folder.best, Checkpoint(weights, values))
        self._folder.add_metrics(
            {
                "step": self._step,
                "symbols": self._learner.streams.shown,
                **{name: loss.nats for name, loss in losses.items() if loss},
            }
        )
        self._observer.on(evaluated)

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
        learnt = self._learner.checkpoint()
        values = {
            "step": self._step,
            "seconds": self._seconds,
            "judge": self._judge.checkpoint(),
            "samples": [[s.step, s.text] for s in self._samples],
            "plan": vars(plan),
            "circumstances": self._circumstances(plan),
        }
        write_checkpoint(self._folder.last, Checkpoint(learnt.tensors, learnt.values | values))
        self._observer.on(Saved(self._step))

    def _finish(self, plan: Plan) -> TrainedRun:
        """The weights that are kept, evaluated by both protocols on the whole validation text."""
        weights_of_step, symbols = self._step, self._learner.streams.shown
        if self._judge.best_step and self._judge.best_step != self._step:
            weights_of_step = load_weights(self.network, self._folder.best)["step"]
        losses = self._judge.losses(self.network)
        interrupted = self._interrupts.signal is not None or self._step < plan.steps
        self._observer.on(Finished(self._step, interrupted, losses, symbols, self._seconds))
        self._folder.add_metrics(
            {"step": self._step, "symbols": symbols, "finished": not interrupted, **losses}
        )
        return TrainedRun(
            network=self.network,
            plan=plan,
            step=self._step,
            symbols=symbols,
            seconds=self._seconds,
            interrupted=self._interrupts.signal,
            losses=losses,
            samples=list(self._samples),
            weights_of_step=weights_of_step,
            chosen_by=HELD_BACK if self._judge.best_step else "",
        )
