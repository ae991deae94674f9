"""Hugging Face datasets: of the Hub, of a folder, or saved to disk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textgen.contracts.errors import UserError
from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.reader import Document, Reader
from textgen_datasets.rows import BATCH_ROWS, RowOptions, choose_texts

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset

TEXTGEN_CONTRACT = 1

_SCHEME = "hf://"
_SPLIT = re.compile(r"(.+?):([\w.+-]+(?:\[[^\[\]]*\])?)")
"""A name, and a split such as ``train`` or ``train[:20%]``."""
_SAVED = ("dataset_dict.json", "state.json")
"""What ``save_to_disk`` leaves in a folder of splits, and in that of one."""

_HELD_OUT = {
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    "test": "test",
}


@dataclass(frozen=True)
class HubOptions(RowOptions):
    config: str = option("", "which of the dataset's configurations; empty: the only one")
    revision: str = option("", "branch, tag or commit on the Hub; empty: the newest")


class Hub(Reader):
    """Hugging Face datasets: ``hf://owner/name/config:split``, ``hf://./folder``.

    Config and split may be left out. What it is is what `datasets` finds by that name: one of the
    Hub, a folder of data files, or what ``save_to_disk`` has saved. It is fetched once, into the
    cache of `datasets`, and read from there by batches. Where a dataset has parts for validation
    and test they are kept as such.
    """

    Options = HubOptions
    schemes = ("hf",)
    records = True
    options: HubOptions

    def documents(self) -> Iterator[Document]:
        parts = self._parts
        held_out = {name: _HELD_OUT.get(name) for name in parts}
        if len(parts) == 1:
            held_out = {}
        elif "validation" in held_out.values():
            held_out = {name: "train" if name == "train" else s for name, s in held_out.items()}
        for name, part in parts.items():
            texts = choose_texts(self.options, part.features.arrow_schema, f"{self.source} {name}")
            batches = _batches(part.select_columns(list(texts.columns)))
            yield from texts.documents(batches, name, held_out.get(name))

    def fingerprint(self) -> str:
        return " ".join(f"{name} {part._fingerprint}" for name, part in self._parts.items())

    def size(self) -> int | None:
        size: int = sum(part.data.nbytes for part in self._parts.values())
        return size

    @cached_property
    def _parts(self) -> Mapping[str, Dataset]:
        """The splits by their names."""
        try:
            import datasets
        except ImportError:
            raise UserError(
                "Hugging Face datasets need a package that is not here.",
                'Install it: pip install "textgen-datasets[hf]"',
            ) from None
        datasets.disable_progress_bars()
        datasets.logging.set_verbosity_error()
        name, split = _name_and_split(self.source)
        try:
            found = self._load(datasets, name, split)
        except (OSError, ValueError, LookupError, ConnectionError) as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise UserError(
                f"{self.source} could not be read: {lines[0].rstrip('.')}.",
                "Write hf://owner/name/config:split, or hf://./folder; config and split may be "
                "left out.",
            ) from None
        return dict(found) if isinstance(found, dict) else {split or "all": found}

    def _load(self, datasets: Any, name: str, split: str) -> Any:
        folder = Path(name)
        if any((folder / mark).is_file() for mark in _SAVED):
            saved = datasets.load_from_disk(name)
            if split and not isinstance(saved, dict):
                raise ValueError(f"it has no split {split}")
            return saved[split] if split else saved
        if name.startswith((".", "/")) and not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {name}")
        config = self.options.config
        if not folder.is_dir() and name.count("/") == 2:
            name, _, config = name.rpartition("/")
        return datasets.load_dataset(
            name, config or None, split=split or None, revision=self.options.revision or None
        )


def _name_and_split(source: str) -> tuple[str, str]:
    """``hf://name:split`` as both; a drive's letter is no name, as what follows it is no split."""
    rest = source.removeprefix(_SCHEME)
    found = _SPLIT.fullmatch(rest)
    return (found[1], found[2]) if found else (rest, "")


def _batches(part: Dataset) -> Iterator[pyarrow.RecordBatch]:
    for table in part.with_format("arrow").iter(BATCH_ROWS):
        yield from table.to_batches()


@hookimpl
def textgen_readers() -> dict[str, type[Reader]]:
    return {"hf": Hub}
