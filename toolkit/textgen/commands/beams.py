"""``textgen generate --beams``: the likeliest texts instead of drawn ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from textgen.contracts.errors import UserError

if TYPE_CHECKING:
    from textgen.runtime.beam_search import Hypothesis

_SHARED = {
    *("model_name", "prompt", "prompt_file", "length", "samples", "sampler_words", "stop"),
    *("beams", "length_penalty", "no_echo", "verbose", "as_json", "provider", "threads"),
    *("plugin_files", "no_plugins"),
}
"""Options of generate that mean the same with beams. All others are about drawing."""


def beam_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--beams`` and ``--length-penalty``."""
    penalty = click.option(
        "--length-penalty",
        type=float,
        help="With --beams: above 0, long texts rank higher; 0.6 to 1 is usual.",
    )
    beams = click.option(
        "--beams",
        type=int,
        help="Find the likeliest texts by beam search with so many beams, drawing nothing; "
        "--samples of them are written, the best first.",
    )
    return beams(penalty(function))


def check_beams(ctx: click.Context) -> None:
    """Raises UserError where options are given that do not go together."""
    given = {
        option.name: option.opts[0]
        for option in ctx.command.params
        if option.name and ctx.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    }
    if "beams" not in given:
        if "length_penalty" in given:
            raise UserError("--length-penalty is for --beams.", "Add --beams 5, or leave it out.")
        return
    for name, flag in given.items():
        if name not in _SHARED:
            raise UserError(
                f"{flag} is for texts that are drawn, and --beams draws nothing.",
                f"Leave out {flag}, or --beams.",
            )


def write_likeliest(
    model: Any,
    prompt: str,
    samplers: Any,
    options: Mapping[str, Any],
    *,
    echo: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Writes the best texts; ``options`` are those of generate, by their names."""
    from textgen.screen import console

    began = time.perf_counter()
    found = model.beam_search(
        prompt,
        beams=options["beams"],
        best=1 if options["samples"] is None else options["samples"],
        length=options["length"],
        length_penalty=options["length_penalty"],
        stop=options["stop"],
        samplers=samplers,
    )
    seconds = time.perf_counter() - began
    if as_json:
        _as_json(model, prompt, found)
    else:
        _as_text(model, prompt, found, options["beams"], seconds, echo=echo)
    if verbose:
        console.show_notice(
            f"beam search, a call a symbol; {model.info.weights} on {model.provider}"
        )


def _as_json(model: Any, prompt: str, found: Sequence[Hypothesis]) -> None:
    from textgen.screen import tables

    unknown = list(model.encode(prompt)[1])
    for number, text in enumerate(found):
        tables.show_json(
            {
                "sample": number,
                "prompt": prompt,
                "text": text.text,
                "ended": text.ended,
                "symbols": len(text.ids),
                "nats": text.nats,
                "nats_per_symbol": text.nats_per_symbol,
                "score": text.score,
                "model": model.digest,
                "unknown": unknown,
            }
        )


def _as_text(
    model: Any, prompt: str, found: Sequence[Hypothesis], beams: int, seconds: float, *, echo: bool
) -> None:
    from textgen.screen import console, figures
    from textgen.screen.generation_view import GenerationView

    if unknown := model.encode(prompt)[1]:
        shown = ", ".join(map(repr, unknown[:8]))
        console.show_notice(f"The model has never seen {shown}; left out of the prompt.")
    view = GenerationView(len(found), lines=model.info.ends, prompt=prompt if echo else "")
    for number, text in enumerate(found):
        view.add(number, text.text, True)
    view.finish()
    symbols = sum(len(text.ids) for text in found)
    speed = figures.count(symbols / max(seconds, 1e-9))
    nats = " to ".join(f"{text.nats:.2f}" for text in (found[0], found[-1])[: len(found)])
    best = f"the {len(found)} best" if len(found) > 1 else "the best"
    view.remark(
        f"{figures.count(symbols)} symbols, {speed} a second on {model.provider}; "
        f"{best} of {beams} beams, {nats} nats"
    )
