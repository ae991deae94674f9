"""``textgen generate``: write new text with a model."""

from __future__ import annotations

import secrets
import sys
import time
from pathlib import Path
from typing import Any

import click

from textgen.commands.parameters import (
    json_option,
    model_option,
    parse_sampler,
    provider_option,
    with_registry,
)
from textgen.contracts.errors import UserError


@click.command()
@model_option
@click.option("--prompt", default="", help="The text to go on from.")
@click.option("--prompt-file", help="Read the prompt from a file; - is standard input.")
@click.option("--length", default=500, show_default=True, help="Symbols to write, at most.")
@click.option("--samples", default=1, show_default=True, help="How many texts to write.")
@click.option(
    "--temperature",
    default=0.8,
    show_default=True,
    help="Below 1 safer, above 1 wilder; 0 is always the likeliest symbol.",
)
@click.option("--top-k", type=int, help="Only the K likeliest symbols.")
@click.option("--top-p", type=float, help="Only the likeliest symbols that hold this probability.")
@click.option("--min-p", type=float, help="Only symbols at least this likely beside the likeliest.")
@click.option(
    "--sampler",
    "sampler_words",
    multiple=True,
    metavar="NAME[:OPTION=VALUE,...]",
    help="A sampler by name; may be repeated, in order. What penalises or forbids comes before the "
    "options above, what filters after them.",
)
@click.option("--seed", type=int, help="The same seed writes the same text. Random when left out.")
@click.option("--stop", multiple=True, help="End a text before this string. May be repeated.")
@click.option("--no-echo", is_flag=True, help="Do not repeat the prompt.")
@provider_option
@click.option("--threads", type=int, help="Threads of the CPU. Found by trying when left out.")
@click.option("--verbose", is_flag=True, help="Say which way the text is made.")
@json_option
@with_registry
def command(
    registry: Any,
    model_name: str | None,
    prompt: str,
    prompt_file: str | None,
    sampler_words: tuple[str, ...],
    no_echo: bool,
    provider: str,
    threads: int | None,
    verbose: bool,
    as_json: bool,
    **sampling: Any,
) -> None:
    """Write new text with a model.

    The text alone goes to standard output; everything else to standard error.
    """
    from textgen import api, shelf
    from textgen.screen import console

    path = shelf.find(model_name)
    model = api.load(path, provider=provider, threads=threads, registry=registry)
    if model_name is None:
        console.show_notice(f"Model: {path}")
    prompt = _prompt(prompt, prompt_file)
    samplers = [parse_sampler(word) for word in sampler_words]
    sampling["stop"] = tuple(sampling["stop"])
    for notice in model.notices:
        console.show_notice(notice)
    if as_json:
        _as_json(model, prompt, samplers, sampling)
    else:
        _as_text(model, prompt, samplers, sampling, echo=not no_echo)
    if verbose:
        plain = {name: sampling[name] for name in ("temperature", "top_k", "top_p", "min_p")}
        console.show_notice(model.way(model.chain(**plain, samplers=samplers)))


def _prompt(prompt: str, prompt_file: str | None) -> str:
    if prompt_file is None:
        return prompt
    if prompt:
        raise UserError("--prompt and --prompt-file were both given.", "Give one of them.")
    try:
        if prompt_file == "-":
            return sys.stdin.buffer.read().decode("utf-8")
        return Path(prompt_file).read_bytes().decode("utf-8")
    except OSError as error:
        raise UserError(
            f"{prompt_file} could not be read: {error.strerror}.", "Check it."
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{prompt_file} is not UTF-8 at byte offset {error.start}.", "Convert it first."
        ) from None


def _as_json(model: Any, prompt: str, samplers: Any, sampling: dict[str, Any]) -> None:
    from textgen.screen import tables

    done = model.generate(prompt, samplers=samplers, **sampling)
    for number, (text, ended) in enumerate(zip(done.texts, done.ended, strict=True)):
        tables.show_json(
            {
                "sample": number,
                "prompt": prompt,
                "text": text,
                "ended": ended,
                "symbols": len(done.ids[number]),
                "seed": done.seed,
                "model": model.digest,
                "unknown": list(done.unknown),
            }
        )


def _as_text(
    model: Any, prompt: str, samplers: Any, sampling: dict[str, Any], *, echo: bool
) -> None:
    from textgen.screen import console
    from textgen.screen.generation_view import GenerationView

    seed = sampling.pop("seed")
    seed = secrets.randbelow(1 << 32) if seed is None else seed
    if unknown := model.encode(prompt)[1]:
        console.show_notice(f"The model has never seen {_listed(unknown)}; left out of the prompt.")
    stream = model.stream(prompt, seed=seed, samplers=samplers, **sampling)
    view = GenerationView(sampling["samples"], lines=model.info.ends, prompt=prompt if echo else "")
    began, symbols = time.perf_counter(), 0
    try:
        for chunk in stream:
            symbols += len(chunk.ids)
            view.add(chunk.stream, chunk.text, chunk.ended is not None)
    finally:
        view.finish()
    view.figures(symbols, time.perf_counter() - began, seed, model.provider)


def _listed(unknown: list[str]) -> str:
    shown = ", ".join(repr(character) for character in unknown[:8])
    return shown if len(unknown) <= 8 else f"{shown} and {len(unknown) - 8} more"
