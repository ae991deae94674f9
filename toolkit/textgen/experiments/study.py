"""A study: the trials of a sweep in one SQLite file, which several processes can join.

sweeps/<corpus>-<cell>/
    study.db                the study, as Optuna keeps it
    sweep.svg               its picture
    .trial-<number>/        a trial that is running; locked by its process, and gone with it

A trial whose process died is known by its lock, which the system has let go: at once, where a
heartbeat would need minutes. All that could run twice happens under the study's own lock.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from textgen.contracts.errors import TextgenError, UserError
from textgen.experiments.space import Varied, grid
from textgen.storage import explained
from textgen.training.run_folder import RunFolder

SWEEPS = Path("sweeps")
EVALUATIONS = 10
"""Evaluations of a trial, by which it is compared with others on the way."""

_UNPRUNED = 2
"""Evaluations before which no trial is given up: the first say more of the warm-up."""

_TRIES = 3
"""How often a trial is begun that is interrupted or killed."""

_BUSY_SECONDS = 60
_STUDY, _DESCRIBED = "sweep", "sweep"


@dataclass(frozen=True)
class TrialRecord:
    """A trial as the study has it."""

    number: int
    state: str
    """``complete``, ``pruned``, ``diverged``, ``impossible``, ``interrupted``, ``killed``,
    ``failed`` or ``running``."""
    settings: Mapping[str, Any]
    """What was varied, by name."""
    loss: float | None
    """The lowest on the text held back from training, in nats a symbol, so far."""
    steps: int = 0
    symbols: int = 0
    """Symbols seen, repeats counted."""
    seconds: float = 0.0
    reason: str = ""
    validation: Mapping[str, Any] = field(default_factory=dict)
    """Losses on the validation text, of a complete trial. They choose nothing."""


class Trial:
    """A trial that this process runs."""

    def __init__(self, study: Study, asked: optuna.Trial, settings: dict[str, Any]) -> None:
        self._study = study
        self._asked = asked
        self.number = _number(asked)
        self.settings = settings
        self.folder = RunFolder(study.trial_folder(self.number))
        self._held = contextlib.ExitStack()
        self._held.enter_context(self.folder.locked())

    def hopeless(self, nats: float, evaluation: int) -> bool:
        """Tells a loss on the way, and whether the pruner gives the trial up for it."""
        with _told(self.folder.path):
            self._asked.report(nats, evaluation)
            return self._asked.should_prune()

    def end(self, state: str, loss: float | None = None, **told: Any) -> TrialRecord:
        """Writes down how it ended: ``loss`` belongs to a complete one, ``told`` are further fields
        of its record. What was interrupted will be tried again."""
        return self._study.end(self, self._asked, state, loss, told)

    def release(self) -> None:
        """Lets the folder go, and what the training left in it."""
        self._held.close()
        shutil.rmtree(self.folder.path, ignore_errors=True)


class Study:
    """Opens the study in ``folder``, or begins it.

    ``described`` is what all who join must have in common, as JSON values. Raises UserError where
    the study there is of something else.
    """

    def __init__(
        self,
        folder: Path,
        described: Mapping[str, Any],
        space: Sequence[Varied],
        *,
        sampler: str,
        pruner: str,
        seed: int,
        first: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.space = space
        self._sampler, self._seed = sampler, seed
        points = list(grid(space)) if sampler == "grid" else [first] if first else []
        random.Random(seed).shuffle(points)
        self.points = len(points) if sampler == "grid" else 0
        """Of its grid, if it is one."""
        with self._alone():
            self._study, self.joined = _open(folder / "study.db", described, points)
        self._study.pruner = _pruner(pruner)

    def next(self, wanted: int) -> Trial | None:
        """The next trial; None where the study has ``wanted`` of them, or its grid no more."""
        with self._alone():
            self._bury_the_dead()
            trials = self._study.get_trials(deepcopy=False)
            waiting = any(trial.state is TrialState.WAITING for trial in trials)
            if _counted(trials) >= wanted or (self._sampler == "grid" and not waiting):
                return None
            # by the trial's number: processes that share a study must not draw the same
            self._study.sampler = _sampler(self._sampler, f"{self._seed} {len(trials)}")
            asked = self._study.ask()
            return Trial(self, asked, {varied.name: varied.suggest(asked) for varied in self.space})

    def end(
        self,
        trial: Trial,
        asked: optuna.Trial,
        state: str,
        loss: float | None,
        told: Mapping[str, Any],
    ) -> TrialRecord:
        """Ends the trial; see ``Trial.end``."""
        again = state == "interrupted"
        states = {"complete": TrialState.COMPLETE, "failed": TrialState.FAIL}
        # what diverged was pruned, to the sampler: it then keeps away from there
        found = TrialState.FAIL if again else states.get(state, TrialState.PRUNED)
        with self._alone():
            asked.set_user_attr("ended", {"state": state, **told})
            self._study.tell(asked, loss, state=found)
            if again:
                self._try_again(self._frozen(trial.number))
            trial.release()
        return self.record(trial.number)

    def records(self) -> list[TrialRecord]:
        """All trials that were begun: those that came to their end first, by their loss."""
        trials = self._study.get_trials(deepcopy=False)
        records = [self._record(t) for t in trials if t.state is not TrialState.WAITING]
        return sorted(
            records,
            key=lambda r: (r.state != "complete", r.loss is None, r.loss or 0.0, r.number),
        )

    def record(self, number: int) -> TrialRecord:
        """The trial of that number."""
        return self._record(self._frozen(number))

    def best(self) -> TrialRecord | None:
        """The trial of the lowest loss among those that came to their end."""
        first = next(iter(self.records()), None)
        return first if first and first.state == "complete" else None

    def counted(self) -> int:
        """How many trials count: all but those that were interrupted, killed or failed."""
        return _counted(self._study.get_trials(deepcopy=False))

    def trial_folder(self, number: int) -> Path:
        return self.folder / f".trial-{number}"

    def _record(self, trial: FrozenTrial) -> TrialRecord:
        # a trial that did not tell how it ended was running when its process died
        state = "running" if trial.state is TrialState.RUNNING else "killed"
        ended = {"state": state, **trial.user_attrs.get("ended", {})}
        losses = trial.intermediate_values.values()
        return TrialRecord(
            number=_number(trial),
            settings={
                v.name: v.rounded(trial.params[v.name])
                for v in self.space
                if v.name in trial.params
            },
            loss=trial.value if trial.state is TrialState.COMPLETE else min(losses, default=None),
            **ended,
        )

    def _bury_the_dead(self) -> None:
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            folder = RunFolder(self.trial_folder(_number(trial)))
            try:
                with folder.locked():
                    pass
            except UserError:  # its process is alive
                continue
            self._study.tell(trial.number, state=TrialState.FAIL)
            self._try_again(trial)
            shutil.rmtree(folder.path, ignore_errors=True)

    def _try_again(self, trial: FrozenTrial) -> None:
        tries = trial.user_attrs.get("tries", 1)
        if tries < _TRIES:
            point = trial.user_attrs.get("point", trial.params)
            self._study.enqueue_trial(point, user_attrs={"tries": tries + 1, "point": point})

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number - 1]

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Holds the study for a moment; of those who join, one at a time."""
        with explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"), _told(self.folder):
            yield


def _open(
    path: Path, described: Mapping[str, Any], points: Sequence[Mapping[str, Any]]
) -> tuple[optuna.Study, bool]:
    """The study in ``path``, and whether others began it; a new one begins with ``points``."""
    storage = optuna.storages.RDBStorage(
        str(URL.create("sqlite", database=str(path))),
        engine_kwargs={"connect_args": {"timeout": _BUSY_SECONDS}},
    )
    name = path.parent.name
    study = optuna.create_study(storage=storage, study_name=_STUDY, load_if_exists=True)
    begun = study.user_attrs.get(_DESCRIBED)
    if begun is not None:
        _refuse_another(name, begun, described)
        return study, True
    if study.get_trials(deepcopy=False):  # whoever began it was killed before it was whole
        optuna.delete_study(storage=storage, study_name=_STUDY)
        study = optuna.create_study(storage=storage, study_name=_STUDY)
    for point in points:
        study.enqueue_trial(dict(point), user_attrs={"point": dict(point)})
    study.set_user_attr(_DESCRIBED, dict(described))
    return study, False


def _refuse_another(name: str, begun: Mapping[str, Any], described: Mapping[str, Any]) -> None:
    """Raises UserError where a study is not what one wants to join."""
    remedy = "Give the same, or begin another sweep with --name."
    for what in ("corpus", "cell", "varied", "sampler", "pruner"):
        if begun.get(what) != described[what]:
            theirs, ours = (_in_words(told.get(what)) for told in (begun, described))
            other = f", not {ours}" if theirs != ours else ", read or cut otherwise"
            with_what = "over" if what == "varied" else f"with the {what}"
            raise UserError(f"The sweep {name} was begun {with_what} {theirs}{other}.", remedy)
    for setting, value in described["settings"].items():
        if begun["settings"].get(setting, value) != value:
            raise UserError(
                f"The sweep {name} was begun with {setting} {begun['settings'][setting]}, "
                f"not {value}.",
                remedy,
            )


def _in_words(told: Any) -> str:
    if isinstance(told, Mapping):
        return f"{told['name']} ({told['sha256'][:8]})"
    return " ".join(told) if isinstance(told, list) else str(told)


def _number(trial: optuna.Trial | FrozenTrial) -> int:
    """Of a trial, for people: from 1."""
    return trial.number + 1


def _counted(trials: Sequence[FrozenTrial]) -> int:
    begun = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    return sum(trial.state in begun for trial in trials)


def _sampler(name: str, key: str) -> optuna.samplers.BaseSampler:
    seed = random.Random(key).getrandbits(32)
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)


def _pruner(name: str) -> optuna.pruners.BasePruner:
    if name == "median":
        return optuna.pruners.MedianPruner(n_warmup_steps=_UNPRUNED + 1)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=EVALUATIONS)
    return optuna.pruners.NopPruner()


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Optuna works in silence, and what fails is told in a sentence."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        reason = " ".join(str(error.__cause__ or error).split())[:200]
        raise TextgenError(
            f"The study in {path} cannot be used: {reason}.",
            "Check the disk and the folder, or begin another sweep with --name.",
        ) from error
    finally:
        optuna.logging.set_verbosity(verbosity)
