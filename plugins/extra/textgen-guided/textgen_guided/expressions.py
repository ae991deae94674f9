"""Expressions as automata over bytes, by outlines-core: the regex syntax and the automata are those
of Rust's regex-automata."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import numpy as np
from outlines_core import Index, Vocabulary
from outlines_core.json_schema import build_regex_from_schema

from textgen.contracts.errors import UserError

_ANYTHING = "(?s:.*)"
_END = "\U0010ffff"
"""Stands behind a text that is whole; a noncharacter, which no text has."""


@dataclass(frozen=True)
class Automaton:
    """States and bytes (N, 256) to the states that follow, -1 where no match can; 0 is the first.
    ``final`` (N,): whether the text so far matches as a whole."""

    following: np.ndarray
    final: np.ndarray


def expression_of(regex: str, schema: str) -> str:
    """What a text must match. Raises UserError for a schema that cannot be followed."""
    if regex and schema:
        raise UserError("guided has a regex and a schema.", "Give one of them.")
    if not schema:
        return _without_anchors(regex) if regex else _ANYTHING
    try:
        json.loads(schema)
        expression: str = build_regex_from_schema(schema)
    except ValueError as error:
        raise UserError(
            f"The schema cannot be followed: {_told(error)}.",
            'Write it as JSON, such as {"type": "array", "items": {"type": "integer"}}.',
        ) from None
    return expression


def automaton_of(expression: str) -> Automaton:
    """Raises UserError for an expression that is none, or that looks around itself.

    An index over the 256 bytes as its symbols is the automaton itself. Such an automaton would
    leave an alternative as soon as an earlier one has matched; behind the end that is put after the
    expression nothing has, so that all that matches is kept.
    """
    vocabulary = Vocabulary(256, {bytes([byte]): [byte] for byte in range(256)})
    try:
        index = Index(f"(?:{expression}){_END}", vocabulary)
    except ValueError as error:
        raise UserError(
            f"The expression {expression!r} cannot be followed: {_fault(expression, error)}.",
            "It is as Rust's regex crate has it, without looking around, \\b, ^ and $; "
            "the whole text matches in any case.",
        ) from None
    transitions, first = index.get_transitions(), index.get_initial_state()
    ended = set(index.get_final_states())
    places = {state: n for n, state in enumerate([first, *sorted(transitions.keys() - {first})])}
    following = np.full((len(places), 256), -1, np.int32)
    for state, steps in transitions.items():
        for byte, after in steps.items():
            if byte < 256 and after in places:
                following[places[state], byte] = places[after]
    final = np.array([_after(transitions, state, _END.encode()) in ended for state in places])
    return Automaton(following, final)


def _without_anchors(regex: str) -> str:
    """``^`` at the beginning and ``$`` at the end say what is so in any case."""
    regex = regex.removeprefix("^")
    body = regex.removesuffix("$")
    escaped = (len(body) - len(body.rstrip("\\"))) % 2
    return regex if escaped else body


def _fault(expression: str, error: ValueError) -> str:
    """What is wrong, where Python knows it; the library often says no more than that something
    is."""
    try:
        re.compile(expression)
    except re.error as fault:
        return str(fault)
    return _told(error)


def _after(transitions: dict[int, dict[int, int]], state: int, data: bytes) -> int | None:
    """Where ``data`` leads from a state."""
    place: int | None = state
    for byte in data:
        place = transitions.get(place, {}).get(byte) if place is not None else None
    return place


def _told(error: ValueError) -> str:
    """The library's reason, of which the first line says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
