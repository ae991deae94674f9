"""``textgen generate --session``: a text that is gone on with, call after call."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from textgen import api, session_folder, shelf
from textgen.commands.generate import listed
from textgen.commands.parameters import parse_choice
from textgen.commands.sessions import told
from textgen.contracts.errors import UserError
from textgen.interrupts import Interrupts
from textgen.registry import Registry
from textgen.screen import console, tables
from textgen.screen.generation_view import GenerationView
from textgen.session_folder import SessionPlace

if TYPE_CHECKING:
    from textgen.runtime.model import Model
    from textgen.runtime.session import Session
    from textgen.runtime.writer import Chunk

_SETTINGS = ("seed", "temperature", "top_k", "top_p", "min_p")
_FITTING = {*_SETTINGS, "session_name", "model_name", "prompt", "prompt_file", "length", "stop"}
_FITTING |= {"sampler_words", "no_echo", "provider", "threads", "verbose", "as_json"}
_FITTING |= {"plugin_files", "no_plugins", "debug"}


def write_session(name: str, prompt: str, registry: Registry) -> int:
    """Begins the session ``name``, or goes on with it; the rest is as it was typed.

    Ctrl-C and SIGTERM end the text early, and the session keeps what was shown. Whatever else ends
    it, a closed pipe or a full disk, leaves the session as it was. Returns the exit status.
    """
    options = click.get_current_context().params
    typed = _typed()
    place = SessionPlace(name)
    with place.locked():
        model, session = _opened(place, registry, options)
        for notice in model.notices:
            console.show_notice(notice)
        session.change(**_changes(options, typed))
        if unknown := session.feed(prompt):
            console.show_notice(
                f"The model has never seen {listed(unknown)}; left out of the prompt."
            )
        with Interrupts() as heard:
            chunks = session.stream(
                options["length"],
                stop=options["stop"],
                enough=lambda: heard.signal is not None,
            )
            if options["as_json"]:
                _as_json(place, model, session, prompt, unknown, chunks)
            else:
                _as_text(model, session, "" if options["no_echo"] else prompt, chunks)
            session.save(place.path)
    if options["verbose"]:
        console.show_notice(model.way(session.chain))
    if heard.signal is None:
        return 0
    console.show_notice(f"Interrupted. The session {place.name} keeps what was shown.")
    return 128 + heard.signal


def _typed() -> set[str]:
    """The names of the options that were typed. Raises UserError for one that does not fit."""
    ctx = click.get_current_context()
    typed = {
        parameter.name: parameter.opts[-1]
        for parameter in ctx.command.params
        if parameter.name is not None
        and ctx.get_parameter_source(parameter.name) is click.core.ParameterSource.COMMANDLINE
    }
    if other := [flag for option, flag in typed.items() if option not in _FITTING]:
        raise UserError(
            f"A session is one text that goes on; {', '.join(other)} does not fit it.",
            "Leave it out, or generate without --session.",
        )
    return set(typed)


def _opened(
    place: SessionPlace, registry: Registry, options: dict[str, Any]
) -> tuple[Model, Session]:
    """The session and its model, from the file, or new ones where there is none."""
    typed_model = options["model_name"]
    file = place.read() if place.exists() else None
    if file is None:
        path = session_folder.first_name(shelf.find(typed_model))
    else:
        path = session_folder.find_model(place.name, file, typed_model)
    model = api.load(
        path, provider=options["provider"], threads=options["threads"], registry=registry
    )
    if typed_model is None:
        console.show_notice(f"Model: {path}")
    if file is None:
        console.show_notice(f"New session {place.name}")
        return model, model.session()
    console.show_notice(f"Session {place.name} goes on after {told(file)}")
    return model, model.load_session(place.path)


def _changes(options: dict[str, Any], typed: set[str]) -> dict[str, Any]:
    """The settings that were typed; ``--sampler none`` leaves none of those that were there."""
    changes = {name: options[name] for name in _SETTINGS if name in typed}
    if "sampler_words" in typed:
        words = options["sampler_words"]
        chain = [parse_choice(word, "sampler") for word in words]
        changes["samplers"] = () if words == ("none",) else tuple(chain)
    return changes


def _as_text(model: Model, session: Session, prompt: str, chunks: Iterator[Chunk]) -> None:
    view = GenerationView(1, lines=model.info.ends, prompt=prompt)
    began, symbols = time.perf_counter(), 0
    try:
        for chunk in chunks:
            symbols += len(chunk.ids)
            view.add(chunk.stream, chunk.text, chunk.ended is not None)
    finally:
        view.finish()
    view.figures(symbols, time.perf_counter() - began, str(session.seed), model.provider)


def _as_json(
    place: SessionPlace,
    model: Model,
    session: Session,
    prompt: str,
    unknown: list[str],
    chunks: Iterator[Chunk],
) -> None:
    taken = list(chunks)
    tables.show_json(
        {
            "session": place.name,
            "prompt": prompt,
            "text": "".join(chunk.text for chunk in taken),
            "ended": taken[-1].ended,
            "symbols": sum(len(chunk.ids) for chunk in taken),
            "symbols_in_all": len(session),
            "seed": session.seed,
            "model": model.digest,
            "unknown": unknown,
        }
    )
