"""A sweep as a whole: what it varies, its study joined or begun, its trials and what they found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textgen import runs
from textgen.contracts.cell import Cell
from textgen.contracts.errors import UserError, unknown_name
from textgen.corpus.packed import PackedCorpus
from textgen.experiments.space import (
    OWN,
    PRUNERS,
    SAMPLERS,
    STEPS,
    TRIALS,
    Varied,
    read_space,
    split_cell,
    split_optimizer,
)
from textgen.experiments.study import SWEEPS, Study, TrialRecord
from textgen.experiments.trials import SweepObserver, Task, require_held_back, run_trials
from textgen.registry import Registry
from textgen.training.device import choose_device
from textgen.training.run_folder import base_name, check_name
from textgen.training.settings import BUDGETS, build_settings


@dataclass(frozen=True)
class Sweep:
    """What a sweep has found so far."""

    folder: Path
    trials: Sequence[TrialRecord]
    """All of the study, those of other processes too: the complete ones first, by their loss."""
    best: TrialRecord | None
    """None where no trial came to its end yet."""
    settings: Mapping[str, Any]
    """The best trial's, and those that were fixed, the budget too: what ``textgen.train`` takes."""
    cell_options: Mapping[str, Any]
    """The same of the cell."""
    optimizer_options: Mapping[str, Any]
    """The same of the optimizer."""
    space: Sequence[Varied]
    interrupted: int | None
    """The signal that ended it early, if one did."""

    @property
    def picture(self) -> Path:
        """The SVG file that shows the trials."""
        return self.folder / "sweep.svg"


def sweep_corpus(
    corpus: PackedCorpus,
    *,
    cell: str | type[Cell],
    cell_options: Mapping[str, Any],
    optimizer_options: Mapping[str, Any],
    vary: Mapping[str, str | Sequence[Any]],
    settings: Mapping[str, Any],
    trials: int | None,
    sampler: str,
    pruner: str,
    name: str | None,
    folder: Path,
    observer: SweepObserver | None,
    registry: Registry,
) -> Sweep:
    """Runs trials of a new or joined study until it has ``trials`` of them; see ``api.sweep``."""
    task, study, wanted = begin_sweep(
        corpus,
        cell=cell,
        cell_options=cell_options,
        optimizer_options=optimizer_options,
        vary=vary,
        settings=settings,
        trials=trials,
        sampler=sampler,
        pruner=pruner,
        name=name,
        folder=folder,
        registry=registry,
    )
    interrupted = run_trials(task, study, wanted, observer)
    best = study.best()
    found, options = split_cell(best.settings if best else {})
    found, of_optimizer = split_optimizer(found)
    return Sweep(
        folder=study.folder,
        trials=study.records(),
        best=best,
        settings={**task.settings, **found},
        cell_options={**cell_options, **options},
        optimizer_options={**optimizer_options, **of_optimizer},
        space=task.space,
        interrupted=interrupted,
    )


def begin_sweep(
    corpus: PackedCorpus,
    *,
    cell: str | type[Cell],
    cell_options: Mapping[str, Any],
    optimizer_options: Mapping[str, Any],
    vary: Mapping[str, str | Sequence[Any]],
    settings: Mapping[str, Any],
    trials: int | None,
    sampler: str,
    pruner: str,
    name: str | None,
    folder: Path,
    registry: Registry,
) -> tuple[Task, Study, int]:
    """What is tried, the new or joined study, and how many trials it shall have; none is run."""
    for kind, given, known in (("sampler", sampler, SAMPLERS), ("pruner", pruner, PRUNERS)):
        if given not in known:
            raise unknown_name(f"{kind} of sweeps", given, known)
    if own := settings.keys() & set(OWN):
        raise UserError(f"A sweep decides {', '.join(sorted(own))} itself.", "Leave it out.")
    chosen = runs.choose_cell(cell, cell_options, registry)
    usual = runs.choose_optimizer(settings.get("optimizer"), optimizer_options, registry)
    fixed = [
        *settings,
        *(f"cell.{name}" for name in cell_options),
        *(f"optimizer.{name}" for name in optimizer_options),
    ]
    space = read_space(vary, chosen.cell_class.Options, fixed, usual.plugin.Options)
    for name in [name for v in space if v.name == "optimizer" for name in v.values]:
        registry.find("optimizer", name)
    if not any(budget in settings for budget in BUDGETS):
        settings = {**settings, "steps": STEPS}
    task = Task(corpus, cell, cell_options, optimizer_options, settings, space, registry)
    described = task.describe(sampler, pruner)
    choose_device(build_settings(settings).device)
    require_held_back(corpus)
    if name is not None:
        check_name(name, "sweep")
    study = Study(
        folder / SWEEPS / (name or base_name(corpus.name, chosen.name)),
        described,
        space,
        sampler=sampler,
        pruner=pruner,
        seed=build_settings(settings).seed,
        first=task.usual(),
    )
    most = len(study.combinations)
    wanted = trials or (most if sampler == "grid" else TRIALS)
    return task, study, min(wanted, most or wanted)
