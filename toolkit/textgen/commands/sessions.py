"""``textgen sessions``: texts that are gone on with."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import click

from textgen.commands.parameters import debug_option, json_option, word

if TYPE_CHECKING:
    from textgen.runtime.history import Settings
    from textgen.runtime.session_file import SessionFile
    from textgen.session_folder import SessionPlace

_LAST_WORDS, _END = 40, 600
"""Characters of a text's end in the list, and of a session that is shown."""


@click.group(invoke_without_command=True)
@json_option
@debug_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the texts that textgen generate --session goes on with, the newest first."""
    if ctx.invoked_subcommand is None:
        _list(as_json)


@command.command()
@click.argument("name")
@click.option("--text", "whole", is_flag=True, help="The whole text and nothing else.")
@json_option
@debug_option
def show(name: str, whole: bool, as_json: bool) -> None:
    """Tell what the session NAME is drawn with, and how its text ends."""
    from textgen import session_folder
    from textgen.screen import console, tables

    place = session_folder.find(name)
    file = place.read()
    if as_json:
        tables.show_json({**_facts(place, file), "text": file.text})
    elif whole:
        console.write_text(file.text)
        if console.is_terminal(console.stdout()) and not file.text.endswith("\n"):
            console.write_text("\n")
    else:
        tables.show_details(_details(place, file))
        end = _end(file.text, _END)
        console.write_text(f"\n{end}" if end.endswith("\n") else f"\n{end}\n")


@command.command()
@click.argument("name")
@click.argument("new")
@click.option("--at", type=int, metavar="N", help="Only the first N symbols. All when left out.")
@debug_option
def fork(name: str, new: str, at: int | None) -> None:
    """Copy the session NAME to NEW, and go on with each by itself."""
    from textgen import session_folder
    from textgen.contracts.errors import UserError
    from textgen.screen import console
    from textgen.session_folder import SessionPlace

    file, target = session_folder.find(name).read(), SessionPlace(new)
    if at is not None:
        file = file.cut(at)
    with target.locked():
        if target.exists():
            raise UserError(
                f"There is a session {target.name} already.",
                f"Choose another name, or remove it: textgen sessions rm {target.name}",
            )
        target.write(file)
    console.show_notice(f"{target.name}: {told(file)}")


@command.command()
@click.argument("name")
@click.argument("symbols", metavar="N", type=int)
@debug_option
def rewind(name: str, symbols: int) -> None:
    """Take the last N symbols of the session NAME back.

    Gone on with, the same text would come again; --seed or another temperature writes another.
    """
    from textgen import session_folder
    from textgen.screen import console

    place = session_folder.find(name)
    with place.locked():
        file = place.read()
        file = file.cut(file.history.back(symbols))
        place.write(file)
    console.show_notice(f"{place.name}: {told(file)}")
    console.show_notice(
        "The same would come again; --seed or another temperature writes something else."
    )


@command.command()
@click.argument("name")
@debug_option
def rm(name: str) -> None:
    """Remove the session NAME."""
    from textgen import session_folder
    from textgen.screen import console

    place = session_folder.find(name)
    with place.locked():
        place.path.unlink(missing_ok=True)
    console.show_notice(f"Removed {place.path}")


def _list(as_json: bool) -> None:
    from textgen import session_folder
    from textgen.contracts.errors import UserError
    from textgen.screen import console, figures, tables

    rows = []
    for place in session_folder.all_sessions():
        try:
            file = place.read()
            facts = _facts(place, file)
            model, end = word(file.model), last_words(file)
        except UserError as error:
            console.show_warning(error.problem)
            continue
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            console.show_warning(f"{place.path} says something strange of itself: {error!r}")
            continue
        if as_json:
            tables.show_json({**facts, "end": end})
        else:
            symbols = figures.count(facts["symbols"])
            rows.append([place.name, model, symbols, f"{_when(place):%Y-%m-%d %H:%M}", end])
    if not as_json:
        tables.show_table(
            ("session", "model", "symbols", "written", "last words"),
            rows,
            empty="No sessions yet. Begin one: textgen generate --session NAME",
        )


def _facts(place: SessionPlace, file: SessionFile) -> dict[str, Any]:
    history = file.history
    changes = [{"from": at, **settings.to_json()} for at, settings in history.settings]
    return {
        "session": place.name,
        "model": file.model,
        "digest": file.digest,
        "symbols": len(history),
        "drawn": history.drawn(),
        "texts": _texts(file),
        "settings": changes,
        "bytes": place.path.stat().st_size,
        "written": _when(place).astimezone(datetime.UTC).isoformat(timespec="seconds"),
    }


def _details(place: SessionPlace, file: SessionFile) -> dict[str, str]:
    from textgen.screen import figures

    history = file.history
    drawn, count = history.drawn(), len(history)
    symbols = f"{count:,}: {drawn:,} drawn, {count - drawn:,} given"
    texts = {} if history.boundary is None else {"texts": f"{_texts(file):,}"}
    changes = {
        f"from {at:,} on" if at else "drawn with": _described(settings)
        for at, settings in history.settings
    }
    return {
        "session": str(place.path),
        "model": f"{file.model} ({file.digest[:12]})",
        "symbols": symbols,
        **texts,
        **changes,
        "states": f"{len(history.kept):,}, {history.spacing:,} symbols apart",
        "size": figures.size(place.path.stat().st_size),
        "written": f"{_when(place):%Y-%m-%d %H:%M}",
    }


def _texts(file: SessionFile) -> int:
    """How many texts have begun."""
    return sum(place < len(file.history) for place in file.history.begins)


def _described(settings: Settings) -> str:
    """As it would be typed."""
    told = settings.to_json()
    flags = [f"--{name.replace('_', '-')} {told[name]}" for name in told if name != "samplers"]
    flags = [flag for flag in flags if not flag.endswith(" None")]
    for name, options in told["samplers"]:
        given = ",".join(f"{key}={value}" for key, value in options.items())
        flags.append(f"--sampler {name}:{given}" if given else f"--sampler {name}")
    return " ".join(flags)


def told(file: SessionFile) -> str:
    """How long the text is, and how it ends."""
    count, words = len(file.history), last_words(file)
    symbols = "1 symbol" if count == 1 else f"{count:,} symbols"
    return f"{symbols}: {words}" if words else symbols


def last_words(file: SessionFile) -> str:
    """The last of them on one line."""
    return _end(" ".join(file.text[-4 * _LAST_WORDS :].split()), _LAST_WORDS)


def _end(text: str, length: int) -> str:
    """The last characters of ``text``, from the beginning of a word where there is one."""
    if len(text) <= length:
        return text
    words = text[-length:]
    _, space, rest = words.partition(" ")
    return f"\u2026{rest if space and rest else words}"


def _when(place: SessionPlace) -> datetime.datetime:
    """When the session was last written, in local time."""
    return datetime.datetime.fromtimestamp(place.path.stat().st_mtime).astimezone()
