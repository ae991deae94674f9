"""Writes a training's figures and samples as TensorBoard's event files, without TensorFlow."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.tracker import RunFacts, Tracker

if TYPE_CHECKING:
    from tensorboard.summary.writer.record_writer import RecordWriter

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class Options:
    folder: str = option("tensorboard", "where the runs are written, each in a folder of its name")


class TensorBoard(Tracker):
    """Figures as scalars, samples and settings as texts: tensorboard --logdir tensorboard."""

    Options: ClassVar[type] = Options
    _writer: RecordWriter

    def begin(self, run: RunFacts) -> None:
        """Begins a file of its own; what others told of later steps TensorBoard then leaves out."""
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder = Path(self.options.folder) / run.name
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads files in the order of their names; its own name the computer, too
        path = folder / f"events.out.tfevents.{time.time_ns():020d}"
        self._writer = RecordWriter(path.open("xb"))
        self._write(file_version="brain.Event:2")
        start = SessionLog(status=SessionLog.START)
        self._write(step=run.step + 1 if run.step else 0, session_log=start)
        settings = {"corpus": run.corpus, **run.settings}
        rows = "".join(f"| {name} | {value} |\n" for name, value in settings.items())
        self._write_text("settings", run.step, f"| setting | value |\n|---|---|\n{rows}")
        self._writer.flush()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._write(step=step, summary=Summary(value=scalars))

    def sample(self, step: int, text: str) -> None:
        # indented, Markdown leaves it as it is
        self._write_text("sample", step, "".join(f"    {line}\n" for line in text.split("\n")))

    def checkpoint(self, step: int, folder: Path) -> None:
        """What was told so far is on disk, too."""
        self._writer.flush()

    def end(self, outcome: str) -> None:
        self._writer.close()

    def _write_text(self, tag: str, step: int, text: str) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING

        plugin = SummaryMetadata.PluginData(plugin_name="text")
        value = Summary.Value(
            tag=f"{tag}/text_summary",
            metadata=SummaryMetadata(plugin_data=plugin),
            tensor=TensorProto(dtype=DT_STRING, string_val=[text.encode("utf-8", "replace")]),
        )
        self._write(step=step, summary=Summary(value=[value]))

    def _write(self, **event: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.write(Event(wall_time=time.time(), **event).SerializeToString())


@hookimpl
def textgen_trackers() -> dict[str, type[Tracker]]:
    return {"tensorboard": TensorBoard}
