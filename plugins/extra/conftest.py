"""What the tests of all plugins here share: they pack into a cache of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setitem(os.environ, "TEXTGEN_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()
