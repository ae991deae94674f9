"""What plugins promise, known from the metadata of their distributions alone."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from textgen.contracts import hooks

DISTRIBUTION = "textgen-toolkit"


@dataclass(frozen=True)
class Entry:
    """One name that one distribution promises."""

    kind: str
    name: str
    module: str
    distribution: str
    version: str
    file: Path | None = None
    """The file given by ``--plugin``, where it came from one."""

    @property
    def bundled(self) -> bool:
        return self.distribution == DISTRIBUTION

    @property
    def full_name(self) -> str:
        """``dist:name``, which chooses between two that share a name."""
        return f"{self.distribution}:{self.name}"

    @property
    def digest(self) -> str | None:
        """SHA-256 of the plugin's file, where it came from one."""
        return hashlib.sha256(self.file.read_bytes()).hexdigest() if self.file else None


def installed() -> Iterator[Entry]:
    """What the installed distributions promise, from metadata alone."""
    points = importlib.metadata.entry_points()
    for kind in hooks.KINDS.values():
        for point in points.select(group=kind.group):
            if point.dist is not None:
                name, version = point.dist.name, point.dist.version
                yield Entry(kind.word, point.name, point.module, name, version)
