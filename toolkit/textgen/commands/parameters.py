"""Options that several commands share, so that they are spelt and explained once."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from textgen.contracts.errors import UserError
from textgen.contracts.options import parse_assignments

Command = Callable[..., Any]

json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a line, for programs."
)

provider_option = click.option(
    "--provider",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="What runs the model.",
)


class Numbers(click.ParamType):
    """A number, or several with commas between them: one a text."""

    def __init__(self, kind: type[int] | type[float]) -> None:
        self._kind = kind
        self.name = "integer" if kind is int else "float"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return f"{self.name.upper()}[,...]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | list[float]:
        if not isinstance(value, str):
            default: float = value
            return default
        try:
            numbers = [self._kind(word) for word in value.split(",")]
        except ValueError:
            self.fail(f"{value!r} is not a valid {self.name}, nor several with commas.", param, ctx)
        return numbers if len(numbers) > 1 else numbers[0]


def with_registry(function: Command) -> Command:
    """Adds ``--plugin``, ``--no-plugins`` and ``--debug``, and passes the ``registry``.

    While the command runs, what plugins print goes to standard error. What was given to a group
    counts for its commands too.
    """

    @click.option(
        "--plugin",
        "plugin_files",
        multiple=True,
        metavar="FILE.py",
        type=click.Path(path_type=Path),
        help="Load a plugin from one file. May be repeated.",
    )
    @click.option("--no-plugins", is_flag=True, help="Load no third-party plugins.")
    @debug_option
    @functools.wraps(function)
    def wrapper(*args: Any, plugin_files: tuple[Path, ...], no_plugins: bool, **kwargs: Any) -> Any:
        from textgen.registry import Registry, discover
        from textgen.screen import console

        ctx = click.get_current_context()
        registry = ctx.obj if isinstance(ctx.obj, Registry) else None
        if registry is None or plugin_files or no_plugins:
            above = ctx.parent.params if ctx.parent else {}
            registry = discover(
                third_party=not (no_plugins or above.get("no_plugins")),
                files=[*above.get("plugin_files", ()), *plugin_files],
                warn=console.show_warning,
            )
        with console.keeping_stdout():
            return function(*args, registry=registry, **kwargs)

    return wrapper


def debug_option(function: Command) -> Command:
    """Adds ``--debug``, which the command line itself obeys."""

    def remember(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            os.environ["TEXTGEN_DEBUG"] = "1"

    return click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=remember,
        is_eager=True,
        help="Show tracebacks of failures.",
    )(function)


def model_option(function: Command) -> Command:
    """Adds ``--onnx MODEL``."""
    return click.option(
        "--onnx",
        "model_name",
        metavar="MODEL",
        help="A model file, or its name in exported/. The newest when left out.",
    )(function)


def assignments(words: tuple[str, ...], flag: str) -> dict[str, str]:
    """``("a=1", "b=2")`` from a repeated ``flag`` as a dictionary."""
    return parse_assignments(words, flag)


def parse_choice(word: str, kind: str) -> tuple[str, dict[str, str]]:
    """``top-k:k=40,other=2`` or ``dist:top-k:k=40`` as a name and its options, unchecked; it was
    given as ``--kind``.

    The options begin after the last colon before an equals sign; a comma begins the next one where
    a name and an equals sign follow it, and belongs to the value elsewhere.
    """
    head, equals, _ = word.partition("=")
    if not equals:
        return word, {}
    name, colon, _ = head.rpartition(":")
    if not colon or not name:
        raise UserError(f"--{kind} {word!r} names no {kind}.", f"Write --{kind} NAME:OPTION=VALUE.")
    options = re.split(r",(?=\w+=)", word[len(name) + 1 :])
    return name, parse_assignments(options, f"--{kind}")


@contextlib.contextmanager
def believed(path: Path) -> Iterator[None]:
    """Reads what the file or folder ``path`` says of itself, which may be anything. Raises
    UserError where something else was meant to stand there."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} says something strange of itself: {error!r}.", "Make it again, or remove it."
        ) from error


def word(value: Any) -> str:
    """What a file says of itself, which may be anything. Raises TypeError where it is no text."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
