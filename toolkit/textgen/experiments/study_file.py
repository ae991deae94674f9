"""The file of a study: opened or begun by Optuna, in silence, and refused where it is another's."""

from __future__ import annotations

import contextlib
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from textgen.contracts.errors import TextgenError, UserError

EVALUATIONS = 10
"""Evaluations of a trial, by which it is compared with others on the way."""

_UNPRUNED = 2
"""Evaluations before which no trial is given up: the first say more of the warm-up."""

_BUSY_SECONDS = 60
_STUDY, _DESCRIBED = "sweep", "sweep"


def open_study(
    path: Path, described: Mapping[str, Any], points: Sequence[Mapping[str, Any]]
) -> tuple[optuna.Study, bool]:
    """The study in ``path``, and whether it was there; a new one begins with trials at ``points``.

    ``described`` is what all who join must have in common. Raises UserError where it is not.
    """
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
    for what in ("corpus", "cell", "optimizer", "varied", "sampler", "pruner"):
        if begun.get(what, described[what]) != described[what]:
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


def build_sampler(name: str, key: str) -> optuna.samplers.BaseSampler:
    """What draws a trial's settings, always the same for the same ``key``: Bergstra et al.,
    Algorithms for Hyper-Parameter Optimization (2011), or at random."""
    seed = random.Random(key).getrandbits(32)
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)


def build_pruner(name: str) -> optuna.pruners.BasePruner:
    """What gives trials up by their losses on the way; Hyperband: arXiv 1603.06560."""
    if name == "median":
        return optuna.pruners.MedianPruner(n_warmup_steps=_UNPRUNED + 1)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=EVALUATIONS)
    return optuna.pruners.NopPruner()


@contextlib.contextmanager
def quietly(path: Path) -> Iterator[None]:
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
