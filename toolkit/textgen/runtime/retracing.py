"""Where the symbols of a history lead: the states after them, exactly as they were."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from textgen.contracts.errors import PluginError
from textgen.contracts.sampler import SamplerState
from textgen.runtime.chain import Chain
from textgen.runtime.engine import Cursor, Engine
from textgen.runtime.history import History, Settings
from textgen.runtime.names import FREE
from textgen.runtime.noise import noise
from textgen.runtime.writer import read_prompt

if TYPE_CHECKING:
    from textgen.runtime.model import Model

_TURNS = 256
"""Symbols that are drawn again at a call."""


@dataclass(frozen=True)
class Stand:
    """Where one stream stands, and the chain that its samplers' states are of."""

    chain: Chain
    cursor: Cursor


def stand_at_end(model: Model, history: History, end: np.ndarray | None = None) -> Stand:
    """Where the history leads: its ``end``, as ``packed`` made it, or where that is not known or
    does not fit, what comes of reading on from the nearest state that was kept."""
    place = len(history)
    begin = history.begin_of(place)
    states = [(at, state) for at, state in history.kept if at > begin]
    states += [] if end is None or place == begin else [(place, end)]
    for at, state in reversed(states):
        settings = history.settings_at(at - 1)
        chain = model.chain(**settings.sampling)
        if cursor := unpacked(model, chain, state, history.ids[at - 1]):
            return _read_on(model, history, at, settings, Stand(chain, cursor))
    settings = history.settings_at(begin)
    return _read_on(model, history, begin, settings, _beginning(model, settings))


def under_settings(model: Model, history: History, place: int, stand: Stand) -> Stand:
    """The stand under the settings in force from ``place`` on.

    A sampler that was there before keeps its states. Others have read the text so far, as they
    would a prompt.
    """
    settings, begin = history.settings_at(place), history.begin_of(place)
    if place == begin:
        return _beginning(model, settings)
    chain, known = model.chain(**settings.sampling), defaultdict[object, list[SamplerState]](list)
    for link, state in zip(stand.chain.links, stand.cursor.samplers, strict=True):
        known[link.key].append(state)
    carried = [known[link.key].pop(0) if known[link.key] else None for link in chain.links]
    start = model.start(chain, 1)
    if any(old is None and new for old, new in zip(carried, start.samplers, strict=True)):
        start = read_prompt(model.engine(chain), chain, start, history.numbers(begin, place))
    samplers = [
        new if old is None else old for old, new in zip(carried, start.samplers, strict=True)
    ]
    return Stand(chain, replace(stand.cursor, samplers=samplers))


def draw_again(
    engine: Engine, chain: Chain, cursor: Cursor, ids: np.ndarray, seed: int, position: int
) -> Cursor:
    """Where a stream stands once it has drawn ``ids`` (T,), the first with the noise of
    ``position``.

    They are drawn anew, for a sampler's state may depend on how likely each was. On another machine
    one may come out as another: then it is forced.
    """
    if not any(link.sampler.state_shapes() for link in chain.links):
        return read_prompt(engine, chain, cursor, ids)
    for first in range(0, len(ids), _TURNS):
        wanted = ids[first : first + _TURNS, None]
        places = position + first + np.arange(len(wanted))
        random = noise(seed, np.zeros(1, np.int64), places)
        forced = np.full(wanted.shape, FREE, np.int64)
        drawn, following = engine.write(cursor, chain, forced, random)
        while (other := np.flatnonzero(drawn != wanted)).size:
            forced[other[0]] = wanted[other[0]]
            drawn, following = engine.write(cursor, chain, forced, random)
        cursor = following
    return cursor


def packed(stand: Stand) -> np.ndarray:
    """All states of a stand as one vector. Raises PluginError where a sampler's are no float32."""
    parts = list(stand.cursor.states.values())
    for link, state in zip(stand.chain.links, stand.cursor.samplers, strict=True):
        for name, value in state.items():
            if value.dtype != np.float32:
                kind = type(link.sampler).__name__
                raise PluginError(
                    f"The state {name!r} of the sampler {kind} is {value.dtype}.",
                    "States are float32.",
                )
            parts.append(value)
    return np.concatenate([part.ravel() for part in parts]) if parts else np.zeros(0, np.float32)


def unpacked(model: Model, chain: Chain, state: np.ndarray, token: int) -> Cursor | None:
    """The cursor that ``packed`` made a vector of; None where a sampler has other states now."""
    start = model.start(chain, 1)
    shapes: list[dict[str, np.ndarray]] = [start.states, *start.samplers]
    sizes = [value.size for part in shapes for value in part.values()]
    if sum(sizes) != state.size:
        return None
    values = iter(np.split(state, np.cumsum(sizes)[:-1]))
    states, *samplers = (
        {name: next(values).reshape(value.shape) for name, value in part.items()} for part in shapes
    )
    return Cursor(np.array([token], np.int64), states, samplers)


def _read_on(model: Model, history: History, place: int, settings: Settings, stand: Stand) -> Stand:
    """The stand at the end of the history, from the one at ``place`` of its last text."""
    for stretch in history.stretches(place, len(history)):
        if stretch.settings != settings:
            settings = stretch.settings
            stand = under_settings(model, history, stretch.first, stand)
        chain, engine = stand.chain, model.engine(stand.chain)
        ids = history.numbers(stretch.first, stretch.last)
        if stretch.fed:
            cursor = read_prompt(engine, chain, stand.cursor, ids)
        else:
            position = history.drawn_before(stretch.first)
            cursor = draw_again(engine, chain, stand.cursor, ids, settings.seed, position)
        stand = Stand(chain, cursor)
    return stand


def _beginning(model: Model, settings: Settings) -> Stand:
    chain = model.chain(**settings.sampling)
    return Stand(chain, model.start(chain, 1))
