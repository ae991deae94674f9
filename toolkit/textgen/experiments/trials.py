"""A sweep: trainings of one cell on one corpus with varied settings, compared by text held back.

What is made smaller is the loss by which a training chooses its weights. The validation text
chooses nothing: its losses are told of the best trial alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from textgen import runs
from textgen.contracts.cell import Cell
from textgen.contracts.errors import PluginError, TextgenError, UserError
from textgen.contracts.options import options_dict
from textgen.corpus.packed import PackedCorpus
from textgen.experiments.space import Varied, as_typed, split_cell, split_optimizer
from textgen.experiments.study import Study, Trial, TrialRecord
from textgen.interrupts import Interrupts
from textgen.losses import Loss
from textgen.registry import Registry
from textgen.training.held_back import hold_back
from textgen.training.observer import Evaluated, Event, Observer, Progress
from textgen.training.record import DivergedError
from textgen.training.settings import NEVER, build_settings, settings_dict
from textgen.training.trainer import TrainedRun, Trainer


@dataclass(frozen=True)
class Begun:
    """A sweep, before its first trial here."""

    name: str
    trials: int
    """How many the study will have."""
    counted: int
    """How many it has."""
    joined: bool
    """Whether it was there before."""
    varied: tuple[str, ...]
    best: TrialRecord | None


@dataclass(frozen=True)
class TrialBegun:
    """A trial, before its training."""

    number: int
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class TrialEnded:
    """A trial, and the best of the study after it."""

    trial: TrialRecord
    best: TrialRecord | None


SweepEvent = Begun | TrialBegun | TrialEnded


class SweepObserver(Observer):
    """Watches a sweep and the training of each of its trials."""

    def on_sweep(self, event: SweepEvent) -> None:
        """Called with each event of the sweep, in order."""


@dataclass(frozen=True)
class Task:
    """What all trials have in common; ``settings`` and options are the fixed ones."""

    corpus: PackedCorpus
    cell: str | type[Cell]
    cell_options: Mapping[str, Any]
    optimizer_options: Mapping[str, Any]
    settings: Mapping[str, Any]
    space: tuple[Varied, ...]
    registry: Registry

    def setup(self, chosen: Mapping[str, Any]) -> runs.Setup:
        """What a trial with the ``chosen`` values trains. Raises UserError where it cannot be."""
        settings, options = split_cell(chosen)
        settings, of_optimizer = split_optimizer({**self.settings, **settings})
        cell = runs.choose_cell(self.cell, {**self.cell_options, **options}, self.registry)
        optimizer = runs.choose_optimizer(
            settings.get("optimizer"), {**self.optimizer_options, **of_optimizer}, self.registry
        )
        settings |= {"sample_every": NEVER, "checkpoint_every": NEVER}
        built = build_settings({**settings, "optimizer": optimizer.name})
        self.corpus.require(built.sequence_length)
        return runs.Setup(self.corpus, cell, built, optimizer)

    def describe(self, sampler: str, pruner: str) -> dict[str, Any]:
        """What everyone who joins the study must have in common, as JSON values."""
        setup = self.setup({})
        varied = {v.name for v in self.space}

        def fixed(kind: str, options: Any) -> list[str]:
            return [
                f"{name}={as_typed(value)}"
                for name, value in options_dict(options).items()
                if f"{kind}.{name}" not in varied
            ]

        cell, optimizer = setup.cell, setup.optimizer
        return {
            "format": 1,
            "corpus": {
                "name": self.corpus.name,
                "sha256": self.corpus.sha256,
                **runs.made_as(self.corpus),
            },
            "cell": [
                cell.name,
                *fixed("cell", cell.options),
                f"({cell.origin['distribution']})",
            ],
            "optimizer": [optimizer.name, *fixed("optimizer", optimizer.options)]
            if "optimizer" not in varied
            else [],
            "varied": [v.typed() for v in self.space],
            "sampler": sampler,
            "pruner": pruner,
            "settings": {
                name: value
                for name, value in settings_dict(setup.settings).items()
                # where it runs may differ from process to process
                if name not in varied | {"device", "sample_every", "checkpoint_every"}
            },
        }

    def usual(self) -> dict[str, Any] | None:
        """The values that a training has without a sweep, where they are among the varied."""
        setup = self.setup({})
        known = settings_dict(setup.settings)
        for kind, options in (("cell", setup.cell.options), ("optimizer", setup.optimizer.options)):
            known |= {f"{kind}.{name}": value for name, value in options_dict(options).items()}
        if all(v.holds(known.get(v.name)) for v in self.space):
            return {v.name: known[v.name] for v in self.space}
        return None


def require_held_back(corpus: PackedCorpus) -> None:
    """Raises UserError where the corpus is too small to hold back text to choose settings by."""
    if not len(hold_back(corpus.spans("train"), corpus.symbols("train"))[1]):
        raise UserError(
            f"{corpus.name} is too small to hold text back from training, by which settings are "
            "chosen.",
            "Use a longer text.",
        )


def run_trials(
    task: Task, study: Study, trials: int, observer: SweepObserver | None = None
) -> int | None:
    """Runs trials until the study has ``trials`` of them, those of other processes counted.

    The signal that ended it early, if one did: the trial that it met will be tried again.
    """
    observer = observer or SweepObserver()
    observer.on_sweep(
        Begun(
            name=study.folder.name,
            trials=trials,
            counted=study.counted(),
            joined=study.joined,
            varied=tuple(v.typed() for v in task.space),
            best=study.best(),
        )
    )
    with Interrupts() as interrupts:
        while interrupts.signal is None and (trial := study.next(trials)):
            signal = _run(task, trial, observer)
            observer.on_sweep(TrialEnded(study.record(trial.number), study.best()))
            if signal is not None:
                return signal
        return interrupts.signal


def is_of_the_place(error: BaseException) -> bool:
    """Whether a disk or a file of the experiment's failed: that says nothing of what is trained."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError, UserError, PluginError)):
        return False
    return isinstance(error, (OSError, TextgenError))


class _HopelessError(Exception):
    """The pruner has given the trial up."""


class _Watch(Observer):
    """Tells the study of a trial's losses on the way, and ends what is hopeless."""

    def __init__(self, trial: Trial, observer: SweepObserver) -> None:
        self._trial, self._observer = trial, observer
        self._evaluations = 0
        self._steps = 0
        self.so_far: dict[str, Any] = {}
        """What a record tells of how much was learnt."""

    def on(self, event: Event) -> None:
        self._observer.on(event)
        if isinstance(event, Progress):
            self._steps = event.steps
            self.so_far = _learnt(event.step, event.symbols, event.seconds)
        elif isinstance(event, Evaluated) and event.held_back and _is_number(event.held_back):
            self._evaluations += 1
            hopeless = self._trial.hopeless(event.held_back.nats, self._evaluations)
            if hopeless and event.step < self._steps:
                raise _HopelessError


def _run(task: Task, trial: Trial, observer: SweepObserver) -> int | None:
    """Trains a trial and writes down how it ended; the signal that interrupted it, if one did."""
    watch = _Watch(trial, observer)
    trainer = None
    try:
        observer.on_sweep(TrialBegun(trial.number, trial.settings))
        setup = task.setup(trial.settings)
        network = runs.fresh_network(setup)
        trainer = Trainer(
            setup.corpus, network, setup.settings, setup.optimizer, trial.folder, watch
        )
        trained = trainer.run()
    except _HopelessError:
        trial.end("pruned", **watch.so_far)
    except DivergedError as error:
        trial.end("diverged", **watch.so_far, reason=error.problem)
    except UserError as error:  # of settings that do not go together
        trial.end("impossible", reason=error.problem)
    except (MemoryError, torch.OutOfMemoryError):
        trial.end("impossible", **watch.so_far, reason="There is not enough memory for it.")
    except KeyboardInterrupt:
        trial.end("interrupted", **watch.so_far)
        raise
    except BaseException as error:
        state = "interrupted" if is_of_the_place(error) else "failed"
        trial.end(state, **watch.so_far, reason=f"{type(error).__name__}: {error}")
        raise
    else:
        _end(trial, trained)
    return trainer.interrupted if trainer else None


def _end(trial: Trial, trained: TrainedRun) -> None:
    learnt = _learnt(trained.step, trained.symbols, trained.seconds)
    held_back = trained.losses.get("held_back")
    if trained.step < trained.plan.steps:
        trial.end("interrupted", **learnt)
    elif held_back is None:
        trial.end("diverged", **learnt, reason="No loss on the text held back was a number.")
    else:
        losses = trained.losses
        validation = {name: losses[name] for name in ("cold", "carried") if name in losses}
        trial.end("complete", held_back["nats"], **learnt, validation=validation)


def _learnt(steps: int, symbols: int, seconds: float) -> dict[str, Any]:
    return {"steps": steps, "symbols": symbols, "seconds": round(seconds, 2)}


def _is_number(loss: Loss) -> bool:
    return loss.nats < float("inf")
