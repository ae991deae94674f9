"""The trainings of a comparison: trials that choose each cell's settings, then the runs by seed.

Any number of processes share them. What one leaves when it is killed, another takes over: a trial
anew, a run from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textgen import runs
from textgen.contracts.errors import UserError
from textgen.corpus.packed import PackedCorpus
from textgen.experiments.compare_events import (
    Chosen,
    CompareObserver,
    OfTrial,
    RunBegun,
    RunEnded,
    Waiting,
)
from textgen.experiments.comparison_folder import ComparisonFolder, read_result, write_result
from textgen.experiments.contenders import BUDGETS, SYMBOLS, Contender, Course, told
from textgen.experiments.space import split_optimizer
from textgen.experiments.study import Study, TrialRecord
from textgen.experiments.sweep import begin_sweep
from textgen.experiments.trials import (
    SweepEvent,
    Task,
    TrialBegun,
    TrialEnded,
    is_of_the_place,
    run_trials,
)
from textgen.interrupts import Interrupts
from textgen.registry import Registry
from textgen.training.evaluation import Evaluator
from textgen.training.observer import Event
from textgen.training.record import DivergedError
from textgen.training.run_folder import RunFolder
from textgen.training.settings import NEVER, build_settings
from textgen.training.trainer import TrainedRun, Trainer

_POLL = 1.0
"""Seconds between two looks at what other processes have left to do."""

COMPLETE, DIVERGED, FAILED = "complete", "diverged", "failed"


@dataclass(frozen=True)
class Tuned:
    """What the trials of a cell have chosen."""

    settings: Mapping[str, Any]
    trials: Sequence[TrialRecord] = ()
    reason: str = ""
    """Why nothing could be chosen, if so."""


@dataclass(frozen=True)
class Training:
    """One run: the same number of steps with the same seed is one run, whatever is equal by it."""

    contender: Contender
    steps: int
    seed: int
    budgets: tuple[str, ...]


@dataclass(frozen=True)
class Terms:
    """What is equal for all cells but for what the comparison makes equal."""

    corpus: PackedCorpus
    settings: Mapping[str, Any]
    """Of all trainings, but for budget, width, seed and what is varied."""
    optimizer_options: Mapping[str, Any]
    vary: Mapping[str, str | Sequence[Any]]
    trials: int
    """Of each cell; none where nothing is varied."""
    seeds: Sequence[int]


class Contest:
    """All trainings of a comparison, of which this process runs those that no other has."""

    def __init__(
        self,
        folder: ComparisonFolder,
        contenders: Sequence[Contender],
        courses: Mapping[str, Course],
        terms: Terms,
        registry: Registry,
        observer: CompareObserver,
    ) -> None:
        self._folder = folder
        self._able = [c for c in contenders if courses[c.label].steps]
        self._courses = courses
        self._terms = terms
        self._registry = registry
        self._observer = observer
        self._interrupts = Interrupts()
        self._signal: int | None = None
        self.tuned: dict[str, Tuned] = {}
        """By label, of those whose settings are chosen."""

    def trainings(self) -> list[Training]:
        """Those of all cells that can be trained, a seed after the other."""
        found: dict[tuple[str, int, int], Training] = {}
        for seed in self._terms.seeds:
            for budget in BUDGETS:
                for contender in self._able:
                    steps = (self._courses[contender.label].steps or {})[budget]
                    key = (contender.label, steps, seed)
                    others = found[key].budgets if key in found else ()
                    found[key] = Training(contender, steps, seed, (*others, budget))
        return list(found.values())

    def done(self) -> int:
        """How many of them have ended."""
        return sum(read_result(self.folder_of(each)) is not None for each in self.trainings())

    def folder_of(self, training: Training) -> RunFolder:
        return self._folder.run(training.contender.label, training.steps, training.seed)

    def run(self) -> int | None:
        """Trains until there is a result of everything; the signal that ended it early, if one
        did."""
        waiting = False
        with self._interrupts:
            while not self._stopped():
                ended, elsewhere = self._pass()
                if not elsewhere or self._stopped():
                    break
                if not ended:
                    if not waiting:
                        self._observer.on_compare(Waiting())
                    waiting = True
                    time.sleep(_POLL)
        return self._stopped()

    def _stopped(self) -> int | None:
        """The signal that came, if one did."""
        return self._signal or self._interrupts.signal

    def _pass(self) -> tuple[int, bool]:
        """Does what can be done: how much has ended here, and whether more runs elsewhere."""
        ended, elsewhere = 0, False
        for contender in self._able:
            if contender.label not in self.tuned and not self._stopped():
                self._tune(contender)
                elsewhere |= contender.label not in self.tuned
        for number, training in enumerate(self.trainings(), 1):
            tuned = self.tuned.get(training.contender.label)
            run = self.folder_of(training)
            if tuned is None or tuned.reason or self._stopped() or read_result(run):
                continue
            with contextlib.ExitStack() as stack:
                try:
                    stack.enter_context(run.locked())
                except UserError:
                    elsewhere = True
                    continue
                if read_result(run) is None:
                    self._train(training, tuned, run, number)
                    ended += 1
        return ended, elsewhere

    def _tune(self, contender: Contender) -> None:
        """Runs the trials that are left, and chooses where all have ended."""
        if not self._terms.vary:
            self._choose(contender, Tuned({}))
            return
        task, study, wanted = self._study(contender)
        watch = _OfTrials(contender.label, self._observer)
        if not any(record.state == FAILED for record in study.records()):
            try:
                self._signal = run_trials(task, study, wanted, watch)
            except Exception as error:  # of the cell, which the study has written down
                if is_of_the_place(error):
                    raise
        records = study.records()
        failed = [record.reason for record in records if record.state == FAILED]
        best = study.best()
        if failed:
            self._choose(contender, Tuned({}, records, failed[0]))
        elif not self._stopped() and not any(record.state == "running" for record in records):
            reason = "" if best else _no_trial(records)
            self._choose(contender, Tuned(best.settings if best else {}, records, reason))

    def _choose(self, contender: Contender, tuned: Tuned) -> None:
        self.tuned[contender.label] = tuned
        self._observer.on_compare(Chosen(contender.label, tuned.settings, tuned.reason))

    def _study(self, contender: Contender) -> tuple[Task, Study, int]:
        """The study of the cell at the width and in the steps of equal symbols."""
        course = self._courses[contender.label]
        return begin_sweep(
            self._terms.corpus,
            cell=contender.cell,
            cell_options=contender.options,
            optimizer_options=self._terms.optimizer_options,
            vary=self._terms.vary,
            settings=self._settings(course) | {"steps": (course.steps or {})[SYMBOLS]},
            trials=self._terms.trials,
            sampler="tpe",
            pruner="none",
            name=contender.label,
            folder=self._folder.path,
            registry=self._registry,
        )

    def _settings(self, course: Course) -> dict[str, Any]:
        own = {"hidden_size": course.hidden_size, "precision": course.precision}
        return {**self._terms.settings, **own}

    def _train(self, training: Training, tuned: Tuned, run: RunFolder, number: int) -> None:
        resumed = run.last.exists()
        label, seed = training.contender.label, training.seed
        self._observer.on_compare(
            RunBegun(label, seed, training.steps, training.budgets, number, resumed)
        )
        trainer = None
        try:
            setup = self._setup(training, tuned)
            trainer = Trainer(
                setup.corpus,
                runs.fresh_network(setup),
                setup.settings,
                setup.optimizer,
                run,
                self._observer,
            )
            if resumed:
                trainer.resume()
            else:
                run.forget_after(-1)  # what was killed before its first checkpoint
                run.write_description(runs.described(setup))
            result = self._result(trainer.run(), run)
        except DivergedError as error:
            result = {"state": DIVERGED, "reason": error.problem}
        except Exception as error:
            if is_of_the_place(error):
                raise
            result = {"state": FAILED, "reason": told(error)}
        if result is not None:
            write_result(run, result)
            self._observer.on_compare(RunEnded(label, seed, training.budgets, result))
        self._signal = trainer.interrupted if trainer else None

    def _setup(self, training: Training, tuned: Tuned) -> runs.Setup:
        settings = self._settings(self._courses[training.contender.label])
        settings, of_optimizer = split_optimizer({**settings, **tuned.settings})
        optimizer = runs.choose_optimizer(
            settings.get("optimizer"),
            {**self._terms.optimizer_options, **of_optimizer},
            self._registry,
        )
        counted = {"steps": training.steps, "seed": training.seed, "sample_every": NEVER}
        built = build_settings({**settings, **counted, "optimizer": optimizer.name})
        return runs.Setup(self._terms.corpus, training.contender.chosen, built, optimizer)

    def _result(self, trained: TrainedRun, run: RunFolder) -> dict[str, Any] | None:
        """What is written down of a training; None where it has not come to its end.

        The test text is read here, and nowhere else.
        """
        if trained.step < trained.plan.steps:
            return None
        corpus = self._terms.corpus
        evaluator = Evaluator(corpus.ids, corpus.spans("test"), corpus.vocabulary.boundary)
        test = evaluator.losses(trained.network)
        known = {
            "steps": trained.step,
            "symbols": trained.symbols,
            "seconds": round(trained.seconds, 2),
            "weights_of_step": trained.weights_of_step,
            "curve": [
                {name: line.get(name) for name in ("step", "symbols", "held_back", "validation")}
                for line in run.metrics()
                if "finished" not in line and ("validation" in line or "held_back" in line)
            ],
        }
        if not all(math.isfinite(loss["nats"]) for loss in test.values()):
            return {"state": DIVERGED, "reason": "The loss on the test text is no number.", **known}
        return {"state": COMPLETE, "test": test, "losses": trained.losses, **known}


class _OfTrials(CompareObserver):
    """Hands on what happens in the trials of one cell."""

    def __init__(self, label: str, observer: CompareObserver) -> None:
        self._label, self._observer = label, observer

    def on(self, event: Event) -> None:
        self._observer.on(event)

    def on_sweep(self, event: SweepEvent) -> None:
        if isinstance(event, (TrialBegun, TrialEnded)):
            self._observer.on_compare(OfTrial(self._label, event))


def _no_trial(records: Sequence[TrialRecord]) -> str:
    reasons = [record.reason for record in records if record.reason]
    return f"No trial came to its end. {reasons[-1]}" if reasons else "No trial came to its end."
