"""The command line: which commands there are, and how every one of them ends.

A command's module is imported when it is called; ``--help`` is written from the table here, and
from what the metadata of plugins tells of theirs. The name of a command of the table stays its own.
"""

from __future__ import annotations

import errno
import importlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from textgen.contracts.errors import TextgenError

if TYPE_CHECKING:
    from textgen.registry import Registry

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "Make": {
        "train": "Learn a text, and leave one file: model.onnx.",
        "export": "Make a model.onnx from a run.",
        "compare": "Compare cells fairly, and say what one may write.",
        "sweep": "Find the settings that learn a text best.",
    },
    "Use": {
        "generate": "Write new text with a model.",
        "score": "Say how well a model predicts texts, in bits and nats.",
    },
    "Look": {
        "show": "Tell everything a model.onnx says of itself.",
    },
    "Have": {
        "models": "List the models in exported/.",
        "runs": "List trainings, or show or remove one.",
        "sessions": "List texts to go on with; show, fork or rewind one.",
        "corpora": "List the corpora that can be trained on by name.",
        "plugins": "List plugins; show, check or begin one.",
        "doctor": "Check what will run on this machine.",
    },
}
_OUT_OF_MEMORY = re.compile(r"allocate memory|out of memory|bad_?alloc", re.IGNORECASE)
"""How torch and onnxruntime say it, on the CPU and on CUDA."""

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

MODULES = {name: f"textgen.commands.{name}" for commands in SECTIONS.values() for name in commands}


class LazyGroup(click.Group):
    """Imports a command when it is called, not when it is listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*MODULES, *added_commands(_registry(ctx))]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in MODULES:
            command = importlib.import_module(MODULES[name]).command
        else:
            command = _registry(ctx).load("command", name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Its own command a plugin may end as it likes, none of ours."""
        try:
            return super().invoke(ctx)
        except SystemExit as error:
            if ctx.invoked_subcommand in MODULES and _plugin_behind(error):
                raise TextgenError(*_explained(error)) from error
            raise

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in MODULES:
            from textgen.contracts.errors import unknown_name

            registry = _registry(ctx)
            promised = registry.entries("command")
            if not any(args[0] in (entry.name, entry.full_name) for entry in promised):
                raise unknown_name("command", args[0], [*MODULES, *added_commands(registry)])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl(list(commands.items()), col_max=14)
        if added := added_commands(_registry(ctx)):
            with formatter.section("Added by plugins"):
                formatter.write_dl(list(added.items()), col_max=14)


def added_commands(registry: Registry) -> dict[str, str]:
    """Where the commands of plugins come from, by the names to type. Imports none of them."""
    from textgen.screen.safe import one_line

    found = {}
    for entry in registry.entries("command"):
        if not registry.disabled(entry):
            taken = entry.name in MODULES or registry.clash(entry)
            name = entry.full_name if taken else entry.name
            found[one_line(name)] = one_line(f"From {entry.distribution} {entry.version}.")
    return found


def _registry(ctx: click.Context) -> Registry:
    """One for a command line, so that what it warns of is said once."""
    from textgen.registry import Registry, discover
    from textgen.screen import console

    found = ctx.meta.get(__name__) or discover(warn=console.show_warning)
    assert isinstance(found, Registry)
    ctx.meta[__name__] = found
    return found


@click.group(
    cls=LazyGroup,
    epilog="textgen COMMAND --help tells more. Start with:  textgen train --cell lstm",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="textgen-toolkit", message="textgen %(version)s")
def textgen() -> None:
    """Recurrent text generation: learn a text, leave one model.onnx, write new text anywhere."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and exits: 0, 1 for a failure, 2 for the user's mistake, 130 and 143 when
    interrupted or terminated."""
    from textgen.screen import console

    console.prepare_streams()
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status, having said what went wrong."""
    from textgen.screen import console

    try:
        # not textgen.main(): click would end the program itself when a pipe closes, with 1
        words = list(sys.argv[1:] if arguments is None else arguments)
        with textgen.make_context("textgen", words) as context:
            result = textgen.invoke(context)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as ended:  # --help and --version
        return ended.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.ClickException as error:
        console.show_error(error.format_message(), _help_hint(error))
        return 2
    except TextgenError as error:
        console.show_error(error.problem, error.remedy)
        if debugging() and error.__cause__ is not None:
            console.show_traceback(error)
        return error.exit_status
    except (KeyboardInterrupt, click.Abort):
        console.show_notice("Interrupted.")
        return 130
    except BrokenPipeError:
        return console.pipe_closed()
    except Exception as error:
        if debugging():
            console.show_traceback(error)
        console.show_error(*_explained(error))
        return 1


def _explained(error: BaseException) -> tuple[str, str]:
    """What to say of an error that nothing in the program expected."""
    from textgen.screen import console

    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno in _NO_SPACE:  # of a file, storage tells it
        console.output_lost()
        return (
            f"The output could not be written: {error.strerror}.",
            "Free some space, or write to another disk.",
        )
    if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(text):
        return (
            "There is not enough memory for what was asked.",
            "Ask for less: smaller sizes, a smaller batch, fewer samples.",
        )
    if plugin := _plugin_behind(error):
        return (
            f"{plugin} failed: {type(error).__name__}: {text}",
            "textgen plugins check tries its rules; --debug shows the traceback, for its author.",
        )
    return (
        f"Something failed that should not: {type(error).__name__}: {text}",
        "Run it again with --debug for the traceback, and please report it.",
    )


def _plugin_behind(error: BaseException) -> str:
    from textgen.entries import raised_by

    return raised_by(error)


def debugging() -> bool:
    """Whether tracebacks are wanted: ``--debug``, or TEXTGEN_DEBUG in the environment."""
    return bool(os.environ.get("TEXTGEN_DEBUG"))


def _help_hint(error: click.ClickException) -> str:
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx is not None else "textgen"
    return f"{path} --help lists what it takes."


if __name__ == "__main__":
    main()
