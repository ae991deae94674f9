"""The record of a training: what is told, evaluated, sampled and written between its steps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from textgen.contracts.errors import TextgenError
from textgen.corpus.packed import PackedCorpus
from textgen.training.budget import Pauses
from textgen.training.checkpoint import Checkpoint, load_weights, write_checkpoint
from textgen.training.judge import Judge
from textgen.training.learner import Learner
from textgen.training.meter import Meter
from textgen.training.network import Network
from textgen.training.observer import Finished, Observer, Progress, Sampled, Saved, Started
from textgen.training.plan import Plan
from textgen.training.run_folder import RunFolder
from textgen.training.sampling import LENGTH, sample
from textgen.training.settings import NEVER, Settings

HELD_BACK = "held back"
"""What weights are chosen by: text held back from training."""

_MEASURED = 40
"""Symbols of a sample by which the time of a whole one is told."""

_SLOW = {
    "steps": "This cell has no fast scan with these options: its steps are taken one by one.",
    "graphs": "The steps of this cell are taken one by one, in CUDA graphs.",
}


_NO_JITTER = "--sequence-jitter does nothing here: short documents have lengths of their own."
_NO_LOCK = "--locked-dropout does nothing here: both dropout and input dropout are 0."


class DivergedError(TextgenError):
    """The loss of a training is no number any more."""


class Record:
    """Tells an observer of a training, and keeps in the run's folder what is to be kept."""

    def __init__(
        self,
        corpus: PackedCorpus,
        learner: Learner,
        settings: Settings,
        folder: RunFolder,
        observer: Observer,
    ) -> None:
        self._corpus = corpus
        self._learner = learner
        self._settings = settings
        self._folder = folder
        self._observer = observer
        self._judge = Judge(corpus, learner.held_back)
        self._steps = 0
        self._meter = Meter(0, 0)
        self.samples: list[Sampled] = []

    @property
    def chosen_by(self) -> str:
        """``held back``, or nothing: the last weights."""
        return HELD_BACK if self._judge.best_step else ""

    def measure_pauses(self) -> Pauses:
        """How long the pauses of this training will be, by parts of them; nothing is told or kept.

        Every evaluation may write the best weights; a checkpoint has three numbers for each, for
        AdamW keeps two."""
        network, path = self._learner.result, self._folder.last.with_name(".pauses.part")
        self._written(1)  # the first symbol sets kernels up
        began = time.perf_counter()
        self._written(_MEASURED)
        wrote = time.perf_counter()
        write_checkpoint(path, _weights(network))
        path.unlink()
        saved = time.perf_counter()
        return Pauses(
            evaluation=self._judge.seconds(network) + saved - wrote,
            sample=(wrote - began) * LENGTH / _MEASURED,
            checkpoint=3 * (saved - wrote),
        )

    def begin(self, plan: Plan, step: int, notices: Sequence[str]) -> None:
        """Tells of the plan, which is begun, or gone on with from ``step``."""
        settings, streams, network = self._settings, self._learner.streams, self._learner.result
        symbols, padding = streams.look_ahead()
        notices = [*self._corpus.notices, *notices]
        starts, ends = self._learner.held_back.T
        if padding >= 0.005:
            notices.append(f"Documents of differing length: {padding:.1%} of a step is padding.")
        if settings.sequence_jitter and streams.bucketed:
            notices.append(_NO_JITTER)
        if settings.locked_dropout and not (settings.dropout or settings.input_dropout):
            notices.append(_NO_LOCK)
        scan = "graphs" if plan.graphs else "steps" if network.looped else "fast"
        if scan != "fast" and not network.one_by_one:  # of which the learner tells
            notices.append(_SLOW[scan])
        self._observer.on(
            Started(
                run=self._folder.path,
                cell=type(network.cells[0]).__name__,
                parameters=sum(p.numel() for p in network.parameters()),
                device=plan.device,
                precision=plan.precision,
                scan=scan,
                steps=plan.steps,
                step=step,
                symbols=round(plan.steps * symbols),
                corpus_symbols=streams.symbols_in_epoch,
                held_back=int((ends - starts).sum()),
                notices=tuple(notices),
            )
        )
        self._steps = plan.steps
        self._meter = Meter(streams.shown, step)

    def after_step(self, step: int, loss: Tensor, rate: float, seconds: float) -> None:
        """Takes note of a step; tells, evaluates and samples where it is time to. Raises
        DivergedError where the loss is no number."""
        settings, meter = self._settings, self._meter
        evaluate, write, save = (
            settings.interval(every, self._steps)
            for every in (settings.evaluate_every, settings.sample_every, settings.checkpoint_every)
        )
        # the last step is evaluated and sampled like any other
        last = step == self._steps
        meter.add(loss)
        # a loss that is no number ends the training before anything is made of its weights
        if meter.due() or last or any(step % n == 0 for n in (evaluate, write, save)):
            self._report(step, rate, seconds)
        with meter.paused():
            if step % evaluate == 0 or last:
                self._evaluate(step)
            if step % write == 0 or (last and write < NEVER):
                self._sample(step)

    def _report(self, step: int, rate: float, seconds: float) -> None:
        streams = self._learner.streams
        left = self._meter.seconds_a_step(step) * (self._steps - step)
        loss, speed = self._meter.read(streams.shown)
        _refuse_divergence(loss, step)
        progress = Progress(
            step=step,
            steps=self._steps,
            loss=loss,
            learning_rate=rate,
            characters_per_second=speed,
            seconds=seconds,
            seconds_left=left,
            symbols=streams.shown,
            epoch=streams.epoch,
        )
        self._add(step, {"loss": loss, "rate": rate, "seconds": round(seconds, 2)})
        self._observer.on(progress)

    def _evaluate(self, step: int) -> None:
        network = self._learner.result
        evaluated = self._judge.judge(network, step)
        losses = {"held_back": evaluated.held_back, "validation": evaluated.validation}
        for loss in filter(None, losses.values()):
            _refuse_divergence(loss.nats, step)
        if not any(losses.values()):
            return
        if evaluated.best:
            values = {"step": step, "chosen_by": HELD_BACK}
            write_checkpoint(self._folder.best, _weights(network, **values))
        self._add(step, {name: loss.nats for name, loss in losses.items() if loss})
        self._observer.on(evaluated)

    def _written(self, length: int = LENGTH) -> str:
        return sample(
            self._learner.result,
            self._corpus.vocabulary,
            documents=self._corpus.documents not in ("files", "none"),
            seed=self._settings.seed,
            length=length,
        )

    def _sample(self, step: int) -> None:
        text = self._written()
        self.samples.append(Sampled(step, text))
        self._folder.add_sample(step, text)
        self._observer.on(self.samples[-1])

    def save(self, step: int, checkpoint: Checkpoint) -> None:
        """Writes what a training goes on from, with what ``restore`` needs."""
        values = {
            "step": step,
            "judge": self._judge.checkpoint(),
            "samples": [[s.step, s.text] for s in self.samples],
        }
        whole = Checkpoint(checkpoint.tensors, checkpoint.values | values)
        with self._meter.paused():
            write_checkpoint(self._folder.last, whole)
        self._observer.on(Saved(step))

    def restore(self, values: dict[str, Any]) -> None:
        """Goes on from what ``save`` wrote; what a killed training had written since is forgotten,
        and will be written again."""
        if "judge" in values:  # format 1 chose by the validation text
            self._judge.restore(values["judge"])
        if not self._judge.best_step:
            self._folder.best.unlink(missing_ok=True)
        self.samples = [Sampled(step, text) for step, text in values["samples"]]
        self._folder.forget_after(values["step"])

    def finish(self, step: int, *, interrupted: bool, seconds: float) -> tuple[int, dict[str, Any]]:
        """Puts the weights that are kept into the network: the step they are of, and their losses
        by both protocols on the whole validation text."""
        network, weights_of_step = self._learner.result, step
        if self._judge.best_step and self._judge.best_step != step:
            weights_of_step = load_weights(network, self._folder.best)["step"]
        losses = self._judge.losses(network)
        symbols = self._learner.streams.shown
        self._observer.on(Finished(step, interrupted, losses, symbols, seconds))
        self._add(step, {"finished": not interrupted, **losses})
        return weights_of_step, losses

    def _add(self, step: int, metrics: dict[str, Any]) -> None:
        shown = {"step": step, "symbols": self._learner.streams.shown}
        self._folder.add_metrics(shown | metrics)


def _weights(network: Network, **values: Any) -> Checkpoint:
    return Checkpoint({f"weights.{n}": v for n, v in network.state_dict().items()}, values)


def _refuse_divergence(loss: float, step: int) -> None:
    if not loss < float("inf"):
        raise DivergedError(
            f"The loss is {loss} at step {step}: the training has diverged.",
            "Lower --learning-rate or --clip; the last checkpoint is kept.",
        )
