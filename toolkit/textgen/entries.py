"""What plugins promise, known from the metadata of their distributions alone."""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from textgen.contracts import hooks

DISTRIBUTION = "textgen-toolkit"

FILE_MODULE = "textgen_plugin_file_"
"""What the names of modules begin with that ``--plugin`` loads."""

_KINDS = {kind.group: kind.word for kind in hooks.KINDS.values()}


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


def installed(warn: Callable[[str], None]) -> Iterator[Entry]:
    """What the installed distributions promise, from metadata alone.

    One whose metadata cannot be read, as an uninstalling leaves it that was cut short, is passed
    over, which ``warn`` is told.
    """
    seen = set()
    for distribution in importlib.metadata.distributions():
        try:
            promised = list(_promised(distribution))
        except (KeyError, OSError, TypeError, ValueError) as error:  # by the version of Python
            where = distribution.locate_file("")
            warn(f"A distribution in {where} has metadata that cannot be read: {error}")
            continue
        # the first on the path is the one that is imported
        if promised and promised[0].distribution not in seen:
            seen.add(promised[0].distribution)
            yield from promised


def _promised(distribution: importlib.metadata.Distribution) -> Iterator[Entry]:
    points = [point for point in distribution.entry_points if point.group in _KINDS]
    if not points:
        return
    about = distribution.metadata  # read and parsed at each look
    name, version = about["Name"], about["Version"]
    if not name or not version:
        raise ValueError(f"it promises {points[0].name!r}, and has no name and version")
    for point in points:
        module = re.split(r"\s*[:\[]", point.value)[0]  # whatever stands there
        yield Entry(_KINDS[point.group], point.name, module, name, version)


def raised_by(error: BaseException) -> str:
    """The third-party plugin in whose code the error was raised, or that it came through last, and
    the line; empty where there is none."""
    owners = {
        entry.module.partition(".")[0]: entry.distribution
        for entry in installed(lambda line: None)
        if not entry.bundled
    }
    for frame, number in reversed(list(traceback.walk_tb(error.__traceback__))):
        module = str(frame.f_globals.get("__name__")).partition(".")[0]
        file = Path(frame.f_code.co_filename).name
        if module in owners or module.startswith(FILE_MODULE):
            return f"{owners.get(module, 'The plugin')} ({file}, line {number})"
    return ""
