"""``textgen sweep``: find the settings that learn a text best."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import click

from textgen.commands.parameters import assignments, json_option, with_registry
from textgen.commands.train import (
    corpus_options,
    optimizer_option,
    read_corpus_options,
    settings_options,
    tell_left_out,
)
from textgen.contracts.errors import TextgenError, UserError
from textgen.contracts.options import describe
from textgen.experiments.space import (
    DEFAULT_SPACE,
    OWN,
    PRUNERS,
    SAMPLERS,
    STEPS,
    TRIALS,
    as_typed,
    split_cell,
    split_optimizer,
)
from textgen.needs import need_sweeping
from textgen.training.settings import BUDGETS, CHOSEN, Settings

NOT_OF_TRAIN = {"vary", "trials", "sampler", "pruner", "name", "as_json"}
"""Parameters that are of the sweep alone."""


@click.command()
@click.argument("corpus", required=False)
@click.option("--cell", help="The recurrent cell; textgen plugins lists them.  [lstm]")
@click.option(
    "--cell-option",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of it, as textgen plugins show CELL tells. Repeatable.",
)
@click.option(
    "--vary",
    multiple=True,
    metavar="NAME=VALUES",
    help="A setting of the list below, cell.OPTION or optimizer.OPTION: LOW..HIGH, LOW..HIGH:log "
    "or A,B,C. "
    f"Repeatable.  [{'  '.join(f'{name}={words}' for name, words in DEFAULT_SPACE.items())}]",
)
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    help=f"How many the study shall have, those of others counted.  [{TRIALS}, or the whole grid]",
)
@click.option(
    "--sampler",
    type=click.Choice(SAMPLERS),
    default="tpe",
    show_default=True,
    help="What chooses the settings of a trial.",
)
@click.option(
    "--pruner",
    type=click.Choice(PRUNERS),
    default="median",
    show_default=True,
    help="What ends poor trials early.",
)
@click.option("--name", help="The sweep's name; <corpus>-<cell> when left out.")
@settings_options
@optimizer_option
@corpus_options
@json_option
@with_registry
def command(
    registry: Any,
    corpus: str | None,
    cell: str | None,
    cell_option: tuple[str, ...],
    optimizer_option: tuple[str, ...],
    vary: tuple[str, ...],
    trials: int | None,
    sampler: str,
    pruner: str,
    name: str | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Find the settings that learn a text best: many short trainings, and a table of them.

    What was tried stands in sweeps/<name>/study.db, which several processes can join. Settings are
    compared by text held back from training; what is not varied is the same for all trials.
    """
    from textgen import api

    need_sweeping()
    from textgen.commands.sweep_report import SweepReport
    from textgen.screen import console
    from textgen.screen.progress_view import ProgressView

    settings = {
        info.name: options.pop(info.name) for info in describe(Settings) if info.name not in OWN
    }
    with ProgressView() as progress:
        packed = api.open_or_default(
            corpus,
            read_corpus_options(**options),
            registry=registry,
            notify=console.show_notice,
            progress=progress,
        )
    with SweepReport() as report:
        sweep = api.sweep(
            packed,
            cell=cell,
            cell_options=assignments(cell_option, "--cell-option"),
            optimizer_options=assignments(optimizer_option, "--optimizer-option"),
            vary=read_varied(vary),
            trials=trials,
            sampler=sampler,
            pruner=pruner,
            name=name,
            observer=report,
            registry=registry,
            **settings,
        )
        chosen = sweep.best.settings if sweep.best else {}
        report.summarize(sweep, _train_line(chosen, sweep.settings), as_json=as_json)
    if sweep.interrupted:
        return 128 + sweep.interrupted
    if sweep.best is None and not any(trial.state == "running" for trial in sweep.trials):
        reasons = [trial.reason for trial in sweep.trials if trial.reason]
        raise TextgenError(
            "No trial came to its end.", f"The last: {reasons[-1]}" if reasons else "Run it again."
        )
    return 0


def read_varied(words: tuple[str, ...]) -> dict[str, str]:
    """What ``--vary`` was given, by the name of the setting."""
    varied: dict[str, str] = {}
    for word in words:
        ((name, values),) = assignments((word,), "--vary").items()
        if name in varied:
            raise UserError(f"{name} is varied twice.", f"Give it one --vary {name}=VALUES.")
        varied[name] = values
    return varied


def _train_line(chosen: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """What to type to train with the ``chosen`` settings: what was typed here, with those added."""
    ctx = click.get_current_context()
    words = ["textgen", "train"]
    typed = set()
    for parameter in ctx.command.params:
        name = str(parameter.name)
        source = ctx.get_parameter_source(name)
        if (
            name in NOT_OF_TRAIN
            or name not in ctx.params
            or source is not click.core.ParameterSource.COMMANDLINE
        ):
            continue
        typed.add(name)
        words += _as_typed(parameter, ctx.params[name])
    if "cell" not in typed:
        from textgen.api import DEFAULT_CELL

        words += ["--cell", DEFAULT_CELL]
    varied, cell = split_cell(chosen)
    varied, optimizer = split_optimizer(varied)
    flags = {parameter.name: parameter for parameter in ctx.command.params}
    for name, value in varied.items():
        words += _as_typed(flags[name], value)
    if "minutes" in typed:  # a training would choose what a trial had at its default
        for name in [name for name in CHOSEN if name not in typed | varied.keys()]:
            words += _as_typed(flags[name], settings.get(name, getattr(Settings, name)))
    for name, value in cell.items():
        words += ["--cell-option", f"{name}={as_typed(value)}"]
    for name, value in optimizer.items():
        words += ["--optimizer-option", f"{name}={as_typed(value)}"]
    if not any(budget in typed for budget in BUDGETS):
        words += ["--steps", str(settings.get("steps", STEPS))]
    return shlex.join(words)


def _as_typed(parameter: click.Parameter, value: Any) -> list[str]:
    """The words that give a parameter this value."""
    if isinstance(parameter, click.Argument):
        return [str(value)]
    if isinstance(value, bool):
        return [parameter.opts[0] if value else (*parameter.secondary_opts, "")[0]]
    if isinstance(value, tuple):
        return [word for part in value for word in (parameter.opts[0], str(part))]
    return [parameter.opts[0], str(value)]


command.params = [parameter for parameter in command.params if parameter.name not in OWN]
tell_left_out(command, dict.fromkeys(DEFAULT_SPACE, "varied"))
command.epilog = f"Left out, the budget of a trial is {STEPS:,} steps."
