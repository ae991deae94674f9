"""What a model runs on: its graphs and sessions, built when they are first needed, and kept."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from textgen.model_file import ModelFile
from textgen.runtime.chain import Chain
from textgen.runtime.engine import Engine, LoopEngine, StepEngine, Stretch
from textgen.runtime.scoring import TextReader

if TYPE_CHECKING:
    import onnx
    import onnxruntime

    from textgen.runtime.sessions import PacedSession

KEPT_CHAINS = 8
"""Chains of samplers whose graphs are kept; the one not used for longest goes first."""


class Engines:
    """Those of one model file, on ``provider`` (``cpu`` or ``cuda``), with ``threads`` of the CPU,
    or as many as serve best where it is None."""

    def __init__(self, file: ModelFile, provider: str, threads: int | None) -> None:
        self._file = file
        self.provider = provider
        self._threads = threads
        self._engines: dict[Any, tuple[Chain, Engine]] = {}

    def engine(self, chain: Chain, *, stepwise: bool = False) -> Engine:
        """What runs ``chain``: the loop, or steps where a sampler has no graph form."""
        stepwise = stepwise or not chain.in_graph
        key = (stepwise, chain.key)
        # the chain is kept too: a key may hold the id of one of its samplers
        found = self._engines.pop(key, None) or (chain, self._build_engine(chain, stepwise))
        self._engines[key] = found
        while len(self._engines) > KEPT_CHAINS:
            del self._engines[next(iter(self._engines))]
        return found[1]

    @cached_property
    def step(self) -> onnxruntime.InferenceSession:
        """The session of one step."""
        return self._open(self._tuned)

    @cached_property
    def reader(self) -> TextReader:
        """What reads texts for what they cost."""
        from textgen.runtime import loop_graph

        loop = loop_graph.reading_loop(self._tuned, self._file.info.states)
        return TextReader(self._paced(loop), self._file.info)

    def _build_engine(self, chain: Chain, stepwise: bool) -> Engine:
        from textgen.runtime import loop_graph, sampling_graph, stepping

        if not stepwise:
            loop = loop_graph.writing_loop(self._tuned, self._file.info.states, chain)
            return LoopEngine(self._paced(loop))
        stretches = []
        for links in chain.stretches():
            in_graph = chain.links[links[0]].in_graph
            graph = sampling_graph.adjust_graph(chain, links) if in_graph else None
            stretches.append(Stretch(links, graph and self._open(graph)))
        stateful = tuple(
            number
            for number, link in enumerate(chain.links)
            if link.in_graph and link.sampler.state_shapes()
        )
        accept = sampling_graph.accept_graph(chain, stateful) if stateful else None
        return StepEngine(
            stepping.stepper(self.step, self.provider),
            stretches,
            self._draw,
            Stretch(stateful, accept and self._open(accept)),
        )

    @cached_property
    def _draw(self) -> onnxruntime.InferenceSession:
        from textgen.runtime import sampling_graph

        return self._open(sampling_graph.draw_graph(self._file.info.vocabulary.size))

    @cached_property
    def _tuned(self) -> onnx.ModelProto:
        """The step that all engines and ``step`` run."""
        from textgen.runtime.tuned_step import tuned_step

        return tuned_step(self._file.graph(), self._file.info.vocabulary.size)

    def _open(self, graph: onnx.ModelProto) -> onnxruntime.InferenceSession:
        """A session for steps from outside."""
        from textgen.runtime.sessions import default_threads, open_session

        threads = self._threads or default_threads(len(self._file.data))
        return open_session(graph.SerializeToString(), self.provider, threads)

    def _paced(self, graph: onnx.ModelProto) -> PacedSession:
        """A session for many turns a call."""
        from textgen.runtime.sessions import PacedSession

        size = len(self._file.data)
        return PacedSession(graph.SerializeToString(), self.provider, self._threads, size)
