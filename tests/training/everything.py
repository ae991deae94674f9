"""Settings with all that helps learning switched on, and trainings without an export."""

from __future__ import annotations

from textgen import runs
from textgen.registry import discover
from textgen.training.observer import Observer
from textgen.training.ranks import ALONE
from textgen.training.run_folder import RunFolder
from textgen.training.settings import build_settings
from textgen.training.trainer import Trainer

SMALL = {"hidden_size": 12, "batch_size": 4, "sequence_length": 12, "precision": "float32"}

EVERYTHING = {
    **SMALL,
    "embedding_size": 12,
    "layers": 2,
    "connection": "highway",
    "layer_norm": True,
    "tie_weights": True,
    "dropout": 0.2,
    "locked_dropout": True,
    "input_dropout": 0.1,
    "embedding_dropout": 0.1,
    "weight_drop": 0.2,
    "zoneout": 0.1,
    "activation_penalty": 2.0,
    "slowness_penalty": 1.0,
    "label_smoothing": 0.05,
    "sequence_jitter": 0.2,
    "average": 0.95,
    "reset_probability": 0.1,
}


def setup_of(corpus, cell, **settings):
    registry = discover()
    own = settings.pop("optimizer_options", {})
    optimizer = runs.choose_optimizer(settings.pop("optimizer", None), own, registry)
    built = build_settings({**settings, "optimizer": optimizer.name})
    return runs.Setup(corpus, runs.choose_cell(cell, {}, registry), built, optimizer)


def trainer_of(corpus, cell, folder, observer=None, ranks=ALONE, began=None, **settings):
    setup = setup_of(corpus, cell, **settings)
    network = runs.fresh_network(setup)
    run = RunFolder(folder)
    return Trainer(
        corpus, network, setup.settings, setup.optimizer, run, observer or Observer(), ranks, began
    )
