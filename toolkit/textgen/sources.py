"""What a corpus word means: a recipe's name, a recipe's file, or a path that a reader reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from textgen.contracts.errors import UserError, unknown_name
from textgen.contracts.options import build_options
from textgen.contracts.reader import Reader
from textgen.contracts.tokenizer import Tokenizer
from textgen.corpus.documents import DocumentSettings
from textgen.corpus.fetching import Progress, open_recipe
from textgen.corpus.packed import DamagedCorpusError, PackedCorpus, open_packed
from textgen.corpus.packing import pack
from textgen.corpus.recipe import Recipe, load_recipe
from textgen.registry import Registry
from textgen.rewriting import Rule
from textgen.storage import cache_folder

DEFAULT_READER = "text"


def open_corpus(
    corpus: str,
    registry: Registry,
    *,
    tokenizer: str = "characters",
    tokenizer_options: Mapping[str, Any] | None = None,
    reader: str | None = None,
    reader_options: Mapping[str, Any] | None = None,
    documents: str | None = None,
    split: str | None = None,
    split_sizes: tuple[float, float, float] = (90.0, 5.0, 5.0),
    split_seed: int = 0,
    replace: Iterable[Rule] = (),
    progress: Progress | None = None,
    notify: Callable[[str], None] | None = None,
) -> PackedCorpus:
    """A corpus as ids, fetched and packed into the cache the first time.

    ``notify`` gets a sentence where an interrupted packing is gone on with.
    Raises FetchError where a recipe's text cannot be had, UserError for what cannot be read.
    """
    recipe = find_recipe(corpus, registry)
    source, name, licence = corpus, base_name(corpus), ""
    given = dict(reader_options or {})
    trust = ""
    if recipe is not None:
        built = open_recipe(recipe, cache_folder(), progress)
        source = str(built.path)
        if built.sha256 and not recipe.sha256:
            trust = (
                f"{recipe.name} is taken on trust: its recipe promises no hash. "
                f"The SHA-256 of what was fetched is {built.sha256}."
            )
        name, licence = recipe.name, recipe.licence
        reader = reader or recipe.reader
        documents, split = documents or recipe.documents, split or recipe.split
        given = {**(recipe.reader_options or {}), **given}
    reader = reader or reader_for(source, registry)
    reader_class = registry.load("reader", reader)
    tokenizer_class = registry.load("tokenizer", tokenizer)
    packed = pack(
        reader_class(source, build_options(reader_class.Options, given, f"reader {reader!r}")),
        tokenizer_class,
        tokenizer,
        build_options(tokenizer_class.Options, tokenizer_options or {}, f"tokenizer {tokenizer!r}"),
        DocumentSettings(documents, split, split_sizes, split_seed, tuple(replace)),
        cache_folder(),
        name="stdin" if source == "-" else name,
        licence=licence,
        tokenizer_distribution=registry.find("tokenizer", tokenizer).distribution,
        plugins=[
            f"{entry.full_name} {entry.version} {entry.digest or ''}"
            for entry in (registry.find("reader", reader), registry.find("tokenizer", tokenizer))
        ],
        progress=progress,
        notify=notify,
    )
    if trust:
        return dataclasses.replace(packed, notices=[trust, *packed.notices])
    return packed


def reopen(key: str, tokenizer_class: type[Tokenizer]) -> PackedCorpus | None:
    """A corpus that was packed before, by the name of its folder in the cache, if it is there and
    whole."""
    try:
        return open_packed(cache_folder() / "packed" / key, tokenizer_class)
    except DamagedCorpusError:
        return None


def find_recipe(corpus: str, registry: Registry) -> Recipe | None:
    """The recipe that the word means, or None where it is a path.

    Raises UserError for a word that is neither, listing the recipes.
    """
    if corpus.endswith(".toml"):
        return load_recipe(Path(corpus))
    if corpus in registry.names("corpus"):
        return load_recipe(registry.load("corpus", corpus))
    is_word = not any(mark in corpus for mark in "/\\.*?[:") and corpus != "-"
    if is_word and not Path(corpus).exists():
        raise unknown_name("corpus or file", corpus, registry.names("corpus"))
    return None


def reader_for(source: str, registry: Registry) -> str:
    """The reader that claims the source's scheme or ending; else the one of plain text files.

    Of those that read an address's scheme it is the one that claims its ending too. Third-party
    readers are imported only where no bundled one claims the source. Raises UserError for an
    address that no reader reads, or that several might.
    """
    scheme, colon, _ = source.partition("://")
    bundled = [entry.name for entry in registry.entries("reader") if entry.bundled]
    readers = {reader: registry.load("reader", reader) for reader in bundled}
    for found in (readers, None):
        candidates = registry.load_all("reader") if found is None else found
        if colon:
            candidates = {r: p for r, p in candidates.items() if scheme in p.schemes}
        endings = {reader: _ending(source, plugin) for reader, plugin in candidates.items()}
        longest = max(endings.values(), default=0)
        best = sorted(reader for reader, ending in endings.items() if ending == longest)
        if longest or (colon and len(best) == 1):
            return best[-1]
        if colon and best:
            raise UserError(
                f"{base_name(source)} does not say what it is: {len(best)} readers read {scheme}://.",
                f"Choose one: --reader {' or --reader '.join(best)}.",
            )
        if source == "-":
            break
    if colon:
        raise UserError(
            f"No reader reads {scheme}:// addresses.", "Download it first, or install a reader."
        )
    return DEFAULT_READER


def base_name(source: str) -> str:
    """The last part of a path or address, which may go into files: no folder, host or query."""
    return Path(source.partition("?")[0] if "://" in source else source).name


def _ending(source: str, reader: type[Reader]) -> int:
    """How much of the source's name the reader claims by its ending, in characters."""
    name = base_name(source).lower()
    return max((len(suffix) for suffix in reader.suffixes if name.endswith(suffix)), default=0)
