"""A training from its folder to its end: by one process, or by those of a torchrun job.

The first rank claims the folder. torchrun starts all its processes again where one was lost; they
find the run that their job has begun, and go on with it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textgen import runs
from textgen.contracts.errors import UserError
from textgen.contracts.options import options_dict
from textgen.contracts.tracker import RunFacts, Tracker
from textgen.runs import Run, Setup
from textgen.training.network import Network
from textgen.training.observer import Observer
from textgen.training.ranks import Ranks, job, joined
from textgen.training.run_folder import RUNS, RunFolder, all_runs, new_run
from textgen.training.settings import settings_dict
from textgen.training.tracking import Tracking
from textgen.training.trainer import Trainer


@dataclass(frozen=True)
class Watchers:
    """Who is told of a training, by the first rank: an observer, and trackers by their names.
    ``warn`` is told of a tracker that fails."""

    observer: Observer
    trackers: Sequence[tuple[str, Tracker]]
    warn: Callable[[str], None]


def begin(
    setup: Setup,
    network: Network,
    ranks: Ranks,
    *,
    name: str | None,
    force: bool,
    folder: Path,
    watchers: Watchers,
    notify: Callable[[str], None] | None,
) -> Run:
    """Trains the fresh ``network`` in a new run, as ``run_folder.new_run`` makes it, to the end of
    the budget or to an interrupt; or goes on with the run of this torchrun job."""
    with contextlib.ExitStack() as stack:
        run, resumed = None, False
        if ranks.first:
            run = _begun_by_this_job(setup, name, folder / RUNS)
            resumed = run is not None and run.last.exists()
            if run is not None and not resumed:  # lost before its first checkpoint
                name, force = run.name, True
            if run is None or not resumed:
                corpus, cell = setup.corpus.name, setup.cell.name
                run = new_run(corpus, cell, name=name, force=force, runs=folder / RUNS)
            stack.enter_context(run.locked())
            stack.enter_context(_forgotten_unless_begun(run))
            if not resumed:
                run.write_description(runs.described(setup) | _job())
            elif notify:
                notify(f"Going on with {run.path}, which this torchrun job began.")
        return _train(run, setup, network, ranks, folder, watchers, resumed=resumed)


def go_on(run: RunFolder, setup: Setup, ranks: Ranks, *, folder: Path, watchers: Watchers) -> Run:
    """Goes on with a run from its last checkpoint."""
    with run.locked() if ranks.first else contextlib.nullcontext():
        network = runs.fresh_network(setup)
        return _train(run, setup, network, ranks, folder, watchers, resumed=True)


def _train(
    run: RunFolder | None,
    setup: Setup,
    network: Network,
    ranks: Ranks,
    folder: Path,
    watchers: Watchers,
    *,
    resumed: bool,
) -> Run:
    """Trains on all ranks, and exports on the first, which alone need know the run's folder."""
    with joined(ranks):
        told = _told({"run": run.name if run else "", "resumed": resumed}, setup, ranks)
        run = run or RunFolder(folder / RUNS / told["run"])
        facts = _facts(run, setup)
        tracking = Tracking(watchers.observer, watchers.trackers, facts, watchers.warn)
        trainer = Trainer(
            setup.corpus, network, setup.settings, setup.optimizer, run, tracking, ranks
        )
        if told["resumed"]:
            trainer.resume()
        with tracking:
            trained = trainer.run()
    return runs.finish_run(run, setup, trained, folder, export_it=ranks.first)


def _facts(run: RunFolder, setup: Setup) -> RunFacts:
    """What trackers are told of a run."""
    settings = {"cell": setup.cell.name, **settings_dict(setup.settings)}
    for kind, options in (("cell", setup.cell.options), ("optimizer", setup.optimizer.options)):
        settings |= {f"{kind}.{name}": value for name, value in options_dict(options).items()}
    return RunFacts(run.name, run.path, settings, setup.corpus.name)


def _told(words: Mapping[str, Any], setup: Setup, ranks: Ranks) -> dict[str, Any]:
    """The words of the first rank. Raises UserError where it trains something else."""
    mine = {**words, **_comparable(runs.described(setup))}
    told: dict[str, Any] = json.loads(ranks.broadcast(json.dumps(mine).encode()))
    other = [part for part in mine.keys() - words.keys() if mine[part] != told.get(part)]
    if other:
        raise UserError(
            f"Rank {ranks.rank} was given another {min(other)} than the first rank.",
            "Give the same command and the same text on every machine.",
        )
    return told


def _begun_by_this_job(setup: Setup, name: str | None, folder: Path) -> RunFolder | None:
    """The newest run that this torchrun job began with the same setup, and of the same name where
    one is given."""
    wanted = _comparable(runs.described(setup)) | _job()
    for run in all_runs(folder) if "job" in wanted else []:
        with contextlib.suppress(UserError):
            described = run.description()
            same = _comparable(described) | {"job": described.get("job")} == wanted
            if same and name in (None, run.name):
                return run
    return None


def _job() -> dict[str, str]:
    return {"job": job()} if job() else {}


def _comparable(described: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's description says but for what differs between machines and jobs."""
    same = {part: value for part, value in described.items() if part != "job"}
    same["corpus"] = {n: v for n, v in described["corpus"].items() if n != "packed"}
    plain: dict[str, Any] = json.loads(json.dumps(same))
    return plain


@contextlib.contextmanager
def _forgotten_unless_begun(run: RunFolder) -> Iterator[None]:
    try:
        yield
    except BaseException:
        run.forget_unbegun()
        raise
