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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState

from textgen.contracts.errors import UserError
from textgen.experiments.space import Varied, combinations, require_grid
from textgen.experiments.study_file import build_pruner, build_sampler, open_study, quietly
from textgen.storage import explained
from textgen.training.run_folder import RunFolder

SWEEPS = Path("sweeps")
_TRIES = 3
"""How often a trial is begun whose process is killed, perhaps by what the trial asks for."""

_REPEATED = "repeated"
"""How a trial ends that the sampler drew a second time: at once, and not told."""


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
        with quietly(self.folder.path):
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
        self.combinations = combinations(space)
        """All there are, where they can be counted."""
        begin = [first] if first else []
        if sampler == "grid":
            require_grid(space)
            begin = random.Random(seed).sample(self.combinations, len(self.combinations))
        with self._alone():
            self._study, self.joined = open_study(folder / "study.db", described, begin)
        self._study.pruner = build_pruner(pruner)

    def next(self, wanted: int) -> Trial | None:
        """The next trial; None where the study has ``wanted`` of them, or nothing new is left."""
        with self._alone():
            self._bury_the_dead()
            trials = self._study.get_trials(deepcopy=False)
            waiting = any(trial.state is TrialState.WAITING for trial in trials)
            if len(_counted(trials)) >= wanted or (self._sampler == "grid" and not waiting):
                return None
            tried = [trial.params for trial in _counted(trials)]
            left = [settings for settings in self.combinations if settings not in tried]
            if self.combinations and not left:
                return None
            # by its number among those drawn: processes that share a study must not draw the same,
            # and what is tried again must not change what is drawn after it
            drawn = sum(not trial.user_attrs.get("again") for trial in trials)
            self._study.sampler = build_sampler(self._sampler, f"{self._seed} {drawn}")
            asked, settings = self._ask()
            if left and settings not in left:  # with the same seed it would end as it did
                asked.set_user_attr("ended", {"state": _REPEATED})
                self._study.tell(asked, state=TrialState.FAIL)
                self._enqueue(random.Random(drawn).choice(left))
                asked, settings = self._ask()
            return Trial(self, asked, settings)

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
                self._try_again(self._frozen(trial.number), killed=0)
            trial.release()
        return self.record(trial.number)

    def records(self) -> list[TrialRecord]:
        """All trials that were begun: those that came to their end first, by their loss."""
        trials = self._study.get_trials(deepcopy=False)
        records = [self._record(t) for t in trials if t.state is not TrialState.WAITING]
        return sorted(
            (record for record in records if record.state != _REPEATED),
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
        return len(_counted(self._study.get_trials(deepcopy=False)))

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
            self._try_again(trial, killed=1)
            shutil.rmtree(folder.path, ignore_errors=True)

    def _try_again(self, trial: FrozenTrial, *, killed: int) -> None:
        tries = trial.user_attrs.get("tries", 1) + killed
        if tries <= _TRIES:
            point = trial.user_attrs.get("point", trial.params)
            self._enqueue(point, tries=tries, again=True)

    def _enqueue(self, point: Mapping[str, Any], **known: Any) -> None:
        self._study.enqueue_trial(dict(point), user_attrs={"point": dict(point), **known})

    def _ask(self) -> tuple[optuna.Trial, dict[str, Any]]:
        asked = self._study.ask()
        return asked, {varied.name: varied.suggest(asked) for varied in self.space}

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number - 1]

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Holds the study for a moment; of those who join, one at a time."""
        with explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"), quietly(self.folder):
            yield


def _number(trial: optuna.Trial | FrozenTrial) -> int:
    """Of a trial, for people: from 1."""
    return trial.number + 1


def _counted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    return [trial for trial in trials if trial.state in states]
