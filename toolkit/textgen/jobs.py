"""A training from its folder to its end: by one process, or by those of a torchrun job.

The first rank claims the folder. torchrun starts all its processes again where one was lost; they
find the run that their job has begun, and go on with it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from textgen import runs
from textgen.contracts.errors import TextgenError, UserError
from textgen.contracts.options import options_dict
from textgen.contracts.tracker import RunFacts, Tracker
from textgen.interrupts import Interrupts
from textgen.runs import Run, Setup
from textgen.training.choosing import Choosing
from textgen.training.grafting import Scion
from textgen.training.network import Network
from textgen.training.observer import Observer
from textgen.training.ranks import Ranks, job, joined
from textgen.training.run_folder import (
    RUNS,
    RunFolder,
    all_runs,
    check_free,
    new_run,
    settle_replaced,
)
from textgen.training.settings import build_settings, settings_dict
from textgen.training.tracking import Tracking
from textgen.training.trainer import TrainedRun, Trainer


@dataclass(frozen=True)
class Watchers:
    """Who is told of a training, by the first rank: an observer, and trackers by their names.
    ``warn`` is told of a tracker that fails."""

    observer: Observer
    trackers: Sequence[tuple[str, Tracker]]
    warn: Callable[[str], None]


def begin(
    setup: Setup,
    ranks: Ranks,
    *,
    scion: Scion | None,
    choosing: Choosing | None,
    began: float,
    name: str | None,
    force: bool,
    folder: Path,
    watchers: Watchers,
    notify: Callable[[str], None] | None,
) -> Run:
    """Trains a fresh network, or a ``scion``, in a new run, as ``run_folder.new_run`` makes it, to
    the end of the budget or to an interrupt; or goes on with the run of this torchrun job.

    Settings that are left to ``choosing`` are chosen by all ranks together. A budget in minutes
    counts from when it ``began`` by ``time.perf_counter``.
    """
    with contextlib.ExitStack() as held:
        with joined(ranks):
            _refuse_another(setup, ranks)
            open_settings = choosing.open_settings if choosing else ()
            begun = None
            if ranks.first:
                begun = _begun_by_this_job(setup, name, folder / RUNS, open_settings)
                if begun is None and name is not None:  # before time is spent on choosing
                    check_free(name, force=force, runs=folder / RUNS)
            if choosing:
                setup = _chosen(setup, choosing, begun, ranks, notify)
            network = runs.fresh_network(setup, scion)
            run, resumed = begun, begun is not None and begun.last.exists()
            if ranks.first:
                if run is not None and not resumed:  # lost before its first checkpoint
                    name, force = run.name, True
                if run is None or not resumed:
                    corpus, cell = setup.corpus.name, setup.cell.name
                    run = new_run(corpus, cell, name=name, force=force, runs=folder / RUNS)
                held.callback(_settle_replaced, run.path, notify)
                held.enter_context(run.locked())
                held.enter_context(_forgotten_unless_begun(run))
                if not resumed:
                    run.write_description(runs.described(setup) | _job())
                elif notify:
                    notify(f"Going on with {run.path}, which this torchrun job began.")
            told = ranks.agreed({"run": run.name if run else "", "resumed": resumed})
            run = run or RunFolder(folder / RUNS / told["run"])
            trained = _trained(
                run, setup, network, ranks, watchers, resumed=told["resumed"], began=began
            )
        return _exported(run, setup, trained, ranks, folder)


def go_on(run: RunFolder, setup: Setup, ranks: Ranks, *, folder: Path, watchers: Watchers) -> Run:
    """Goes on with a run from its last checkpoint."""
    with run.locked() if ranks.first else contextlib.nullcontext():
        network = runs.fresh_network(setup)
        with joined(ranks):
            _refuse_another(setup, ranks)
            trained = _trained(run, setup, network, ranks, watchers, resumed=True)
        return _exported(run, setup, trained, ranks, folder)


def _exported(run: RunFolder, setup: Setup, trained: TrainedRun, ranks: Ranks, folder: Path) -> Run:
    """The run that has ended, whose model file a first signal does not keep from being made."""
    with Interrupts():
        from textgen.run_model import finish_run  # loads ONNX, for which no start should wait

        return finish_run(run, setup, trained, folder, export_it=ranks.first)


def _chosen(
    setup: Setup,
    choosing: Choosing,
    begun: RunFolder | None,
    ranks: Ranks,
    notify: Callable[[str], None] | None,
) -> Setup:
    """The setup with the settings that were open: chosen now, or when this job ``begun`` a run."""
    settings = ranks.agreed(begun.description()["settings"] if begun else None)
    if settings is None:
        choice = choosing.choose(ranks)
        settings = choice.settings
        if notify and ranks.first:
            notify(choice.reason)
    return replace(setup, settings=build_settings(settings))


def _trained(
    run: RunFolder,
    setup: Setup,
    network: Network,
    ranks: Ranks,
    watchers: Watchers,
    *,
    resumed: bool,
    began: float | None = None,
) -> TrainedRun:
    """What all ranks have trained; the first alone need know the run's folder."""
    facts = _facts(run, setup)
    tracking = Tracking(watchers.observer, watchers.trackers, facts, watchers.warn)
    trainer = Trainer(
        setup.corpus, network, setup.settings, setup.optimizer, run, tracking, ranks, began
    )
    if resumed:
        trainer.resume()
    with tracking:
        return trainer.run()


def _facts(run: RunFolder, setup: Setup) -> RunFacts:
    """What trackers are told of a run."""
    settings = {"cell": setup.cell.name, **settings_dict(setup.settings)}
    for kind, options in (("cell", setup.cell.options), ("optimizer", setup.optimizer.options)):
        settings |= {f"{kind}.{name}": value for name, value in options_dict(options).items()}
    return RunFacts(run.name, run.path, settings, setup.corpus.name)


def _refuse_another(setup: Setup, ranks: Ranks) -> None:
    """Raises UserError on a rank that trains something else than the first."""
    mine = _comparable(runs.described(setup))
    told = ranks.agreed(mine)
    other = [part for part in mine if mine[part] != told.get(part)]
    if other:
        raise UserError(
            f"Rank {ranks.rank} was given another {min(other)} than the first rank.",
            "Give the same command and the same text on every machine.",
        )


def _begun_by_this_job(
    setup: Setup, name: str | None, folder: Path, open_settings: Collection[str]
) -> RunFolder | None:
    """The newest run that this torchrun job began with the same setup, but for settings that were
    open, and of the same name where one is given."""
    wanted = _comparable(runs.described(setup), open_settings) | _job()
    for run in all_runs(folder) if "job" in wanted else []:
        with contextlib.suppress(UserError):
            described = run.description()
            same = _comparable(described, open_settings) | {"job": described.get("job")} == wanted
            if same and name in (None, run.name):
                return run
    return None


def _job() -> dict[str, str]:
    return {"job": job()} if job() else {}


def _comparable(
    described: Mapping[str, Any], open_settings: Collection[str] = ()
) -> dict[str, Any]:
    """What a run's description says but for what differs between machines and jobs, and for
    settings that were open."""
    same = {part: value for part, value in described.items() if part != "job"}
    same["corpus"] = {n: v for n, v in described["corpus"].items() if n != "packed"}
    same["settings"] = {n: v for n, v in described["settings"].items() if n not in open_settings}
    plain: dict[str, Any] = json.loads(json.dumps(same))
    return plain


def _settle_replaced(path: Path, notify: Callable[[str], None] | None) -> None:
    with contextlib.suppress(TextgenError):  # whoever looks for the run next tries again
        if settle_replaced(path) and notify:
            notify(f"The run {path} is still the old one: the new one had nothing to keep.")


@contextlib.contextmanager
def _forgotten_unless_begun(run: RunFolder) -> Iterator[None]:
    try:
        yield
    except BaseException:
        run.forget_unbegun()
        raise
