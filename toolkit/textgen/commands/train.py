"""``textgen train``: learn a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from textgen.commands.parameters import assignments, json_option, parse_choice, with_registry
from textgen.contracts.errors import UserError
from textgen.contracts.options import describe
from textgen.needs import need_training
from textgen.presets import PRESETS
from textgen.training.settings import DEFAULT_MINUTES, Settings


def settings_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """One option for each field of Settings, with its help, default and bounds."""
    for info in reversed(describe(Settings)):
        default = ("no", "yes")[info.default] if info.type is bool else info.default
        shown = "" if default is None else f"  [{default}]"
        choices = f" ({', '.join(info.choices)})" if info.choices else ""
        kind = click.Choice(info.choices) if info.choices else info.type
        flag = info.name.replace("_", "-")
        function = click.option(
            f"--{flag}/--no-{flag}" if info.type is bool else f"--{flag}",
            info.name,
            type=kind,
            default=None,
            metavar=None if info.type is bool else info.type.__name__.upper(),
            help=f"{info.help[0].upper()}{info.help[1:]}{choices}.{shown}",
        )(function)
    return function


def tell_left_out(command: click.Command, instead: Mapping[str, str]) -> None:
    """Has the help of options tell ``instead``, by name, what takes the place of their default."""
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name in instead:
            help_, _, _ = (parameter.help or "").rpartition("  [")
            parameter.help = f"{help_}  [{instead[parameter.name]}]"


optimizer_option = click.option(
    "--optimizer-option",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of the optimizer, as textgen plugins show OPTIMIZER tells. Repeatable.",
)


def corpus_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """How a corpus is read, cut and split."""
    options = [
        click.option(
            "--tokenizer",
            default="characters",
            show_default=True,
            help="What cuts text into symbols; textgen plugins lists them.",
        ),
        click.option(
            "--tokenizer-option", multiple=True, metavar="NAME=VALUE", help="Of it. Repeatable."
        ),
        click.option("--reader", help="What reads the corpus. By its ending when left out."),
        click.option(
            "--reader-option", multiple=True, metavar="NAME=VALUE", help="Of it. Repeatable."
        ),
        click.option("--encoding", help="Of the text files; utf-8 when left out."),
        click.option("--field", help="The field of a JSON line or table that holds the text."),
        click.option("--template", help="A text with fields, such as '{school}|{name}'."),
        click.option("--documents", help="What a document is: lines, files, none, or a separator."),
        click.option("--split", type=click.Choice(["random", "tail"]), help="What is held out."),
        click.option(
            "--split-sizes",
            default="90/5/5",
            show_default=True,
            help="Percent of train, validation and test.",
        ),
        click.option("--split-seed", default=0, show_default=True, help="Of a random split."),
        click.option(
            "--replace",
            multiple=True,
            metavar="REGEX=TEXT",
            help=r"Rewrite every line, such as '\d+=0'; the model then does so with all it reads. "
            "Repeatable.",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


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
    "--preset",
    type=click.Choice(list(PRESETS)),
    help="Settings that go together: quick is a minute, best as long as it takes, char-rnn that "
    "program's own. What is given beside them counts.",
)
@settings_options
@optimizer_option
@corpus_options
@click.option("--name", help="The run's name; <corpus>-<cell> when left out.")
@click.option("--force", is_flag=True, help="Replace a run of that name.")
@click.option(
    "--init-from",
    metavar="RUN|MODEL",
    help="Go on from these weights, on another corpus; cell and sizes are theirs.",
)
@click.option("--resume", "resumed", metavar="RUN", help="Go on with an interrupted run.")
@click.option(
    "--tracker",
    "tracker_words",
    multiple=True,
    metavar="NAME[:OPTION=VALUE,...]",
    help="Tell it all figures, samples and checkpoints; textgen plugins lists them. Repeatable.",
)
@click.option(
    "--verify-resume",
    "verify",
    is_flag=True,
    help="Only try whether this training can be interrupted here without a trace.",
)
@json_option
@with_registry
def command(
    registry: Any,
    corpus: str | None,
    cell: str | None,
    cell_option: tuple[str, ...],
    optimizer_option: tuple[str, ...],
    preset: str | None,
    name: str | None,
    force: bool,
    init_from: str | None,
    resumed: str | None,
    tracker_words: tuple[str, ...],
    verify: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Learn a text, and leave one file: exported/model.onnx.

    CORPUS is a name that textgen corpora lists, a .toml recipe, or any file, folder or glob; - is
    standard input. Left out, it is nine plays of Shakespeare.
    """
    from textgen import api

    need_training()
    from textgen.commands.training_report import report_of_rank, tell_verified
    from textgen.screen.progress_view import ProgressView

    settings = {info.name: options.pop(info.name) for info in describe(Settings)}
    settings["optimizer_options"] = assignments(optimizer_option, "--optimizer-option")
    trackers = [parse_choice(word, "tracker") for word in tracker_words]
    if resumed is not None:
        fixed = settings.keys() - {"device", "precision"}
        others = ("cell", "name", "force", "init_from", "verify", "preset")
        _refuse_changes([*fixed, *others, "cell_option", "optimizer_option"])
    if verify and (init_from is not None or preset is not None):
        raise UserError(
            "--verify-resume begins from nothing, with what is given.",
            "Leave out --init-from and --preset.",
        )
    report = report_of_rank(as_json)
    packed = None
    with ProgressView() as progress:
        if corpus is not None or resumed is None:
            packed = api.open_or_default(
                corpus,
                read_corpus_options(**options),
                registry=registry,
                notify=report.notice,
                progress=progress,
            )
    if verify:
        cell_options = assignments(cell_option, "--cell-option")
        return tell_verified(
            api.verify_resume(
                packed, cell=cell, cell_options=cell_options, registry=registry, **settings
            ),
            as_json,
        )
    with report:
        if resumed is not None:
            run = api.resume(
                resumed,
                corpus=packed,
                device=settings["device"],
                precision=settings["precision"],
                observer=report,
                trackers=trackers,
                registry=registry,
            )
        else:
            run = api.train(
                packed,
                cell=cell,
                cell_options=assignments(cell_option, "--cell-option"),
                preset=preset,
                init_from=init_from,
                name=name,
                force=force,
                notify=report.notice,
                observer=report,
                trackers=trackers,
                registry=registry,
                **settings,
            )
        report.summarize(run)
    return 128 + run.interrupted if run.interrupted else 0


def _refuse_changes(names: list[str]) -> None:
    """A run goes on as it began. Raises UserError where one of the options was typed."""
    ctx = click.get_current_context()
    typed = {
        name
        for name in names
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }
    flags = [p.opts[-1] for p in ctx.command.params if p.name in typed]
    if flags:
        raise UserError(
            f"A run that is resumed goes on as it began; {', '.join(flags)} cannot change it.",
            "Leave them out, or begin a new run without --resume.",
        )


def read_corpus_options(
    *,
    tokenizer_option: tuple[str, ...],
    reader_option: tuple[str, ...],
    encoding: str | None,
    field: str | None,
    template: str | None,
    split_sizes: str,
    replace: tuple[str, ...],
    **options: Any,
) -> dict[str, Any]:
    """What ``corpus_options`` were given, as ``api.open_corpus`` takes them."""
    from textgen.corpus.documents import parse_sizes
    from textgen.rewriting import parse_rule

    short = {"encoding": encoding, "field": field, "template": template}
    given = {key: value for key, value in short.items() if value is not None}
    return {
        **options,
        "tokenizer_options": assignments(tokenizer_option, "--tokenizer-option"),
        "reader_options": {**assignments(reader_option, "--reader-option"), **given},
        "split_sizes": parse_sizes(split_sizes),
        "replace": [parse_rule(word) for word in replace],
    }


command.epilog = (
    f"Left out, the budget is {DEFAULT_MINUTES:g} minutes. With --minutes, size, batch, learning "
    "rate and dropout are chosen for the corpus, this machine and the budget, where not given."
)
