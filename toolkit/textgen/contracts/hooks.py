"""What a plugin module looks like.

    from textgen.contracts.hooks import hookimpl

    TEXTGEN_CONTRACT = 1

    @hookimpl
    def textgen_cells():
        return {"mgu": MGU}

and in its pyproject.toml, once for each name it promises:

    [project.entry-points."textgen.cells"]
    mgu = "textgen_mgu"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    import click

    from textgen.contracts.cell import Cell
    from textgen.contracts.optimizer import Optimizer
    from textgen.contracts.reader import Reader
    from textgen.contracts.sampler import Sampler
    from textgen.contracts.tokenizer import Tokenizer
    from textgen.contracts.tracker import Tracker

CONTRACT = 1
"""The version of the contracts; a plugin names the one it was written for."""

PROJECT = "textgen"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True)
class Kind:
    """A kind of plugin: its word, its entry-point group, its hook."""

    word: str
    plural: str

    @property
    def group(self) -> str:
        return f"textgen.{self.plural}"

    @property
    def hook(self) -> str:
        return f"textgen_{self.plural}"


KINDS: Mapping[str, Kind] = {
    word: Kind(word, plural)
    for word, plural in {
        "cell": "cells",
        "reader": "readers",
        "tokenizer": "tokenizers",
        "sampler": "samplers",
        "optimizer": "optimizers",
        "tracker": "trackers",
        "command": "commands",
        "corpus": "corpora",
    }.items()
}

NEED_TORCH = ("cell", "optimizer")
"""Kinds that train, and may import torch; what runs a model needs none of them."""


@hookspec
def textgen_cells() -> Mapping[str, type[Cell]]:
    """Cells by name."""


@hookspec
def textgen_readers() -> Mapping[str, type[Reader]]:
    """Corpus readers by name."""


@hookspec
def textgen_tokenizers() -> Mapping[str, type[Tokenizer]]:
    """Tokenizers by name."""


@hookspec
def textgen_samplers() -> Mapping[str, type[Sampler]]:
    """Samplers by name."""


@hookspec
def textgen_optimizers() -> Mapping[str, type[Optimizer]]:
    """Optimizers by name."""


@hookspec
def textgen_trackers() -> Mapping[str, type[Tracker]]:
    """Trackers by name."""


@hookspec
def textgen_commands() -> Mapping[str, click.Command]:
    """Commands by name: ``textgen NAME`` runs them."""


@hookspec
def textgen_corpora() -> Mapping[str, Traversable]:
    """Corpus recipes by name: where each .toml lies."""


def described(plugin: Any) -> str:
    """The first line of a plugin's docstring."""
    return (plugin.__doc__ or "").strip().partition("\n")[0]
