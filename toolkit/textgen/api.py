"""What ``import textgen`` offers: the whole road, one function a stretch of it."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textgen import shelf
from textgen.contracts.errors import UserError
from textgen.needs import need_comparing, need_sweeping, need_training
from textgen.quarantine import PluginFailure, contained
from textgen.registry import Registry, discover
from textgen.storage import copy, write_text

if TYPE_CHECKING:
    from torch import Tensor

    from textgen.chosen import TrackerChoice
    from textgen.contracts.cell import Cell
    from textgen.contracts.optimizer import Optimizer
    from textgen.corpus.fetching import Progress
    from textgen.corpus.packed import PackedCorpus
    from textgen.experiments.compare_events import CompareObserver
    from textgen.experiments.comparison import Comparison
    from textgen.experiments.sweep import Sweep
    from textgen.experiments.trials import SweepObserver
    from textgen.jobs import Watchers
    from textgen.losses import Loss
    from textgen.runs import Run
    from textgen.runtime.model import Model
    from textgen.training.observer import Observer
    from textgen.training.verify import Verified

DEFAULT_CELL = "lstm"
DEFAULT_CORPUS = "shakespeare"
OFFLINE_CORPUS = "python-docs"
"""What is trained on where the default corpus cannot be fetched."""


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
    info, tokenizer = file.info, None
    name, distribution = info.tokenizer, info.tokenizer_distribution
    # without its plugin a model still writes; what that means for prompts, the model says
    with contextlib.suppress(PluginFailure), contained():
        # by its full name: another distribution may have a tokenizer of the same
        plugin = plugins.load("tokenizer", f"{distribution}:{name}" if distribution else name)
        tokenizer = plugin.from_json(info.vocabulary, info.tokenizer_data)
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
    split_sizes (percent of train, validation, test), split_seed, replace (pairs of a regular
    expression and the text that takes the place of what it matches), progress, notify.
    """
    from textgen import sources

    return sources.open_corpus(str(corpus), registry or discover(), **options)


def train(
    corpus: str | Path | PackedCorpus | None = None,
    *,
    cell: str | type[Cell] | None = None,
    cell_options: Mapping[str, Any] | None = None,
    optimizer: str | type[Optimizer] | None = None,
    optimizer_options: Mapping[str, Any] | None = None,
    corpus_options: Mapping[str, Any] | None = None,
    preset: str | None = None,
    init_from: str | Path | None = None,
    name: str | None = None,
    force: bool = False,
    folder: str | Path = ".",
    observer: Observer | None = None,
    trackers: Sequence[TrackerChoice] = (),
    notify: Callable[[str], None] | None = None,
    progress: Progress | None = None,
    registry: Registry | None = None,
    **settings: Any,
) -> Run:
    """Trains a network on a corpus, and exports it.

    ``corpus`` is what ``open_corpus`` takes, or what it returned; left out, it is the default one.
    ``cell`` is a plugin's name or a Cell class; left out, it is an LSTM. ``optimizer`` is a name or
    an Optimizer class; left out, it is AdamW. ``settings`` are the fields of
    ``training.settings.Settings``: sizes, the budget (``minutes``, ``steps``, ``epochs`` or
    ``tokens``), ``seed`` and so on. With a budget in minutes, sizes, batch, learning rate and
    dropout that are not given are chosen for this corpus, machine and budget; the budget holds the
    choosing and all of the training, but not the evaluation of what is kept, nor the export.
    ``preset`` is a name of ``presets.PRESETS``, whose settings count where none are given.
    ``init_from`` is a run or a model file whose weights are learnt on from: cell and sizes are then
    theirs, symbols are matched by value. Runs go into ``folder/runs``, models into
    ``folder/exported``. ``notify`` gets sentences to be said, ``observer`` the events of the
    training; ``trackers`` are names, names with options, or Tracker objects that get its figures.
    """
    need_training()
    from textgen import jobs, runs, scions
    from textgen.presets import begin_with, find_preset
    from textgen.training.choosing import Choosing
    from textgen.training.device import choose_device
    from textgen.training.ranks import launched_ranks
    from textgen.training.settings import build_settings

    if force and name is None:
        raise UserError("Only a run that is named can be replaced by --force.", "Add its --name.")
    registry = registry or discover()
    beginning = None
    if init_from is not None:
        beginning = scions.find_beginning(str(init_from), Path(folder), registry)
        settings = beginning.shape(settings)
        cell, cell_options = beginning.cell_for(cell), cell_options or beginning.cell_options
    chosen_preset = find_preset(preset) if preset is not None else None
    if chosen_preset:
        cell, settings = cell or chosen_preset.cell, begin_with(chosen_preset, settings)
        optimizer = optimizer or chosen_preset.optimizer
        optimizer_options = chosen_preset.options_of(optimizer) | dict(optimizer_options or {})
    chosen_optimizer = runs.choose_optimizer(optimizer, optimizer_options or {}, registry)
    settings = {**settings, "optimizer": chosen_optimizer.name}
    chosen = build_settings(settings)
    chosen_cell = runs.choose_cell(cell or DEFAULT_CELL, cell_options or {}, registry)
    watchers = _watchers(observer, trackers, registry)
    packed = open_or_default(
        corpus, corpus_options or {}, registry=registry, notify=notify, progress=progress
    )
    packed.require(chosen.sequence_length)
    began, choosing, streams = time.perf_counter(), None, chosen.batch_size
    if not beginning and (chosen_preset.chosen if chosen_preset else settings.get("minutes")):
        cell_class, own = chosen_cell.cell_class, chosen_cell.options
        choosing = Choosing(packed, cell_class, own, chosen_optimizer, settings)
        if "batch_size" in choosing.open_settings:
            streams = 0  # any number of ranks can share as many as will be chosen for it
    ranks = launched_ranks(chosen.device, streams)
    choose_device(chosen.device)  # what cannot be used is refused before there is a run
    scion = beginning.scion if beginning else None
    setup = runs.Setup(packed, chosen_cell, chosen, chosen_optimizer, scion.name if scion else "")
    if beginning and notify:
        notify(beginning.greeting(packed.vocabulary))
    return jobs.begin(
        setup,
        ranks,
        scion=scion,
        choosing=choosing,
        began=began,
        name=name,
        force=force,
        folder=Path(folder),
        watchers=watchers,
        notify=notify,
    )


def _watchers(
    observer: Observer | None, trackers: Sequence[TrackerChoice], registry: Registry
) -> Watchers:
    from textgen.chosen import choose_trackers
    from textgen.jobs import Watchers
    from textgen.training.observer import Observer

    return Watchers(observer or Observer(), choose_trackers(trackers, registry), registry.warn)


def resume(
    run: str | Path,
    *,
    corpus: PackedCorpus | None = None,
    device: str | None = None,
    precision: str | None = None,
    folder: str | Path = ".",
    observer: Observer | None = None,
    trackers: Sequence[TrackerChoice] = (),
    registry: Registry | None = None,
) -> Run:
    """Goes on with an interrupted run from its last checkpoint, to the end of its budget.

    ``corpus`` is needed where the packed corpus is no longer in the cache, and must be the same. On
    another ``device`` or in another ``precision`` it is no longer bit for bit what it would have
    been, which a notice of the ``Started`` event says. ``trackers`` are those of ``train``, to be
    given again.
    """
    need_training()
    from textgen import jobs, runs
    from textgen.training.ranks import launched_ranks
    from textgen.training.run_folder import RUNS, find_run

    registry = registry or discover()
    watchers = _watchers(observer, trackers, registry)
    found = find_run(str(run), Path(folder) / RUNS)
    setup = runs.read_setup(found, corpus, registry)
    setup = runs.moved(setup, device, precision)
    ranks = launched_ranks(setup.settings.device, setup.settings.batch_size)
    if not found.last.exists():
        raise UserError(f"The run {found.path} has no checkpoint yet.", "Train it anew.")
    return jobs.go_on(found, setup, ranks, folder=Path(folder), watchers=watchers)


def verify_resume(
    corpus: str | Path | PackedCorpus | None = None,
    *,
    cell: str | type[Cell] | None = None,
    cell_options: Mapping[str, Any] | None = None,
    optimizer: str | type[Optimizer] | None = None,
    optimizer_options: Mapping[str, Any] | None = None,
    corpus_options: Mapping[str, Any] | None = None,
    registry: Registry | None = None,
    **settings: Any,
) -> Verified:
    """Proves on this machine that a training can be interrupted: a few steps of what ``train``
    would do, straight and in pieces, compared bit by bit. Nothing is left behind."""
    need_training()
    from textgen import runs
    from textgen.training.ranks import launched_ranks
    from textgen.training.settings import build_settings
    from textgen.training.verify import verify_resume

    registry = registry or discover()
    chosen_cell = runs.choose_cell(cell or DEFAULT_CELL, cell_options or {}, registry)
    chosen_optimizer = runs.choose_optimizer(optimizer, optimizer_options or {}, registry)
    packed = open_or_default(corpus, corpus_options or {}, registry=registry)
    chosen = build_settings({**settings, "optimizer": chosen_optimizer.name})
    setup = runs.Setup(packed, chosen_cell, chosen, chosen_optimizer)
    if launched_ranks(setup.settings.device, setup.settings.batch_size).count > 1:
        raise UserError(
            "Whether resuming is exact is tried by one process.", "Start it without torchrun."
        )
    return verify_resume(packed, lambda: runs.fresh_network(setup), setup.settings, setup.optimizer)


def score_split(
    corpus: str | Path,
    model: Model | str | Path,
    *,
    split: str = "test",
    dynamic: float | None = None,
    provider: str = "auto",
    registry: Registry | None = None,
    **options: Any,
) -> dict[str, Loss]:
    """How well ``model`` predicts a split of the corpus that it was trained on.

    ``cold`` windows and documents ``carried``, as training tells them; of a list also ``unclosed``,
    without the boundaries that close its texts. With ``dynamic``, a learning rate, also what a
    network reaches that learns on from the text as it reads it (it needs the file of the model, not
    a Model, and PyTorch). ``provider`` is that of ``load``; ``options`` are
    ``reader`` and ``reader_options``. Raises UserError where the corpus is another, or the split is
    empty.
    """
    from textgen import split_scoring

    if dynamic is not None and not 0 < dynamic < math.inf:
        raise UserError(f"The rate {dynamic} is none to learn at.", "Give one such as 0.1.")
    plugins = registry or discover()
    loaded = model
    if isinstance(loaded, (str, Path)):
        loaded = load(loaded, provider=provider, registry=plugins)
    packed = split_scoring.open_as_trained(str(corpus), loaded.info, plugins, **options)
    ranges = split_scoring.split_ranges(packed, split)
    found = split_scoring.score_split(loaded, packed, ranges)
    if dynamic is not None:
        if not isinstance(model, (str, Path)):
            raise UserError("A Model cannot learn on.", "Give the path of its file.")
        need_training()
        from textgen import scions
        from textgen.training.dynamic import dynamic_loss

        network = scions.network_of_file(shelf.find(str(model)), plugins)
        boundary = packed.vocabulary.boundary
        loss = dynamic_loss(network, packed.ids, ranges, boundary, dynamic)
        found["dynamic"] = replace(loss, characters=found["carried"].characters)
    return found


def sweep(
    corpus: str | Path | PackedCorpus | None = None,
    *,
    cell: str | type[Cell] | None = None,
    vary: Mapping[str, str | Sequence[Any]] | None = None,
    trials: int | None = None,
    sampler: str = "tpe",
    pruner: str = "median",
    cell_options: Mapping[str, Any] | None = None,
    optimizer_options: Mapping[str, Any] | None = None,
    corpus_options: Mapping[str, Any] | None = None,
    name: str | None = None,
    folder: str | Path = ".",
    observer: SweepObserver | None = None,
    notify: Callable[[str], None] | None = None,
    progress: Progress | None = None,
    registry: Registry | None = None,
    **settings: Any,
) -> Sweep:
    """Tries settings of one cell on one corpus, and finds which learn the text best.

    ``vary`` tells by a setting's name, ``cell.<option>`` or ``optimizer.<option>``, what it is
    varied over: two ends as ``"1e-3..2e-2"`` or ``"1e-3..2e-2:log"``, or a list of values; left
    out, a few settings that matter most. ``sampler`` is ``tpe``, ``random`` or ``grid``;
    ``pruner``, which ends poor trials early, ``median``, ``hyperband`` or ``none``. ``settings``
    are those of ``train``, the same for all trials; the budget is one trial's, 1,000 steps where
    left out. What is made smaller is the loss on text held back from training. The study is
    ``folder/sweeps/<name>/study.db``; where it exists it is joined, until it has ``trials`` trials
    in all (20, or every point of a grid). Raises UserError where it was begun with something else.
    """
    need_sweeping()
    from textgen.experiments.sweep import sweep_corpus
    from textgen.screen.sweep_chart import draw

    registry = registry or discover()
    packed = open_or_default(
        corpus, corpus_options or {}, registry=registry, notify=notify, progress=progress
    )
    found = sweep_corpus(
        packed,
        cell=cell or DEFAULT_CELL,
        cell_options=cell_options or {},
        optimizer_options=optimizer_options or {},
        vary=vary or {},
        settings={key: value for key, value in settings.items() if value is not None},
        trials=trials,
        sampler=sampler,
        pruner=pruner,
        name=name,
        folder=Path(folder),
        observer=observer,
        registry=registry,
    )
    write_text(found.picture, draw(found.folder.name, found.space, found.trials))
    return found


def compare(
    corpus: str | Path | PackedCorpus | None = None,
    *,
    cells: Sequence[str | type[Cell]] | None = None,
    cell_options: Mapping[str, Mapping[str, Any]] | None = None,
    optimizer_options: Mapping[str, Any] | None = None,
    parameters: int | None = None,
    seeds: int | None = None,
    trials: int | None = None,
    vary: Mapping[str, str | Sequence[Any]] | None = None,
    corpus_options: Mapping[str, Any] | None = None,
    name: str | None = None,
    folder: str | Path = ".",
    observer: CompareObserver | None = None,
    notify: Callable[[str], None] | None = None,
    progress: Progress | None = None,
    registry: Registry | None = None,
    **settings: Any,
) -> Comparison:
    """The fair experiment: cells of equal size, in equal symbols and in equal time.

    ``cells`` are plugins' names or Cell classes, ``cell_options`` their options by that name (of a
    class, its own in small letters). All networks have as many ``parameters``, or as many as the
    first cell's has at ``hidden_size``. ``trials`` of each choose what is varied (``vary``, as
    ``sweep`` takes it; learning rate and dropout where left out) by text held back from training;
    then ``seeds`` trainings of each, for each budget, are judged by the test text. Equal symbols
    are ``steps`` (1,000 where left out), ``epochs`` or ``tokens``; equal time ``minutes``, or what
    the first cell takes for those symbols. Other ``settings`` are those of ``train``; precision is
    float32 where left out. What was found goes into ``folder/comparisons/<name>``; where that
    exists, what is left of it is trained. Raises UserError where it was begun with something else.
    """
    need_comparing()
    from textgen.comparison_files import write_comparison
    from textgen.experiments import usual
    from textgen.experiments.comparison import compare_corpus

    registry = registry or discover()
    packed = open_or_default(
        corpus, corpus_options or {}, registry=registry, notify=notify, progress=progress
    )
    compared = compare_corpus(
        packed,
        cells=cells or usual.CELLS,
        cell_options=cell_options or {},
        vary=vary or {},
        settings={key: value for key, value in settings.items() if value is not None},
        optimizer_options=optimizer_options or {},
        parameters=parameters,
        trials=usual.TRIALS if trials is None else trials,
        seeds=usual.SEEDS if seeds is None else seeds,
        name=name,
        folder=Path(folder),
        observer=observer,
        registry=registry,
    )
    write_comparison(compared.folder, compared.found)
    return compared


def export_run(
    run: str | Path,
    *,
    output: Path | None = None,
    int8: bool = False,
    int4: bool = False,
    corpus: PackedCorpus | None = None,
    folder: str | Path = ".",
    registry: Registry | None = None,
) -> Path:
    """Makes a model file from a run's best weights so far, also while it is training.

    With ``int8`` the weights are whole numbers: the file is a quarter of the size, and faster. With
    ``int4`` they have 4 bits in it: it is a sixth, and as fast, but a little worse. Its losses
    then hold ``float32`` and the other on the same held-out text. Raises UserError for both.
    """
    need_training()
    from textgen import runs
    from textgen.run_model import export_best
    from textgen.training.run_folder import RUNS, find_run

    found = find_run(str(run), Path(folder) / RUNS)
    if int8 and int4:
        raise UserError("Weights cannot have both 8 and 4 bits.", "Ask for int8 or for int4.")
    bits = 4 if int4 else 8 if int8 else 32
    name = found.name if bits == 32 else f"{found.name}-int{bits}"
    path = output or Path(folder) / shelf.EXPORTED / f"{name}.onnx"
    setup = runs.read_setup(found, corpus, registry or discover())
    export_best(found, setup, path, bits=bits)
    if output is None:
        copy(path, path.parent / shelf.NEWEST)
    return path


def export_weights(
    weights: str | Path | Mapping[str, Tensor],
    vocabulary: str | Path | Sequence[str],
    *,
    cell: str = "lstm",
    output: str | Path | None = None,
    folder: str | Path = ".",
    registry: Registry | None = None,
) -> Path:
    """Makes a model file from weights of a torch ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN``.

    ``weights`` is a state dict with an embedding, the layers and a linear head, or a .safetensors
    file of one; ``vocabulary`` the characters in the order of the weights, or a file of them. An
    empty symbol is the boundary. Raises UserError where they do not belong together.
    """
    need_training()
    from textgen import runs
    from textgen.export.adopted import export_adopted, read_symbols, read_weights

    registry = registry or discover()
    name = Path(weights).stem if isinstance(weights, str | Path) else "weights"
    path = Path(output) if output else Path(folder) / shelf.EXPORTED / f"{name}.onnx"
    chosen = runs.choose_cell(cell, {}, registry)
    export_adopted(
        read_weights(Path(weights)) if isinstance(weights, str | Path) else weights,
        read_symbols(Path(vocabulary)) if isinstance(vocabulary, str | Path) else list(vocabulary),
        path,
        cell=chosen.name,
        cell_class=chosen.cell_class,
        cell_distribution=chosen.origin["distribution"],
        tokenizer=registry.load("tokenizer", "characters"),
        tokenizer_distribution=registry.find("tokenizer", "characters").distribution,
        name=name,
    )
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
    given = {**options, "progress": progress, "notify": notify}
    if corpus is not None:
        return open_corpus(corpus, registry=registry, **given)
    try:
        return open_corpus(DEFAULT_CORPUS, registry=registry, **given)
    except FetchError as error:
        if notify:
            notify(f"{error.problem} Training on {OFFLINE_CORPUS} instead.")
        return open_corpus(OFFLINE_CORPUS, registry=registry, **given)
