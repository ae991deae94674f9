"""Engines: what turns symbols and states into the next ones, many turns at a call.

B streams, N turns, V symbols. ``LoopEngine`` runs step, samplers and draw inside one graph;
``StepEngine`` steps from Python, for chains that hold a sampler without a graph form. Both use the
same operators for the samplers that have one, and for the draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from textgen.contracts.errors import PluginError
from textgen.contracts.sampler import SamplerState
from textgen.model_file import ModelFile
from textgen.runtime import names
from textgen.runtime.chain import Chain, Options

if TYPE_CHECKING:
    import onnxruntime

    from textgen.runtime.sessions import PacedSession
    from textgen.runtime.stepping import Stepper


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

    def beside(self, other: Cursor) -> Cursor:
        """These streams and then ``other``'s."""
        return Cursor(
            np.concatenate([self.token, other.token]),
            {n: np.concatenate([v, other.states[n]]) for n, v in self.states.items()},
            [
                {n: np.concatenate([v, theirs[n]]) for n, v in state.items()}
                for state, theirs in zip(self.samplers, other.samplers, strict=True)
            ],
        )


class Engine(Protocol):
    """Runs turns."""

    path: str
    """Which way this is, for people."""

    @property
    def threads(self) -> str:
        """How many threads compute, for people."""

    def write(
        self,
        cursor: Cursor,
        chain: Chain,
        forced: np.ndarray,
        noise: np.ndarray,
        options: Options | None = None,
    ) -> tuple[np.ndarray, Cursor]:
        """N turns: ``forced`` (N, B) symbols, or draws where it is FREE, with ``noise`` (N, B).

        ``options`` are the samplers' where they differ between streams. Returns the ids (N, B) and
        where the streams stand then.
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

    def __init__(self, session: PacedSession) -> None:
        self._session = session

    @property
    def threads(self) -> str:
        return self._session.threads

    def write(
        self,
        cursor: Cursor,
        chain: Chain,
        forced: np.ndarray,
        noise: np.ndarray,
        options: Options | None = None,
    ) -> tuple[np.ndarray, Cursor]:
        feed: dict[str, Any] = {
            names.TOKEN: cursor.token,
            names.FORCED: forced,
            names.NOISE: noise[:, :, None],
        }
        feed |= {names.state(name): value for name, value in cursor.states.items()}
        links = range(len(chain.links))
        feed |= _sampler_feed(links, cursor.samplers, options or chain.options(forced.shape[1]))
        values = self._session.run(None, feed, *forced.shape)
        results = dict(zip(self._session.outputs, values, strict=True))
        samplers = [
            {name: results[names.sampler_state_after(number, name)] for name in state}
            for number, state in enumerate(cursor.samplers)
        ]
        states = {name: results[names.state_after(name)] for name in cursor.states}
        return results[names.IDS], Cursor(results[names.LAST], states, samplers)


@dataclass(frozen=True)
class Stretch:
    """Neighbouring samplers of a chain with their graph, or one alone that has none."""

    links: tuple[int, ...]
    session: onnxruntime.InferenceSession | None


class StepEngine:
    """A call a symbol: for chains that hold a sampler without a graph form."""

    def __init__(
        self,
        step: Stepper,
        stretches: Sequence[Stretch],
        draw: onnxruntime.InferenceSession,
        accept: Stretch,
    ) -> None:
        self._step = step
        self._stretches = stretches
        self._draw = draw
        self._accept = accept
        where = f", {step.where}" if step.where else ""
        self.path = f"stepwise: a sampler of the chain has no graph form{where}"

    @property
    def threads(self) -> str:
        options = self._step.session.get_session_options()
        return f"{options.intra_op_num_threads} threads"

    def write(
        self,
        cursor: Cursor,
        chain: Chain,
        forced: np.ndarray,
        noise: np.ndarray,
        options: Options | None = None,
    ) -> tuple[np.ndarray, Cursor]:
        written = np.empty_like(forced)
        options = options or chain.options(forced.shape[1])
        states = self._step.begin(cursor.states)
        for turn, (wanted, numbers) in enumerate(zip(forced, noise, strict=True)):
            logits, states = self._step.step(cursor.token, states)
            adjusted = self._adjust(chain, logits, cursor.samplers, options)
            feed = {"logits": logits, "adjusted": adjusted, "noise": numbers, "forced": wanted}
            ids, logprobs = self._draw.run(None, feed)
            written[turn] = ids
            accepted = self._accepted(chain, ids, logprobs, cursor.samplers, options)
            samplers = _heard(chain, wanted < 0, cursor.samplers, accepted)
            cursor = replace(cursor, token=ids, samplers=samplers)
        return written, replace(cursor, states=self._step.end(states))

    def _adjust(
        self,
        chain: Chain,
        logits: np.ndarray,
        samplers: list[SamplerState],
        options: Options,
    ) -> np.ndarray:
        logits = chain.allowed(logits)
        for stretch in self._stretches:
            if stretch.session is not None:
                feed = {"logits": logits, **_sampler_feed(stretch.links, samplers, options)}
                (logits,) = stretch.session.run(None, feed)
                continue
            (number,) = stretch.links
            logits = chain.adjust_link(number, logits, samplers, options)
            logits = np.ascontiguousarray(logits, np.float32)
            if not np.isfinite(logits.max(axis=1)).all():
                name = type(chain.links[number].sampler).__name__
                raise PluginError(
                    f"The sampler {name} left no symbol that can be drawn.",
                    "A sampler keeps at least one symbol of every row finite.",
                )
        return logits

    def _accepted(
        self,
        chain: Chain,
        ids: np.ndarray,
        logprobs: np.ndarray,
        samplers: list[SamplerState],
        options: Options,
    ) -> list[SamplerState]:
        following = list(samplers)
        for stretch in self._stretches:
            if stretch.session is None:
                (number,) = stretch.links
                following[number] = chain.accept_link(number, ids, logprobs, samplers[number])
        if self._accept.session is not None:
            feed = {"ids": ids, "logprobs": logprobs}
            feed |= _sampler_feed(self._accept.links, samplers, options)
            results = iter(self._accept.session.run(None, feed))
            for number in self._accept.links:
                shapes = chain.links[number].sampler.state_shapes()
                following[number] = {name: next(results) for name in shapes}
        return following


def _heard(
    chain: Chain, drawn: np.ndarray, before: list[SamplerState], after: list[SamplerState]
) -> list[SamplerState]:
    """The states ``after`` a turn; those ``before`` it where a symbol was given to a sampler that
    does not hear what is given."""
    if drawn.all():
        return after
    return [
        new if link.sampler.hears_prompt else _where(drawn, new, old)
        for link, old, new in zip(chain.links, before, after, strict=True)
    ]


def _where(chosen: np.ndarray, new: SamplerState, old: SamplerState) -> SamplerState:
    """Of each row ``chosen`` (B,) the new state, of the others the old one."""
    rows = {name: chosen.reshape(-1, *[1] * (value.ndim - 1)) for name, value in old.items()}
    return {name: np.where(rows[name], new[name], old[name]) for name in old}


def _sampler_feed(
    links: Sequence[int], samplers: list[SamplerState], options: Options
) -> dict[str, np.ndarray]:
    """The states and run-time options of some links, by their names in graphs."""
    feed = {}
    for number in links:
        for name, value in samplers[number].items():
            feed[names.sampler_state(number, name)] = value
        for name, value in options[number].items():
            feed[names.option(number, name)] = value
    return feed
