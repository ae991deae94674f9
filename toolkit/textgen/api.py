"""What ``import textgen`` offers: the whole road, one function a stretch of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from textgen.contracts.errors import UserError
from textgen.registry import Registry, discover

if TYPE_CHECKING:
    from textgen.runtime.model import Model

DEFAULT_CORPUS = "shakespeare"
OFFLINE_CORPUS = "python-docs"
"""What is trained on where the default corpus cannot be fetched."""


def load(
    path: str | Path,
    *,
    provider: str = "auto",
    threads: int | None = None,
    registry: Registry | None = None,
) -> Model:
    """The model in the file ``path``, ready to generate and score.

    ``provider`` is ``auto``, ``cpu`` or ``cuda``. Raises UserError where the file is missing,
    damaged or not one of ours, TextgenError where the provider cannot run.
    """
    from textgen import model_file
    from textgen.runtime.model import Model

    registry = registry or discover()
    file = model_file.read(Path(path))
    return Model(
        file,
        _tokenizer_of(file.info, registry),
        lambda name: registry.load("sampler", name),
        provider=provider,
        threads=threads,
    )


def _tokenizer_of(info: Any, registry: Registry) -> Any:
    """The model's own tokenizer where its plugin is installed, else None."""
    try:
        plugin = registry.load("tokenizer", info.tokenizer)
    except UserError:
        return None
    return plugin.from_json(info.vocabulary, info.tokenizer_data)
