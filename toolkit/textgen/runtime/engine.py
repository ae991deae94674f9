"""Engines: what turns symbols and states into the next ones, many turns at a call.

B streams, N turns, V symbols. ``LoopEngine`` runs step, samplers and draw inside one graph;
``StepEngine`` steps from Python, for chains that hold a sampler without a graph form. Both draw
with the same operators.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import onnxruntime

from textgen.contracts.sampler import SamplerState
from textgen.model_file import ModelFile
from textgen.runtime.chain import Chain
from textgen.runtime.loop_graph import FREE, NAMES


@dataclass(frozen=True)
class Cursor:
    """Where B streams stand: the symbol to be read next, and every state."""

    token: np.ndarray
    states: dict[str, np.ndarray]
    samplers: list[SamplerState]

    def rows(self, chosen: np.ndarray) -> Cursor:
        """The cursor of some of the streams, or of one repeated."""
        return Cursor(
            self.token[chosen],
            {name: value[chosen] for name, value in self.states.items()},
            [{n: value[chosen] for n, value in state.items()} for state in self.samplers],
        )


class Engine(Protocol):
    """Runs turns."""

    path: str
    """Which way this is, for people."""

    def write(
        self, cursor: Cursor, chain: Chain, forced: np.ndarray, noise: np.ndarray
    ) -> tuple[np.ndarray, Cursor]:
        """N turns: ``forced`` (N, B) symbols, or draws where it is FREE, with ``noise`` (N, B).

        Returns the ids (N, B) and where the streams stand then.
        """


def start(file: ModelFile, chain: Chain, streams: int) -> Cursor:
    """The beginning of a text: initial states, the boundary to be read first."""
    return Cursor(
        np.full(streams, file.info.vocabulary.boundary, np.int64),
        {state.name: state.array(streams) for state in file.info.states},
        chain.initial_state(streams),
    )


class LoopEngine:
    """Everything in one call."""

    path = "loop: step, samplers and draw in one graph"

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]
        self._inputs = {value.name for value in session.get_inputs()}

    def write(
        self, cursor: Cursor, chain: Chain, forced: np.ndarray, noise: np.ndarray
    ) -> tuple[np.ndarray, Cursor]:
        feed: dict[str, Any] = {
            NAMES.count: np.array(len(forced), np.int64),
            NAMES.token: cursor.token,
            NAMES.forced: forced,
            NAMES.noise: noise,
        }
        feed |= {NAMES.state(name): value for name, value in cursor.states.items()}
        for number, state in enumerate(cursor.samplers):
            feed |= {NAMES.sampler_state(number, name): v for name, v in state.items()}
        for number, options in enumerate(chain.options(forced.shape[1])):
            feed |= {NAMES.option(number, name): value for name, value in options.items()}
        feed = {name: value for name, value in feed.items() if name in self._inputs}
        results = dict(zip(self._outputs, self._session.run(None, feed), strict=True))
        samplers = [
            {name: results[NAMES.sampler_state_after(number, name)] for name in state}
            for number, state in enumerate(cursor.samplers)
        ]
        states = {name: results[NAMES.state_after(name)] for name in cursor.states}
        return results[NAMES.ids], Cursor(results[NAMES.last], states, samplers)


class StepEngine:
    """A call a symbol, the samplers in numpy."""

    path = "stepwise: a sampler of the chain has no graph form"

    def __init__(
        self, step: onnxruntime.InferenceSession, draw: onnxruntime.InferenceSession
    ) -> None:
        self._step = step
        self._draw = draw

    def write(
        self, cursor: Cursor, chain: Chain, forced: np.ndarray, noise: np.ndarray
    ) -> tuple[np.ndarray, Cursor]:
        written = np.empty_like(forced)
        options = chain.options(forced.shape[1])
        for turn, (wanted, numbers) in enumerate(zip(forced, noise, strict=True)):
            logits, *states = self._step.run(None, {"token": cursor.token, **cursor.states})
            following = dict(zip(cursor.states, states, strict=True))
            adjusted = chain.adjust(logits, cursor.samplers, options)
            drawn, logprobs = self._draw.run(
                None, {"logits": adjusted.astype(np.float32), "noise": numbers}
            )
            free = wanted == FREE
            ids = np.where(free, drawn, wanted)
            if not free.all():
                logprobs = np.where(free, logprobs, log_probability(logits, ids))
            written[turn] = ids
            samplers = chain.accept(ids, logprobs.astype(np.float32), cursor.samplers)
            cursor = replace(cursor, token=ids, states=following, samplers=samplers)
        return written, cursor


def log_probability(logits: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The log probability (B,) of ``ids`` (B,) under ``logits`` (B, V)."""
    highest = logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits - highest).sum(axis=1)) + highest[:, 0]
    found: np.ndarray = np.take_along_axis(logits, ids[:, None], axis=1)[:, 0] - total
    return found
