"""``textgen compare``: the fair experiment between cells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import click

from textgen.commands.parameters import assignments, json_option, with_registry
from textgen.commands.sweep import read_varied
from textgen.commands.train import (
    corpus_options,
    optimizer_option,
    read_corpus_options,
    settings_options,
    tell_left_out,
)
from textgen.contracts.errors import TextgenError, UserError
from textgen.contracts.options import describe
from textgen.experiments.space import DEFAULT_SPACE, OWN, STEPS
from textgen.experiments.usual import CELLS, LEAST_SEEDS, SEEDS, TRIALS, VARIED
from textgen.needs import need_comparing
from textgen.training.settings import Settings

NOT_COMPARED = {*OWN, "tie_weights"}
"""Settings of a training that a comparison decides itself, or that equal sizes do not allow."""


class Amount(click.ParamType):
    """A whole number, perhaps with k, M or G behind it."""

    name = "number"
    _FORM = re.compile(r"(\d+(?:\.\d*)?(?:e\d+)?)\s*([kKmMgG]?)")
    _UNITS: Mapping[str, float] = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = self._FORM.fullmatch(value.strip())
        number = float(found[1]) * self._UNITS[found[2].lower()] if found else 0
        if not 1 <= number <= 1e12:
            self.fail(f"{value!r} is not a number such as 1200000 or 1.2M.", param, ctx)
        return round(number)


@click.command()
@click.argument("corpus", required=False)
@click.option(
    "--cells",
    default=",".join(CELLS),
    show_default=True,
    metavar="CELL,CELL,...",
    help="Two or more, as textgen plugins lists them. Differences are told to the first.",
)
@click.option(
    "--cell-option",
    multiple=True,
    metavar="CELL.NAME=VALUE",
    help="Of one of them, as textgen plugins show CELL tells. Repeatable.",
)
@click.option(
    "--parameters",
    type=Amount(),
    help="How many each network shall have, such as 1.2M.  [those of the first cell at "
    "--hidden-size]",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=LEAST_SEEDS),
    default=SEEDS,
    show_default=True,
    help="Trainings of each cell for each budget.",
)
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    default=TRIALS,
    show_default=True,
    help="Of each cell, to choose what is varied.",
)
@click.option(
    "--vary",
    multiple=True,
    metavar="NAME=VALUES",
    help="What trials choose: LOW..HIGH, LOW..HIGH:log or A,B,C. Repeatable.  "
    f"[{'  '.join(f'{name}={DEFAULT_SPACE[name]}' for name in VARIED)}]",
)
@click.option("--name", help="The comparison's name; <corpus>-<cell>-<cell> when left out.")
@settings_options
@optimizer_option
@corpus_options
@json_option
@with_registry
def command(
    registry: Any,
    corpus: str | None,
    cells: str,
    cell_option: tuple[str, ...],
    parameters: int | None,
    seeds: int,
    trials: int,
    vary: tuple[str, ...],
    name: str | None,
    optimizer_option: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> int:
    """Compare cells fairly: equal parameters, in equal symbols and in equal time.

    Each cell gets the width that makes the networks equally large, and the same number of trials to
    choose its settings by text held back from training. Then it is trained with several seeds, to
    the end of both budgets, and judged by the test text. comparisons/<name>/ has a page, tables
    and plots. The same command goes on after an interruption; several processes can join.
    """
    from textgen import api

    need_comparing()
    from textgen.commands.compare_report import CompareReport
    from textgen.screen import console
    from textgen.screen.progress_view import ProgressView

    settings = {
        info.name: options.pop(info.name)
        for info in describe(Settings)
        if info.name not in NOT_COMPARED
    }
    with ProgressView() as progress:
        packed = api.open_or_default(
            corpus,
            read_corpus_options(**options),
            registry=registry,
            notify=console.show_notice,
            progress=progress,
        )
    with CompareReport() as report:
        compared = api.compare(
            packed,
            cells=[word.strip() for word in cells.split(",") if word.strip()],
            cell_options=_by_cell(cell_option),
            optimizer_options=assignments(optimizer_option, "--optimizer-option"),
            parameters=parameters,
            seeds=seeds,
            trials=trials,
            vary=read_varied(vary),
            name=name,
            observer=report,
            registry=registry,
            **settings,
        )
        report.summarize(compared, as_json=as_json)
    if compared.interrupted:
        return 128 + compared.interrupted
    failed = [cell for cell in compared.found["cells"] if cell["state"] == "failed"]
    if len(failed) == len(compared.found["cells"]):
        raise TextgenError("No cell came to its end.", f"The last: {failed[-1]['reason']}")
    return 0


def _by_cell(words: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """What ``--cell-option`` was given, by cell."""
    found: dict[str, dict[str, str]] = {}
    for word in words:
        ((name, value),) = assignments((word,), "--cell-option").items()
        cell, point, option = name.rpartition(".")
        if not point or not cell or not option:
            raise UserError(
                f"--cell-option {word!r} names no cell.", "Write --cell-option CELL.NAME=VALUE."
            )
        found.setdefault(cell, {})[option] = value
    return found


command.params = [parameter for parameter in command.params if parameter.name not in NOT_COMPARED]
tell_left_out(command, {"precision": "float32"} | dict.fromkeys(VARIED, "chosen by trials"))
command.epilog = (
    f"Equal symbols are --steps ({STEPS:,} when left out), --epochs or --tokens. Equal time is "
    "--minutes; left out, what the first cell takes for those symbols, measured before. "
    "Precision is float32 where left out, the same for all."
)
