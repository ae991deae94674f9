"""How well a model predicts a split of the corpus that it was trained on.

The corpus is read and split again as the model file says, so the figures are of the same text as
those told by the training. Beside this, only the runs of a comparison read the test split.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from textgen import sources
from textgen.chosen import still_there
from textgen.contracts.errors import UserError
from textgen.corpus.packed import PackedCorpus
from textgen.corpus.ranges import Range, context, target_ranges, windows
from textgen.losses import Loss
from textgen.model_file import ModelInfo
from textgen.registry import Registry
from textgen.runtime.model import Model

LIMIT = 1 << 20
"""Symbols of a split that count, as in training."""

_TOGETHER = 1 << 18
"""Symbols that are read side by side."""


def open_as_trained(
    corpus: str, info: ModelInfo, registry: Registry, **options: Any
) -> PackedCorpus:
    """The corpus, read and split as the model's was.

    ``options`` are those of ``sources.open_corpus`` that no model file tells: the reader and its
    options. Raises UserError where it is not the text that the model was trained on.
    """
    distribution = info.tokenizer_distribution
    with still_there(distribution, registry):
        if distribution:  # another may have a tokenizer of the same name
            registry.find("tokenizer", f"{distribution}:{info.tokenizer}")
        packed = sources.open_corpus(
            corpus,
            registry,
            tokenizer=info.tokenizer,
            tokenizer_options=info.tokenizer_options,
            documents=info.documents,
            split=info.split["kind"],
            split_sizes=tuple(info.split["sizes"]),
            split_seed=info.split["seed"],
            replace=info.replacements,
            **options,
        )
    same_text = packed.sha256 == info.corpus.get("sha256")
    if not same_text or packed.vocabulary.symbols != info.vocabulary.symbols:
        raise UserError(
            f"{packed.name} is not the text that the model was trained on, or is read otherwise.",
            f"Give {info.corpus.get('name', 'the corpus')} as it was then, with the same reader.",
        )
    return packed


def split_ranges(packed: PackedCorpus, split: str) -> list[Range]:
    """What is to be predicted in the split. Raises UserError where that is nothing."""
    boundary = packed.vocabulary.boundary
    ranges = list(target_ranges(packed.ids, packed.spans(split), boundary, limit=LIMIT))
    if not ranges:
        sizes = "/".join(f"{size:g}" for size in packed.split["sizes"])
        raise UserError(
            f"The {split} split of {packed.name} is empty: it was split {sizes}.",
            "Score another split, or train with other --split-sizes.",
        )
    return ranges


def score_split(model: Model, packed: PackedCorpus, ranges: list[Range]) -> dict[str, Loss]:
    """``cold`` windows and documents ``carried`` from their beginnings, as training tells them; of
    a list also ``unclosed``, which is carried without the boundaries that close its texts."""
    boundary = packed.vocabulary.boundary
    cold, whole, inner = _Sum(model), _Sum(model), _Sum(model)
    for ids, nats in _read(model, packed, windows(ranges)):
        cold.add(ids, nats)
    for ids, nats in _read(model, packed, ranges):
        whole.add(ids, nats)
        end = len(ids) - int(ids[-1] == boundary)
        inner.add(ids[:end], nats[:end])
    losses = {"cold": cold.mean(), "carried": whole.mean()}
    return losses | ({"unclosed": inner.mean()} if inner.symbols < whole.symbols else {})


class _Sum:
    """What has been predicted so far, and what it cost."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._nats = 0.0
        self._characters = 0
        self.symbols = 0

    def add(self, ids: np.ndarray, nats: np.ndarray) -> None:
        self._nats += float(nats.sum(dtype=np.float64))
        self._characters += self._model.characters(ids)
        self.symbols += len(ids)

    def mean(self) -> Loss:
        return Loss(self._nats / max(1, self.symbols), self.symbols, self._characters)


def _read(
    model: Model, packed: PackedCorpus, ranges: list[Range]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The ids of each range, and the nats that each of them costs."""
    for group in _groups(ranges):
        firsts = [context(packed.ids, start, packed.vocabulary.boundary) for start, _ in group]
        texts = [
            packed.ids[first:end].astype(np.int64)
            for first, (_, end) in zip(firsts, group, strict=True)
        ]
        for first, (start, end), found in zip(firsts, group, model.score_ids(texts), strict=True):
            yield packed.ids[start:end], found[start - first :]


def _groups(ranges: list[Range]) -> Iterator[list[Range]]:
    group: list[Range] = []
    held = 0
    for start, end in ranges:
        group.append((start, end))
        held += end - start
        if held >= _TOGETHER:
            yield group
            group, held = [], 0
    yield group
