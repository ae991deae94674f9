"""The positions of a model's texts within an expression: where each symbol leads from each.

S positions, V symbols. An automaton reads bytes, a model writes symbols of several, or of a part of
a character; what it can write is found by letting it write everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from textgen.contracts.errors import UserError
from textgen_guided.expressions import Automaton, automaton_of

NEVER = 1 << 24
"""Symbols to the end of a text that cannot come to one. Float32 holds all whole numbers below."""

LARGEST = 8 << 20
"""Entries of a table: 32 MB in the graph that the model runs in."""

_TOGETHER = 1 << 20  # entries found at once


@dataclass(frozen=True)
class Positions:
    """``following`` (S + 2, V) int32: the position after each symbol. Position 0 is the beginning;
    the boundary leads to S, where a text has ended, and what cannot match to S + 1, from where only
    the boundary leads on. ``distances`` (S + 2,) float32: how many symbols it is to S at least."""

    following: np.ndarray
    distances: np.ndarray


@lru_cache(maxsize=8)  # a chain of samplers is made anew for every text
def find_positions(expression: str, symbols: tuple[bytes, ...], boundary: int) -> Positions:
    """Raises UserError for an expression that the symbols cannot match, or with too many
    positions."""
    automaton = automaton_of(expression)
    states, after = _written(automaton, symbols, expression)
    ended, lost = len(states), len(states) + 1
    numbers = np.full(len(automaton.final) + 1, lost, np.int32)  # the last is that of no state
    numbers[states] = np.arange(len(states))
    following = np.full((len(states) + 2, len(symbols)), lost, np.int32)
    following[:ended] = numbers[after]
    following[:ended, boundary] = np.where(automaton.final[states], ended, lost)
    following[ended:, boundary] = ended
    distances = _distances(following, ended)
    if distances[0] == NEVER:
        raise UserError(
            f"The model cannot write what matches {expression!r}.",
            "It lacks a symbol that every match needs; textgen show lists those it has.",
        )
    return Positions(following, distances)


def _written(
    automaton: Automaton, symbols: tuple[bytes, ...], expression: str
) -> tuple[np.ndarray, np.ndarray]:
    """The states (S,) in which the symbols can leave the automaton, in the order in which they are
    found, and those after each symbol (S, V); -1 where no match can come."""
    table, spelt = _padded(automaton.following, symbols)
    states, rows, done = [0], list[np.ndarray](), 0
    seen = np.zeros(len(table), bool)
    seen[[0, -1]] = True
    while done < len(states):
        part = np.array(states[done : done + max(1, _TOGETHER // len(symbols))])
        after = np.repeat(part[:, None], len(symbols), axis=1)
        for column in spelt.T:
            after = table[after, column]
        done += len(part)
        rows.append(after)
        found, first = np.unique(after, return_index=True)
        found = found[np.argsort(first)]  # by where they occur: states have no order of their own
        states += found[~seen[found]].tolist()
        seen[found] = True
        if len(states) * len(symbols) > LARGEST:
            raise UserError(
                f"The expression {expression!r} has too many positions for {len(symbols)} symbols.",
                "Repeat less in it, and write [a-z] or [0-9] for \\w or \\d, which are of all "
                "scripts.",
            )
    return np.array(states), np.concatenate(rows)


def _padded(following: np.ndarray, symbols: tuple[bytes, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The automaton with a byte 256 that leads nowhere else, and a last state that none leaves; and
    the symbols (V, longest), filled up with that byte."""
    table = np.full((len(following) + 1, 257), -1, np.int32)
    table[:-1, :256] = following
    table[:-1, 256] = np.arange(len(following))
    spelt = np.full((len(symbols), max(map(len, symbols))), 256)
    for row, symbol in zip(spelt, symbols, strict=True):
        row[: len(symbol)] = list(symbol)
    return table, spelt


def _distances(following: np.ndarray, ended: int) -> np.ndarray:
    """How far each position is from the end, found backwards from there."""
    size = len(following)
    # positions and what follows them, each pair once
    rows = following[:ended].astype(np.int64)
    pairs = [np.unique(row) + number * size for number, row in enumerate(rows)]
    sources, targets = np.divmod(np.concatenate(pairs), size)
    order = np.argsort(targets, kind="stable")
    before = np.split(sources[order], np.searchsorted(targets[order], np.arange(1, size)))
    distances = np.full(size, NEVER, np.float32)
    distances[ended] = steps = 0
    reached = [ended]
    while reached:
        steps += 1
        found = np.unique(np.concatenate([before[position] for position in reached]))
        reached = found[distances[found] == NEVER].tolist()
        distances[reached] = steps
    return distances
