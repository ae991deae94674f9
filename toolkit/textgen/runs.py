"""A run as a whole: what it trains, trained to its end, and the model file it leaves."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from textgen import sources
from textgen.chosen import Chosen, choose, choose_again, still_there
from textgen.contracts.cell import Cell
from textgen.contracts.errors import UserError
from textgen.contracts.optimizer import Optimizer
from textgen.contracts.options import options_dict
from textgen.corpus.packed import PackedCorpus
from textgen.entries import DISTRIBUTION
from textgen.registry import Registry
from textgen.training.grafting import Scion, graft
from textgen.training.network import Network, build_network
from textgen.training.observer import Sampled
from textgen.training.rehearsal import rehearse
from textgen.training.run_folder import RunFolder
from textgen.training.settings import Settings, build_settings, settings_dict

_FORMAT = 3
_SETTINGS_OF_FORMAT_1 = {"hold_back": False}
"""Runs of the first format learnt from all of the training text."""

_OPTIMIZERS_OF_FORMAT_2 = {
    "adamw": {"beta1": "beta1", "beta2": "beta2", "weight_decay": "weight_decay"},
    "rmsprop": {"alpha": "beta2", "momentum": "momentum", "weight_decay": "weight_decay"},
    "adagrad": {"weight_decay": "weight_decay"},
    "sgd": {"momentum": "momentum", "weight_decay": "weight_decay"},
}
"""Up to the second format the options of all optimizers were settings: their names there."""


@dataclass(frozen=True)
class Run:
    """A training that has ended."""

    folder: Path
    model: Path
    """Its model file; ``exported/model.onnx`` is a copy of the newest."""
    losses: Mapping[str, Any]
    """Each with nats, bits and symbols: ``cold`` and ``carried`` on the validation text, and what
    ``Judge.losses`` adds to them."""
    metrics: Sequence[Mapping[str, Any]]
    samples: Sequence[Sampled]
    steps: int
    symbols: int
    """Symbols seen, repeats counted."""
    seconds: float
    interrupted: int | None
    """The signal that ended it early, if one did."""


@dataclass(frozen=True)
class ChosenCell:
    """A cell class with its options, and where it comes from, for the record."""

    name: str
    cell_class: type[Cell]
    options: Any
    origin: Mapping[str, Any]


@dataclass(frozen=True)
class Setup:
    """What a run trains: the same again where it is resumed or exported."""

    corpus: PackedCorpus
    cell: ChosenCell
    settings: Settings
    optimizer: Chosen[Optimizer]
    begun_from: str = ""
    """Base name of the run or file whose weights it began from, if it did."""


def choose_cell(
    cell: str | type[Cell], options: Mapping[str, Any], registry: Registry
) -> ChosenCell:
    """The cell of a plugin's name, or a class of one's own. Raises UserError for a wrong option."""
    return _as_cell(choose("cell", cell, options, registry))


def _as_cell(chosen: Chosen[Cell]) -> ChosenCell:
    return ChosenCell(chosen.name, chosen.plugin, chosen.options, chosen.origin)


def choose_optimizer(
    optimizer: str | type[Optimizer] | None, options: Mapping[str, Any], registry: Registry
) -> Chosen[Optimizer]:
    """The same of an optimizer, the usual one where none is named."""
    return choose("optimizer", optimizer or Settings.optimizer, options, registry)


def described(setup: Setup) -> dict[str, Any]:
    """What is written down in a run's folder of what it trains."""
    corpus, cell = setup.corpus, setup.cell
    return {
        "format": _FORMAT,
        "cell": {"name": cell.name, "options": options_dict(cell.options), **cell.origin},
        "corpus": {
            "name": corpus.name,
            "sha256": corpus.sha256,
            "licence": corpus.licence,
            "packed": corpus.folder.name,
            "tokenizer": corpus.tokenizer_name,
            "tokenizer_distribution": corpus.tokenizer_distribution,
            **made_as(corpus),
        },
        "optimizer": setup.optimizer.described(),
        "settings": settings_dict(setup.settings),
        "begun_from": setup.begun_from,
    }


def read_setup(run: RunFolder, corpus: PackedCorpus | None, registry: Registry) -> Setup:
    """What a run was trained with. Raises UserError where the corpus or a plugin is gone."""
    described = _of_this_format(run.description())
    about, packed = described["corpus"], corpus
    if packed is None:
        with still_there(about.get("tokenizer_distribution", ""), registry):
            tokenizer = registry.load("tokenizer", about["tokenizer"])
        packed = sources.reopen(about["packed"], tokenizer)
    made = made_as(packed) if packed else {}
    other = [what for what, value in made.items() if about.get(what, value) != value]
    if packed is None:
        raise UserError(
            f"The corpus {about['name']} of the run {run.name} is no longer in the cache.",
            f"Give it again: textgen train CORPUS --resume {run.name}",
        )
    # what is replaced or cut otherwise is another text too, and this says why
    why = {"replace", "documents"} & set(other) if packed.name == about["name"] else ()
    if packed.sha256 != about["sha256"] and not why:
        raise UserError(
            f"The corpus {about['name']} of the run {run.name} is another text.",
            "Give the text that it began with, or begin a new run without --resume.",
        )
    if other:
        raise UserError(
            f"The corpus was given with {_OTHER[other[0]]} than the run {run.name} began with.",
            f"Give it with the same: {_as_typed(other[0], about)}",
        )
    return Setup(
        packed,
        _as_cell(choose_again("cell", described["cell"], registry)),
        build_settings(described["settings"]),
        choose_again("optimizer", described["optimizer"], registry),
        described.get("begun_from", ""),
    )


def _of_this_format(described: Mapping[str, Any]) -> dict[str, Any]:
    """A run's description as it would be written today."""
    settings, optimizer = dict(described["settings"]), described.get("optimizer")
    if described["format"] == 1:
        settings = {**_SETTINGS_OF_FORMAT_1, **settings}
    if described["format"] <= 2:
        name = settings.get("optimizer", Settings.optimizer)
        names = _OPTIMIZERS_OF_FORMAT_2.get(name, {})
        options = {option: settings[old] for option, old in names.items() if old in settings}
        options.setdefault("weight_decay", 0.0)  # which AdamW did not have by itself
        optimizer = {"name": name, "options": options, "distribution": DISTRIBUTION}
        for old in ("beta1", "beta2", "momentum", "weight_decay"):
            settings.pop(old, None)
    return {**described, "settings": settings, "optimizer": optimizer}


def made_as(corpus: PackedCorpus) -> dict[str, Any]:
    """What beside its text decides what a network learns from a corpus."""
    symbols = hashlib.sha256(b"".join(repr(s).encode() for s in corpus.vocabulary.symbols))
    return {
        "replace": [f"{pattern}={text}" for pattern, text in corpus.replacements],
        "documents": corpus.documents,
        "split": dict(corpus.split),
        "vocabulary": symbols.hexdigest()[:16],
    }


_OTHER = {
    "replace": "another --replace",
    "documents": "other --documents",
    "split": "another split",
    "vocabulary": "other symbols",
}


def _as_typed(part: str, about: Mapping[str, Any]) -> str:
    """What a description says that ``made_as`` told, as options of the command line."""
    value = about[part]
    if part == "replace":
        return " ".join(f"--replace {shlex.quote(rule)}" for rule in value) or "no --replace"
    if part == "documents":
        return f"--documents {shlex.quote(value)}"
    if part == "split":
        sizes = "/".join(f"{size:g}" for size in value["sizes"])
        return f"--split {value['kind']} --split-sizes {sizes} --split-seed {value['seed']}"
    return f"--tokenizer {about['tokenizer']}, with its options"


def moved(setup: Setup, device: str | None, precision: str | None) -> Setup:
    """The same on another device or in another precision, where one is given."""
    given = {"device": device, "precision": precision}
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(setup, settings=build_settings(settings_dict(setup.settings) | changes))


def fresh_network(setup: Setup, scion: Scion | None = None) -> Network:
    """The network before its first step, with weights of its own or a scion's; torch's generator
    stands where the seed puts it.

    Raises UserError for settings that no network of this cell can have, PluginError where the cell
    does not return what cells return.
    """
    torch.manual_seed(setup.settings.seed)
    cell, vocabulary = setup.cell, setup.corpus.vocabulary

    def build(size: int) -> Network:
        return build_network(size, cell.cell_class, cell.options, setup.settings)

    network = build(vocabulary.size) if scion is None else graft(scion, vocabulary, build)
    rehearse(network)
    return network
