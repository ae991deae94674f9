"""A comparison as a whole: cells of equal size under equal terms, in equal symbols and equal
time."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from textgen import runs
from textgen.chosen import Chosen
from textgen.contracts.cell import Cell
from textgen.contracts.errors import UserError
from textgen.contracts.optimizer import Optimizer
from textgen.contracts.options import NoOptions
from textgen.corpus.packed import PackedCorpus
from textgen.experiments.compare_events import CompareObserver, Measuring, Opened
from textgen.experiments.comparison_folder import COMPARISONS, ComparisonFolder
from textgen.experiments.contenders import Contender, Course, plan_courses, read_contenders
from textgen.experiments.contest import Contest, Terms
from textgen.experiments.findings import findings
from textgen.experiments.space import DEFAULT_SPACE, OWN, STEPS, read_space
from textgen.experiments.trials import require_held_back
from textgen.experiments.usual import LEAST_SEEDS, SEEDS, VARIED
from textgen.registry import Registry
from textgen.runs import made_as
from textgen.split_scoring import split_ranges
from textgen.training.device import choose_device
from textgen.training.ranks import launched
from textgen.training.run_folder import base_name, check_name
from textgen.training.settings import build_settings, settings_dict

_AMOUNTS = ("steps", "epochs", "tokens")
_SHAPE = {
    "hidden_size", "layers", "embedding_size", "connection", "layer_norm", "tie_weights",
    "batch_size", "sequence_length", "sequence_jitter",
}  # fmt: skip
"""What decides parameters, or how many symbols a step shows: it is the same for all cells."""


@dataclass(frozen=True)
class Comparison:
    """What a comparison has found so far."""

    folder: Path
    found: Mapping[str, Any]
    """All of it, as ``results.json`` has it; see ``experiments.findings``."""
    interrupted: int | None
    """The signal that ended it early, if one did."""

    @property
    def sentences(self) -> Sequence[str]:
        """What one may write of it."""
        told: Sequence[str] = self.found["sentences"]
        return told


def compare_corpus(
    corpus: PackedCorpus,
    *,
    cells: Sequence[str | type[Cell]],
    cell_options: Mapping[str, Mapping[str, Any]],
    vary: Mapping[str, str | Sequence[Any]],
    settings: Mapping[str, Any],
    optimizer_options: Mapping[str, Any],
    parameters: int | None,
    trials: int,
    seeds: int,
    name: str | None,
    folder: Path,
    observer: CompareObserver | None,
    registry: Registry,
) -> Comparison:
    """Trains what is left of a new or joined comparison; see ``api.compare``."""
    if parameters is not None and "hidden_size" in settings:
        raise UserError(
            "Both the number of parameters and the width of a layer were given.",
            "Leave out --hidden-size: each cell gets the width of so many parameters.",
        )
    settings, budgets = _split_budgets(settings)
    contenders = read_contenders(cells, cell_options, registry)
    optimizer = runs.choose_optimizer(settings.get("optimizer"), optimizer_options, registry)
    terms = _terms(corpus, settings, optimizer_options, optimizer, vary, trials, seeds)
    if name is not None:
        check_name(name, "comparison")
    labels = [contender.label for contender in contenders]
    place = folder / COMPARISONS / (name or base_name(corpus.name, "-".join(labels)))
    device = choose_device(build_settings(settings).device)
    observer = observer or CompareObserver()

    def plan() -> dict[str, Any]:
        observer.on_compare(Measuring())
        courses, seconds = plan_courses(
            contenders, corpus, settings, optimizer, budgets, parameters
        )
        return {
            "parameters": parameters or courses[0].parameters,
            "seconds": seconds,
            "machine": _machine(device),
            "courses": [asdict(course) for course in courses],
        }

    opened = ComparisonFolder(place)
    described = _described(terms, contenders, optimizer, budgets, parameters, device)
    planned, joined = opened.open(described, plan)
    courses = {values["label"]: Course(**values) for values in planned["courses"]}
    contest = Contest(opened, contenders, courses, terms, registry, observer)
    observer.on_compare(
        Opened(
            name=place.name,
            joined=joined,
            courses=list(courses.values()),
            target=planned["parameters"],
            seconds=planned["seconds"],
            trials=terms.trials,
            runs=len(contest.trainings()),
            done=contest.done(),
        )
    )
    interrupted = contest.run()
    found = findings(place.name, contest, contenders, courses, terms, planned)
    return Comparison(place, found, interrupted)


def _split_budgets(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
    """The settings without budgets, and the budgets: what is equal in symbols, and perhaps minutes.

    Raises UserError for settings that a comparison decides itself.
    """
    if own := given.keys() & set(OWN):
        raise UserError(f"A comparison decides {', '.join(sorted(own))} itself.", "Leave it out.")
    if given.get("tie_weights"):
        raise UserError(
            "Tied weights need an embedding as wide as the layers, whose width is solved for here.",
            "Leave out --tie-weights.",
        )
    if launched():
        raise UserError(
            "A comparison trains each network in one process.", "Start it without torchrun."
        )
    amounts = {kind: given[kind] for kind in _AMOUNTS if kind in given} or {"steps": STEPS}
    if len(amounts) > 1:
        flags = " and ".join(f"--{kind}" for kind in amounts)
        raise UserError(f"{flags} were given together.", "Give one of them, and perhaps --minutes.")
    settings = {"precision": "float32"} | {
        kind: value for kind, value in given.items() if kind not in (*_AMOUNTS, "minutes")
    }
    build_settings({**settings, **amounts})
    minutes = {"minutes": given["minutes"]} if "minutes" in given else {}
    build_settings({**settings, **minutes})
    return settings, {**amounts, **minutes}


def _terms(
    corpus: PackedCorpus,
    settings: Mapping[str, Any],
    optimizer_options: Mapping[str, Any],
    optimizer: Chosen[Optimizer],
    vary: Mapping[str, str | Sequence[Any]],
    trials: int,
    seeds: int,
) -> Terms:
    """What holds for all. Raises UserError for what cannot be, or would not be fair."""
    if seeds < LEAST_SEEDS:
        raise UserError(
            f"{seeds} seeds tell nothing of chance.",
            f"Give {LEAST_SEEDS} at least; {SEEDS} is usual.",
        )
    if trials < 1:
        raise UserError("A cell's settings need one trial at least.", "Give --trials 1 or more.")
    names = [word.replace("-", "_") for word in vary]
    for varied in names:
        if varied in _SHAPE or varied.startswith("cell."):
            raise UserError(
                f"{varied} cannot be varied: sizes are equal here, and so is what a step shows.",
                f"Vary others, such as {' and '.join(VARIED)}.",
            )
    given = dict(vary) or {n: DEFAULT_SPACE[n] for n in VARIED if n not in settings}
    if given:
        fixed = [*settings, *(f"optimizer.{name}" for name in optimizer_options)]
        space = read_space(given, NoOptions, fixed, optimizer.plugin.Options)
        given = {varied.name: varied.values or varied.typed().partition("=")[2] for varied in space}
    built = build_settings(settings)
    corpus.require(built.sequence_length)
    require_held_back(corpus)
    split_ranges(corpus, "test")
    first = built.seed + 1  # the trials have the seed itself
    counted = range(first, first + seeds)
    build_settings({**settings, "seed": counted[-1]})
    return Terms(corpus, settings, optimizer_options, given, trials if given else 0, counted)


def _described(
    terms: Terms,
    contenders: Sequence[Contender],
    optimizer: Chosen[Optimizer],
    budgets: Mapping[str, float],
    parameters: int | None,
    device: torch.device,
) -> dict[str, Any]:
    """What everyone who joins must have in common, as JSON values."""
    corpus, built = terms.corpus, build_settings(terms.settings)
    return {
        "format": 1,
        "corpus": {"name": corpus.name, "sha256": corpus.sha256, **made_as(corpus)},
        "cells": [contender.described() for contender in contenders],
        "optimizer": optimizer.described(),
        "budgets": dict(budgets),
        "parameters": parameters,
        "vary": {n: w if isinstance(w, str) else list(w) for n, w in terms.vary.items()},
        "trials": terms.trials,
        "seeds": len(terms.seeds),
        "device": device.type,
        "settings": {
            name: value
            for name, value in settings_dict(built).items()
            if name not in {"device", *OWN, *terms.vary}
        },
    }


def _machine(device: torch.device) -> dict[str, str]:
    """Where speed is measured; no name of a host, a user or a folder."""
    found = {
        "device": device.type,
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "CPU": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
    }
    if device.type == "cuda":
        found["GPU"] = torch.cuda.get_device_name(device)
    return found
