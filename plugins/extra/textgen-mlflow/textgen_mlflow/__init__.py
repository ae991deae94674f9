"""Tells MLflow of a training: its settings, figures and samples."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.tracker import RunFacts, Tracker

if TYPE_CHECKING:
    from mlflow import MlflowClient

TEXTGEN_CONTRACT = 1

STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
"""How a training ended, in MLflow's words."""

_PARAMETERS = 100
"""That MLflow takes at once."""


@dataclass(frozen=True)
class Options:
    uri: str = option("sqlite:///mlflow.db", "where MLflow keeps runs: a database, or a server")
    experiment: str = option("textgen", "the experiment that the runs are of")


class MLflow(Tracker):
    """Settings as parameters, figures as metrics, samples as artifacts of a run of MLflow's."""

    Options: ClassVar[type] = Options
    _client: MlflowClient
    _run: str

    def begin(self, run: RunFacts) -> None:
        """Makes a run of the same name, or goes on with the newest one of it."""
        self._client = _client(self.options.uri)
        found = self._client.get_experiment_by_name(self.options.experiment)
        experiment = (
            found.experiment_id
            if found
            else self._client.create_experiment(self.options.experiment)
        )
        wanted = f"attributes.run_name = '{run.name}'"
        newest = ["attributes.start_time DESC"]
        known = self._client.search_runs([experiment], wanted, max_results=1, order_by=newest)
        if run.step and known:
            self._run = known[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
        else:
            self._run = self._client.create_run(experiment, run_name=run.name).info.run_id
            self._log_settings({"corpus": run.corpus, **run.settings})

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = round(time.time() * 1000)
        figures = [Metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self._run, metrics=figures)

    def sample(self, step: int, text: str) -> None:
        self._client.log_text(self._run, text, f"samples/{step:09d}.txt")

    def end(self, outcome: str) -> None:
        self._client.set_terminated(self._run, STATUS[outcome])

    def _log_settings(self, settings: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        parameters = [Param(name, str(value)) for name, value in settings.items()]
        for start in range(0, len(parameters), _PARAMETERS):
            part = parameters[start : start + _PARAMETERS]
            self._client.log_batch(self._run, params=part)


def _client(uri: str) -> MlflowClient:
    """A client that tells nobody else of what is trained, and writes no log beside the training."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):  # mlflow sets the level as it is imported
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)


@hookimpl
def textgen_trackers() -> dict[str, type[Tracker]]:
    return {"mlflow": MLflow}
