"""The model file that a run leaves, and what it tells of the run."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from textgen import shelf, template
from textgen.corpus.packed import PackedCorpus
from textgen.corpus.splitting import SPLITS
from textgen.export.exporter import describe, export
from textgen.export.int8_file import export_int8
from textgen.known_texts import LARGEST, KnownTexts
from textgen.model_file import ModelInfo
from textgen.runs import Run, Setup, fresh_network
from textgen.storage import copy
from textgen.training.checkpoint import load_weights
from textgen.training.evaluation import Evaluator
from textgen.training.network import Network
from textgen.training.run_folder import RunFolder
from textgen.training.settings import settings_dict
from textgen.training.trainer import TrainedRun

_INT8_SYMBOLS = 100_000
"""Symbols of the validation text by which int8 is measured."""


def finish_run(
    run: RunFolder, setup: Setup, trained: TrainedRun, folder: Path, *, export_it: bool
) -> Run:
    """Exports the weights that are kept, with ``export_it``; the run that has ended."""
    path = folder / shelf.EXPORTED / f"{run.name}.onnx"
    if export_it:
        info = _describe(run, setup, trained.network, trained.losses, _summary(trained))
        export(trained.network, info, path)
        copy(path, path.parent / shelf.NEWEST)
    return Run(
        folder=run.path,
        model=path,
        losses=trained.losses,
        metrics=run.metrics(),
        samples=trained.samples,
        steps=trained.step,
        symbols=trained.symbols,
        seconds=trained.seconds,
        interrupted=trained.interrupted,
    )


def export_best(run: RunFolder, setup: Setup, path: Path, *, bits: int = 32) -> None:
    """Makes a model file from the run's best weights so far, also while it is training.

    With 8 or 4 ``bits`` its weights are whole numbers, and its losses tell what that costs.
    """
    corpus, network = setup.corpus, fresh_network(setup)
    values = load_weights(network, run.weights)
    # the first format chose by the validation text, and did not say so
    chosen_by = values.get("chosen_by", "validation") if run.weights == run.best else ""
    evaluator = _evaluator(corpus)
    losses = evaluator.losses(network) if evaluator.symbols else {}
    summary = {"weights_of_step": values["step"], "chosen_by": chosen_by}
    info = _describe(run, setup, network, losses, summary)
    if bits < 32:
        export_int8(network, info, path, evaluator.windows(_INT8_SYMBOLS), bits=bits)
    else:
        export(network, info, path)


def _describe(
    run: RunFolder,
    setup: Setup,
    network: Network,
    losses: Mapping[str, Any],
    summary: Mapping[str, Any],
) -> ModelInfo:
    info = describe(
        network,
        setup.corpus,
        cell=setup.cell.name,
        cell_distribution=setup.cell.origin["distribution"],
        cell_options=setup.cell.options,
        losses=losses,
        training={
            **summary,
            "run": run.name,
            "begun_from": setup.begun_from,
            "optimizer": setup.optimizer.described(),
            "settings": settings_dict(setup.settings),
        },
    )
    evaluator = _evaluator(setup.corpus)
    if not info.ends:
        return info
    info = replace(info, **_documents(setup.corpus))
    return replace(info, percentiles=evaluator.percentiles(network)) if evaluator.symbols else info


def _documents(corpus: PackedCorpus) -> dict[str, Any]:
    """What a model of records knows of those it was trained on: a filter, and fields' values."""
    count = sum(len(corpus.spans(split)) for split in SPLITS)
    known = KnownTexts.of(corpus.texts(), count).to_json() if count <= LARGEST else None
    symbols, described = corpus.vocabulary.symbols, corpus.template
    texts = (
        b"".join(symbols[i] for i in ids.tolist()).decode("utf-8", "replace")
        for ids in itertools.islice(corpus.texts(), LARGEST)
    )
    fields = template.values(described, texts) if described else {}
    return {"known": known, "template": described, "fields": fields}


def _evaluator(corpus: PackedCorpus) -> Evaluator:
    return Evaluator(corpus.ids, corpus.spans("validation"), corpus.vocabulary.boundary)


def _summary(trained: TrainedRun) -> dict[str, Any]:
    return {
        "steps": trained.step,
        "symbols": trained.symbols,
        "seconds": round(trained.seconds, 1),
        "precision": trained.plan.precision,
        "device": trained.plan.device.partition(":")[0],
        "weights_of_step": trained.weights_of_step,
        "chosen_by": trained.chosen_by,
    }
