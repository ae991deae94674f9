"""``textgen generate``: write new text with a model."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from textgen.commands.beams import beam_options, check_beams, write_likeliest
from textgen.commands.parameters import (
    Numbers,
    json_option,
    model_option,
    parse_choice,
    provider_option,
    with_registry,
)
from textgen.commands.wanted_options import build_given, build_wanted, wanted_options
from textgen.contracts.errors import TextgenError, UserError


@click.command()
@model_option
@click.option("--prompt", default="", help="The text to go on from.")
@click.option("--prompt-file", help="Read the prompt from a file; - is standard input.")
@click.option("--length", default=500, show_default=True, help="Symbols to write, at most.")
@click.option("--samples", type=int, help="How many texts to write.  [default: 1]")
@click.option(
    "--temperature",
    type=Numbers(float),
    default=0.8,
    show_default=True,
    help="Below 1 safer, above 1 wilder; 0 is always the likeliest symbol. Several numbers with "
    "commas are for one text each, here and below.",
)
@click.option("--top-k", type=Numbers(int), help="Only the K likeliest symbols.")
@click.option(
    "--top-p", type=Numbers(float), help="Only the likeliest symbols that hold this probability."
)
@click.option(
    "--min-p",
    type=Numbers(float),
    help="Only symbols at least this likely beside the likeliest.",
)
@click.option(
    "--sampler",
    "sampler_words",
    multiple=True,
    metavar="NAME[:OPTION=VALUE,...]",
    help="A sampler by name; may be repeated, in order. What penalises or forbids comes before the "
    "options above, what filters after them.",
)
@click.option(
    "--seed",
    type=Numbers(int),
    help="The same seed writes the same text. Random when left out.",
)
@beam_options
@click.option("--stop", multiple=True, help="End a text before this string. May be repeated.")
@click.option(
    "--session",
    "session_name",
    metavar="NAME",
    help="Go on with this text exactly where it stopped, or begin it; see textgen sessions.",
)
@click.option("--no-echo", is_flag=True, help="Do not repeat the prompt.")
@wanted_options
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
    session_name: str | None,
    no_echo: bool,
    provider: str,
    threads: int | None,
    verbose: bool,
    as_json: bool,
    given_words: tuple[str, ...],
    beams: int | None,
    length_penalty: float | None,
    **options: Any,
) -> int:
    """Write new text with a model.

    The text alone goes to standard output; everything else to standard error. Texts that are not
    as wanted (--unique, --new, --match ...) are refused and tried again.
    """
    from textgen import api, shelf
    from textgen.screen import console

    prompt = _prompt(prompt, prompt_file)
    if session_name is not None:
        from textgen.commands.session_writing import write_session

        return write_session(session_name, prompt, registry)
    check_beams(click.get_current_context())
    plain = {name: options.pop(name) for name in ("temperature", "top_k", "top_p", "min_p")}
    sampling = {name: options.pop(name) for name in ("length", "samples", "seed", "stop")}
    sampling |= {"wanted": build_wanted(**options), "given": build_given(given_words)}
    path = shelf.find(model_name)
    model = api.load(path, provider=provider, threads=threads, registry=registry)
    if model_name is None:
        console.show_notice(f"Model: {path}")
    samplers = [parse_choice(word, "sampler") for word in sampler_words]
    sampling |= {**plain, "samplers": samplers}
    for notice in model.notices:
        console.show_notice(notice)
    if beams is not None:
        search = {"beams": beams, "length_penalty": length_penalty or 0.0, **sampling}
        shown = {"echo": not no_echo, "verbose": verbose, "as_json": as_json}
        write_likeliest(model, prompt, samplers, search, **shown)
        return 0
    if as_json:
        _as_json(model, prompt, sampling)
    else:
        _as_text(model, prompt, sampling, echo=not no_echo)
    if verbose:
        console.show_notice(model.way(model.chain(**plain, samplers=samplers)))
    return 0


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


def _as_json(model: Any, prompt: str, sampling: dict[str, Any]) -> None:
    from textgen.screen import tables

    done = model.generate(prompt, **sampling)
    for number, (text, ended) in enumerate(zip(done.texts, done.ended, strict=True)):
        if ended == "refused":
            continue
        tables.show_json(
            {
                "sample": number,
                "prompt": prompt,
                "text": text,
                "ended": ended,
                "symbols": len(done.ids[number]),
                "seed": done.seed[number] if isinstance(done.seed, tuple) else done.seed,
                "model": model.digest,
                "unknown": list(done.unknown),
            }
        )
    _tell_refused(done.refused, done.ended.count("refused"), len(done.ended))


def _as_text(model: Any, prompt: str, sampling: dict[str, Any], *, echo: bool) -> None:
    from textgen.runtime.generation import check_seeds, how_many
    from textgen.runtime.model import SEVERAL
    from textgen.screen import console
    from textgen.screen.generation_view import GenerationView

    samples = how_many(sampling["samples"], *(sampling[name] for name in SEVERAL))
    seed = check_seeds(sampling["seed"], samples)
    if unknown := model.encode(prompt)[1]:
        console.show_notice(f"The model has never seen {listed(unknown)}; left out of the prompt.")
    stream = model.stream(prompt, **{**sampling, "samples": samples, "seed": seed})
    whole = not sampling["wanted"].anything
    shown = prompt if echo else ""
    view = GenerationView(samples, lines=model.info.ends, prompt=shown, whole=whole)
    began, symbols, missing = time.perf_counter(), 0, 0
    refused: Counter[str] = Counter()
    try:
        for chunk in stream:
            symbols += len(chunk.ids)
            refused.update(chunk.refused)
            if chunk.ended == "refused":
                missing += 1
            else:
                view.add(chunk.stream - missing, chunk.text, chunk.ended is not None)
    finally:
        view.finish()
    seeds = ", ".join(map(str, seed)) if isinstance(seed, tuple) else str(seed)
    view.figures(symbols, time.perf_counter() - began, seeds, model.provider)
    _tell_refused(refused, missing, samples)


def _tell_refused(refused: Mapping[str, int], missing: int, samples: int) -> None:
    """Says how many texts were refused, and why. Raises TextgenError where samples are missing."""
    from textgen.screen import console, figures

    if refused:
        counts = Counter(refused).most_common()
        reasons = ", ".join(f"{figures.count(number)} {reason}" for reason, number in counts)
        console.show_notice(f"Refused: {reasons}.")
    if missing:
        raise TextgenError(
            f"Of {samples} texts {missing} could not be found: every try was refused.",
            "Ask for fewer texts, ask less of them, or give more --tries.",
        )


def listed(unknown: list[str]) -> str:
    """What the model has no symbol for, for people."""
    shown = ", ".join(repr(character) for character in unknown[:8])
    return shown if len(unknown) <= 8 else f"{shown} and {len(unknown) - 8} more"
