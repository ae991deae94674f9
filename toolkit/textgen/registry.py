"""Finds plugins by their metadata, and imports only what is asked for.

Names, kinds and clashes are known from the entry points alone. A plugin that fails is put aside:
everything else works, and asking for it says why it failed. The bundled plugins come the same way
as anyone's; only their names are taken first.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from textgen.contracts import hooks
from textgen.contracts.errors import PluginError, UserError, unknown_name
from textgen.entries import FILE_MODULE, Entry, installed
from textgen.quarantine import PluginFailure, check_class, check_contract, contained


class Registry:
    """The plugins of this process.

    ``only`` are the third-party distributions that may load (None: all of them); ``files`` are
    plugins in single files; ``warn`` gets one line for each plugin put aside.
    """

    def __init__(
        self,
        entries: Iterable[Entry],
        *,
        only: Iterable[str] | None = None,
        files: Sequence[Path] = (),
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.warn = warn or _to_stderr
        self._only = None if only is None else {_normal(name) for name in only}
        self._manager = pluggy.PluginManager(hooks.PROJECT)
        self._manager.add_hookspecs(hooks)
        self._modules: dict[str, ModuleType] = {}
        self._failures: dict[Entry, PluginFailure] = {}
        self._broken: dict[str, PluginFailure] = {}
        self._warned: set[tuple[str, str, str]] = set()
        self._entries = sorted(entries, key=lambda e: (e.kind, e.name, not e.bundled, e.full_name))
        for file in files:
            self._add_file(file)

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Everything promised, bundled first where names are shared. Imports nothing."""
        return [entry for entry in self._entries if kind is None or entry.kind == kind]

    def names(self, kind: str) -> list[str]:
        """What a person may type for ``kind``: plain names, full ones where a name is shared."""
        typed = []
        for entry in self.entries(kind):
            if self.disabled(entry):
                continue
            typed.append(entry.full_name if self.clash(entry) else entry.name)
        return typed

    def disabled(self, entry: Entry) -> bool:
        """Whether the user switched the entry's distribution off."""
        if entry.bundled or entry.file or self._only is None:
            return False
        return _normal(entry.distribution) not in self._only

    def clash(self, entry: Entry) -> list[Entry]:
        """The other entries of the same name, for which the plain name does not load this one.

        A bundled plugin keeps its plain name; between others, neither has it.
        """
        if entry.bundled:
            return []
        return [
            other
            for other in self.entries(entry.kind)
            if other.name == entry.name and other != entry and not self.disabled(other)
        ]

    def find(self, kind: str, name: str) -> Entry:
        """The entry that ``name`` or ``dist:name`` means. Imports nothing.

        Raises UserError for a name nobody has, one that two have, and one switched off.
        """
        found = [e for e in self.entries(kind) if name in (e.name, e.full_name)]
        able = [entry for entry in found if not self.disabled(entry)]
        if found and not able:
            distribution = found[0].distribution
            raise UserError(
                f"The {kind} {name!r} comes from {distribution}, which is switched off.",
                f"Leave out --no-plugins, or add {distribution} to TEXTGEN_PLUGINS.",
            )
        if not able:
            raise unknown_name(kind, name, self.names(kind))
        if len(able) > 1 and not able[0].bundled:
            choices = " or ".join(entry.full_name for entry in able)
            raise UserError(f"{len(able)} plugins offer the {kind} {name!r}.", f"Write {choices}.")
        return able[0]

    def load(self, kind: str, name: str) -> Any:
        """What the plugin offers under ``name``: a class, or a recipe's place.

        Raises UserError as ``find`` does, and PluginError quoting why a plugin failed.
        """
        entry = self.find(kind, name)
        try:
            return self._offered(entry)
        except PluginFailure as failure:
            cause = failure.__cause__
            if isinstance(cause, ModuleNotFoundError) and cause.name == "torch":
                raise PluginError(
                    f"The {kind} {name!r} needs torch, which this Python does not have.",
                    'Install it: pip install "textgen-toolkit[train]"',
                ) from cause
            source = entry.file or entry.distribution
            raise PluginError(
                f"The {kind} {name!r} of {source} could not be loaded: {failure}",
                "Mend or uninstall it, or run without it: --no-plugins.",
            ) from failure.__cause__

    def load_all(self, kind: str) -> dict[str, Any]:
        """Everything of a kind that loads, by the name to type; a line for what does not."""
        loaded = {}
        for entry in self.entries(kind):
            if self.disabled(entry):
                continue
            try:
                offered = self._offered(entry)
            except PluginFailure as failure:
                self._warn_once(entry, str(failure))
                continue
            loaded[entry.full_name if self.clash(entry) else entry.name] = offered
        return loaded

    def failure(self, entry: Entry) -> BaseException | None:
        """Loads the entry and returns what went wrong, with its traceback; None if nothing did."""
        try:
            self._offered(entry)
        except PluginFailure as failure:
            return failure.__cause__ or failure
        return None

    def _offered(self, entry: Entry) -> Any:
        if failure := self._failures.get(entry):
            raise failure
        try:
            with contained():
                return self._checked(entry, self._import(entry))
        except PluginFailure as failure:
            self._failures[entry] = failure
            raise

    def _import(self, entry: Entry) -> ModuleType:
        if entry.module in self._modules:
            return self._modules[entry.module]
        if entry.module in self._broken:  # it may promise several names, and runs once
            raise self._broken[entry.module]
        try:
            with contained():
                module = importlib.import_module(entry.module)
                self._register(module, entry.full_name)
        except PluginFailure as failure:
            self._broken[entry.module] = failure
            raise
        return module

    def _register(self, module: ModuleType, name: str) -> None:
        check_contract(module)
        try:
            self._manager.register(module, name=name)
            self._manager.check_pending()
        except BaseException:
            if self._manager.is_registered(module):
                self._manager.unregister(module)
            raise
        self._modules[module.__name__] = module

    def _checked(self, entry: Entry, module: ModuleType) -> Any:
        offered = self._offers(module, entry.kind)
        if entry.name not in offered:
            hook = hooks.KINDS[entry.kind].hook
            raise PluginFailure(f"{module.__name__}.{hook}() does not return {entry.name!r}")
        plugin = offered[entry.name]
        check_class(plugin, entry.kind)
        return plugin

    def _offers(self, module: ModuleType, kind: str) -> dict[str, Any]:
        hook = getattr(self._manager.hook, hooks.KINDS[kind].hook)
        offered: dict[str, Any] = {}
        for implementation in hook.get_hookimpls():
            if implementation.plugin is module:
                found = implementation.function()
                if not (
                    isinstance(found, Mapping) and all(isinstance(name, str) for name in found)
                ):
                    called = f"{module.__name__}.{hook.name}()"
                    raise PluginFailure(f"{called} returns {found!r}, no mapping of names")
                offered.update(found)
        return offered

    def _warn_once(self, entry: Entry, reason: str) -> None:
        told = (entry.distribution, entry.module, reason)
        if told not in self._warned:
            self._warned.add(told)
            self.warn(f"{entry.kind} {entry.name} of {entry.distribution} put aside: {reason}")

    def _add_file(self, file: Path) -> None:
        place = hashlib.sha256(str(file.resolve()).encode("utf-8", "backslashreplace")).hexdigest()
        name = f"{FILE_MODULE}{file.stem}_{place[:8]}"  # two files may have one name
        spec = importlib.util.spec_from_file_location(name, file)
        if not file.is_file():
            raise UserError(f"There is no plugin file {file}.", "Give the path of a .py file.")
        if spec is None or spec.loader is None:
            raise UserError(f"{file} is no plugin: its name does not end in .py.", "Rename it.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses and pickling look a class's module up
        added = []
        try:
            with contained():
                spec.loader.exec_module(module)
                self._register(module, str(file))
                for kind in hooks.KINDS:
                    for offered in self._offers(module, kind):
                        added.append(Entry(kind, offered, name, file.name, "", file))
        except PluginFailure as failure:
            del sys.modules[name]
            raise PluginError(
                f"The plugin file {file} could not be loaded: {failure}", "Mend it and try again."
            ) from failure.__cause__
        if not added:
            raise PluginError(
                f"The plugin file {file} offers nothing.",
                "Write a hook, for example: @hookimpl def textgen_cells(): return {...}.",
            )
        self._claim(added)

    def _claim(self, added: list[Entry]) -> None:
        """A file's names must be free: it was given by hand, so a clash is said at once."""
        taken = {(e.kind, e.name): e for e in self._entries if not self.disabled(e)}
        for entry in added:
            if other := taken.get((entry.kind, entry.name)):
                raise UserError(
                    f"{entry.file} offers the {entry.kind} {entry.name!r}, "
                    f"which {other.distribution} has already.",
                    "Give yours another name.",
                )
        self._entries = sorted([*self._entries, *added], key=lambda e: (e.kind, e.name))


def discover(
    *,
    third_party: bool = True,
    files: Sequence[Path] = (),
    warn: Callable[[str], None] | None = None,
) -> Registry:
    """The registry of what is installed, as the user wants it.

    ``TEXTGEN_PLUGINS=a,b`` lets only those third-party distributions load; ``third_party=False``
    (``--no-plugins``) none.
    """
    listed = os.environ.get("TEXTGEN_PLUGINS")
    only = None if listed is None else [name.strip() for name in listed.split(",")]
    entries = installed(warn or _to_stderr)
    return Registry(entries, only=only if third_party else [], files=files, warn=warn)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


def _normal(distribution: str) -> str:
    return distribution.replace("_", "-").replace(".", "-").lower()
