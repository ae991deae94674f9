"""What keeps a broken plugin from breaking anything else."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from types import ModuleType
from typing import Any

from textgen.contracts import hooks
from textgen.contracts.options import describe

_BASES = {
    "cell": ("textgen.contracts.cell", "Cell"),
    "reader": ("textgen.contracts.reader", "Reader"),
    "tokenizer": ("textgen.contracts.tokenizer", "Tokenizer"),
    "sampler": ("textgen.contracts.sampler", "Sampler"),
    "optimizer": ("textgen.contracts.optimizer", "Optimizer"),
    "tracker": ("textgen.contracts.tracker", "Tracker"),
}


class PluginFailure(Exception):
    """Why a plugin could not be used, in one line; its cause is the plugin's own exception."""


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Runs a plugin's code: what it raises is a PluginFailure, what it prints goes to stderr; and
    where it puts other streams in their place, they are put back."""
    try:
        with contextlib.redirect_stdout(sys.stderr), contextlib.redirect_stderr(sys.stderr):
            yield
    except (KeyboardInterrupt, PluginFailure):
        raise
    except BaseException as error:  # SystemExit at import must not end the program
        text = " ".join(str(error).split())
        raise PluginFailure(f"{type(error).__name__}: {text}" if text else repr(error)) from error


def check_contract(module: ModuleType) -> None:
    """Raises PluginFailure unless the module was written for this contract."""
    version = getattr(module, "TEXTGEN_CONTRACT", None)
    if version is None:
        raise PluginFailure(
            f"{module.__name__} does not say which contract it was written for; "
            f"add TEXTGEN_CONTRACT = {hooks.CONTRACT}"
        )
    if not isinstance(version, int):
        raise PluginFailure(
            f"{module.__name__} says TEXTGEN_CONTRACT = {version!r}, which is no whole number; "
            f"it would be {hooks.CONTRACT}"
        )
    if version != hooks.CONTRACT:
        older = "a newer version of the plugin" if version < hooks.CONTRACT else "a newer textgen"
        raise PluginFailure(
            f"it was written for contract {version}, and this textgen has {hooks.CONTRACT}; "
            f"install {older}"
        )


def check_class(plugin: Any, kind: str) -> None:
    """Raises PluginFailure unless the plugin is a whole class of its kind, a command, or a place
    where a recipe may lie; TypeError and NameError of options that are wrongly declared."""
    if kind == "command" and not isinstance(plugin, importlib.import_module("click").Command):
        raise PluginFailure(f"{plugin!r} is no click.Command")
    if kind == "corpus" and not isinstance(plugin, Traversable):
        raise PluginFailure(f"{plugin!r} is no pathlib.Path and no resource of a package")
    if kind not in _BASES:
        return
    module, name = _BASES[kind]
    base = getattr(importlib.import_module(module), name)
    if not (inspect.isclass(plugin) and issubclass(plugin, base)):
        raise PluginFailure(f"{plugin!r} is not a subclass of {module}.{name}")
    if inspect.isabstract(plugin):
        missing = ", ".join(sorted(vars(plugin)["__abstractmethods__"]))
        raise PluginFailure(f"{plugin.__name__} lacks {missing}")
    options: Any = getattr(plugin, "Options", None)
    describe(options)
