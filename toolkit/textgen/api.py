"""What ``import textgen`` offers: the whole road, one function a stretch of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textgen import shelf
from textgen.contracts.errors import PluginError, TextgenError, UserError
from textgen.contracts.options import build_options, options_dict
from textgen.registry import Registry, discover
from textgen.storage import copy

if TYPE_CHECKING:
    from textgen.contracts.cell import Cell
    from textgen.corpus.fetching import Progress
    from textgen.corpus.packed import PackedCorpus
    from textgen.runtime.model import Model
    from textgen.training.network import Network
    from textgen.training.observer import Observer, Sampled
    from textgen.training.run_folder import RunFolder
    from textgen.training.settings import Settings
    from textgen.training.trainer import TrainedRun

DEFAULT_CORPUS = "shakespeare"
OFFLINE_CORPUS = "python-docs"
"""What is trained on where the default corpus cannot be fetched."""

RUN_FORMAT = 1


@dataclass(frozen=True)
class Run:
    """A training that has ended."""

    folder: Path
    model: Path
    """Its model file; ``exported/model.onnx`` is a copy of the newest."""
    losses: Mapping[str, Any]
    """``cold`` and ``carried``, each with nats, bits and symbols, on the validation text."""
    metrics: Sequence[Mapping[str, Any]]
    samples: Sequence[Sampled]
    steps: int
    seconds: float
    interrupted: int | None
    """The signal that ended it early, if one did."""


def load(
    path: str | Path,
    *,
    provider: str = "auto",
    threads: int | None = None,
    registry: Registry | None = None,
) -> Model:
    """The model in the file ``path``, ready to generate and score.

    ``path`` may also be a name in ``exported/``. ``provider`` is ``auto``, ``cpu`` or ``cuda``.
    Raises UserError where the file is missing, damaged or not one of ours, TextgenError where the
    provider cannot run.
    """
    from textgen import model_file
    from textgen.runtime.model import Model

    plugins = registry or discover()
    file = model_file.read(shelf.find(str(path)))
    tokenizer = None
    # without its plugin a model still writes; what that means for prompts, the model says
    with contextlib.suppress(UserError, PluginError):
        plugin = plugins.load("tokenizer", file.info.tokenizer)
        tokenizer = plugin.from_json(file.info.vocabulary, file.info.tokenizer_data)
    return Model(
        file,
        tokenizer,
        lambda name: plugins.load("sampler", name),
        provider=provider,
        threads=threads,
    )


def open_corpus(
    corpus: str | Path = DEFAULT_CORPUS, *, registry: Registry | None = None, **options: Any
) -> PackedCorpus:
    """A corpus as ids: a recipe's name, a .toml recipe, or any path that a reader reads.

    Fetched and packed into the cache the first time. A name is a recipe first; ``./name`` is a
    path. Options: tokenizer, tokenizer_options, reader, reader_options, documents, split,
    split_sizes (percent of train, validation, test), split_seed, progress.
    """
    from textgen import sources

    return sources.open_corpus(str(corpus), registry or discover(), **options)


def train(
    corpus: str | Path | PackedCorpus | None = None,
    *,
    cell: str | type[Cell] = "lstm",
    cell_options: Mapping[str, Any] | None = None,
    corpus_options: Mapping[str, Any] | None = None,
    name: str | None = None,
    force: bool = False,
    folder: str | Path = ".",
    observer: Observer | None = None,
    notify: Callable[[str], None] | None = None,
    progress: Progress | None = None,
    registry: Registry | None = None,
    **settings: Any,
) -> Run:
    """Trains a network on a corpus, and exports it.

    ``corpus`` is what ``open_corpus`` takes, or what it returned; left out, it is the default one.
    ``cell`` is a plugin's name or a Cell class. ``settings`` are the fields of
    ``training.settings.Settings``: sizes, the budget (``minutes``, ``steps``, ``epochs`` or
    ``tokens``), ``seed`` and so on. Runs go into ``folder/runs``, models into ``folder/exported``.
    ``notify`` gets sentences to be said, ``observer`` the events of the training.
    """
    need_training()
    from textgen.training.run_folder import RUNS, new_run
    from textgen.training.settings import build_settings

    registry = registry or discover()
    chosen = build_settings(settings)
    cell_name, cell_class, origin = _resolve_cell(cell, registry)
    options = build_options(cell_class.Options, cell_options or {}, f"cell {cell_name!r}")
    packed = open_or_default(
        corpus, corpus_options or {}, registry=registry, notify=notify, progress=progress
    )
    packed.require(chosen.sequence_length)
    run = new_run(packed.name, cell_name, name=name, force=force, runs=Path(folder) / RUNS)
    with run.locked():
        run.write_description(_description(packed, cell_name, origin, options, chosen))
        return _finish(run, packed, cell_class, options, chosen, observer, Path(folder))


def resume(
    run: str | Path,
    *,
    corpus: PackedCorpus | None = None,
    folder: str | Path = ".",
    observer: Observer | None = None,
    registry: Registry | None = None,
) -> Run:
    """Goes on with an interrupted run from its last checkpoint, to the end of its budget.

    ``corpus`` is needed where the packed corpus is no longer in the cache, and must be the same.
    """
    need_training()
    from textgen.training.run_folder import RUNS, find_run

    registry = registry or discover()
    found = find_run(str(run), Path(folder) / RUNS)
    packed, cell_class, options, settings = _reopen(found, corpus, registry)
    if not found.last.exists():
        raise UserError(f"The run {found.path} has no checkpoint yet.", "Train it anew.")
    with found.locked():
        return _finish(
            found, packed, cell_class, options, settings, observer, Path(folder), resumed=True
        )


def export_run(
    run: str | Path,
    *,
    output: Path | None = None,
    corpus: PackedCorpus | None = None,
    folder: str | Path = ".",
    registry: Registry | None = None,
) -> Path:
    """Makes a model file from a run's best weights so far, also while it is training."""
    need_training()
    from textgen.training.evaluation import Evaluator
    from textgen.training.run_folder import RUNS, find_run
    from textgen.training.trainer import build_network, load_weights, losses_of

    registry = registry or discover()
    found = find_run(str(run), Path(folder) / RUNS)
    packed, cell_class, options, settings = _reopen(found, corpus, registry)
    network = build_network(packed.vocabulary.size, cell_class, options, settings)
    step = load_weights(network, found)
    spans = packed.spans("validation")
    boundary = packed.vocabulary.boundary
    evaluator = Evaluator(packed.ids, spans, boundary)
    losses = losses_of(network, evaluator) if evaluator.symbols else {}
    path = output or Path(folder) / shelf.EXPORTED / f"{found.name}.onnx"
    _export(found, packed, network, options, losses, {"weights_of_step": step}, path)
    if output is None:
        copy(path, path.parent / shelf.NEWEST)
    return path


def open_or_default(
    corpus: str | Path | PackedCorpus | None,
    options: Mapping[str, Any],
    *,
    registry: Registry,
    notify: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> PackedCorpus:
    """The corpus, or where it is None the default one; where that cannot be fetched, the one that
    needs no network, saying so."""
    from textgen.corpus.download import FetchError
    from textgen.corpus.packed import PackedCorpus

    if isinstance(corpus, PackedCorpus):
        return corpus
    if corpus is not None:
        return open_corpus(corpus, registry=registry, progress=progress, **options)
    try:
        return open_corpus(DEFAULT_CORPUS, registry=registry, progress=progress, **options)
    except FetchError as error:
        if notify:
            notify(f"{error.problem} Training on {OFFLINE_CORPUS} instead.")
        return open_corpus(OFFLINE_CORPUS, registry=registry, progress=progress, **options)


def need_training() -> None:
    """Raises TextgenError with the line that installs it where the training extra is missing."""
    import importlib.util

    missing = [
        module
        for module in ("torch", "safetensors", "onnxscript")
        if importlib.util.find_spec(module) is None
    ]
    if missing:
        raise TextgenError(
            f"Training needs {', '.join(missing)}, which this Python does not have.",
            'Install it: pip install "textgen-toolkit[train]"',
        )


def _resolve_cell(
    cell: str | type[Cell], registry: Registry
) -> tuple[str, type[Cell], dict[str, Any]]:
    """The cell's name, its class, and where it comes from, for the record."""
    if not isinstance(cell, str):
        return cell.__name__.lower(), cell, {"distribution": "", "version": ""}
    cell_class: type[Cell] = registry.load("cell", cell)
    entry = registry.find("cell", cell)
    origin = {"distribution": entry.distribution, "version": entry.version}
    if entry.digest:
        origin["sha256"] = entry.digest
    return entry.name, cell_class, origin


def _description(
    corpus: PackedCorpus, cell: str, origin: Mapping[str, Any], options: Any, settings: Settings
) -> dict[str, Any]:
    from textgen.training.settings import settings_dict

    return {
        "format": RUN_FORMAT,
        "cell": {"name": cell, "options": options_dict(options), **origin},
        "corpus": {
            "name": corpus.name,
            "sha256": corpus.sha256,
            "licence": corpus.licence,
            "packed": corpus.folder.name,
            "tokenizer": corpus.tokenizer_name,
        },
        "settings": settings_dict(settings),
    }


def _finish(
    run: RunFolder,
    corpus: PackedCorpus,
    cell_class: type[Cell],
    options: Any,
    settings: Settings,
    observer: Observer | None,
    folder: Path,
    *,
    resumed: bool = False,
) -> Run:
    """Trains to the end of the budget, or to an interrupt, then exports the best weights."""
    from textgen.training.observer import Observer
    from textgen.training.trainer import Trainer

    trainer = Trainer(corpus, cell_class, options, settings, run, observer or Observer())
    if resumed:
        trainer.resume()
    trained = trainer.run()
    path = folder / shelf.EXPORTED / f"{run.name}.onnx"
    _export(run, corpus, trained.network, options, trained.losses, _summary(trained), path)
    copy(path, path.parent / shelf.NEWEST)
    return Run(
        folder=run.path,
        model=path,
        losses=trained.losses,
        metrics=run.metrics(),
        samples=trained.samples,
        steps=trained.step,
        seconds=trained.seconds,
        interrupted=trained.interrupted,
    )


def _summary(trained: TrainedRun) -> dict[str, Any]:
    return {
        "steps": trained.step,
        "symbols": trained.symbols,
        "seconds": round(trained.seconds, 1),
        "precision": trained.plan.precision,
        "device": trained.plan.device.partition(":")[0],
        "weights_of_step": trained.weights_of_step,
    }


def _export(
    run: RunFolder,
    corpus: PackedCorpus,
    network: Network,
    options: Any,
    losses: Mapping[str, Any],
    summary: Mapping[str, Any],
    path: Path,
) -> None:
    from textgen.export.exporter import describe, export

    described = run.description()
    info = describe(
        network,
        corpus,
        cell=described["cell"]["name"],
        cell_distribution=described["cell"]["distribution"],
        cell_options=options,
        losses=losses,
        training={**summary, "run": run.name, "settings": described["settings"]},
    )
    export(network, info, path)


def _reopen(
    run: RunFolder, corpus: PackedCorpus | None, registry: Registry
) -> tuple[PackedCorpus, type[Cell], Any, Settings]:
    """What a run was trained with. Raises UserError where the corpus or the cell is gone."""
    from textgen import sources
    from textgen.training.settings import build_settings

    described = run.description()
    about, cell = described["corpus"], described["cell"]
    packed = corpus or sources.reopen(
        about["packed"], registry.load("tokenizer", about["tokenizer"])
    )
    if packed is None or packed.sha256 != about["sha256"]:
        state = "is no longer in the cache" if packed is None else "is another text"
        raise UserError(
            f"The corpus {about['name']} of the run {run.name} {state}.",
            f"Give it again: textgen train CORPUS --resume {run.name}",
        )
    try:
        cell_class = registry.load("cell", cell["name"])
    except UserError as error:
        if cell["distribution"]:
            raise UserError(
                error.problem, f"The run was trained with {cell['distribution']}; install it."
            ) from None
        raise
    options = build_options(cell_class.Options, cell["options"], f"cell {cell['name']!r}")
    return packed, cell_class, options, build_settings(described["settings"])
