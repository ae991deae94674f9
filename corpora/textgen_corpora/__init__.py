"""Recipes of the corpora that can be named; SOURCES.md tells each text's origin and licence."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

from textgen.contracts.hooks import hookimpl

TEXTGEN_CONTRACT = 1


@hookimpl
def textgen_corpora() -> dict[str, Traversable]:
    return {
        place.name.removesuffix(".toml"): place
        for place in files(__name__).iterdir()
        if place.name.endswith(".toml")
    }
