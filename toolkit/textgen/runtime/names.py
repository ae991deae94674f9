"""The names of the loop's inputs and outputs. They begin with a prefix of ours, so that none meets
a name of the step graph that is put inside."""

from __future__ import annotations

PREFIX = "textgen/"

FREE = -1
"""A forced symbol that is none: the turn draws."""

TOKEN = f"{PREFIX}token"
FORCED = f"{PREFIX}forced"
NOISE = f"{PREFIX}noise"
LAST = f"{PREFIX}last"
IDS = f"{PREFIX}ids"
LOGPROBS = f"{PREFIX}logprobs"
LOWEST = f"{PREFIX}lowest"


def state(name: str) -> str:
    """A state of the step, coming in."""
    return f"{PREFIX}in/{name}"


def state_after(name: str) -> str:
    """The same, going out."""
    return f"{PREFIX}out/{name}"


def sampler_state(link: int, name: str) -> str:
    """A state of the sampler at place ``link`` of the chain, coming in."""
    return f"{PREFIX}in/sampler{link}.{name}"


def sampler_state_after(link: int, name: str) -> str:
    """The same, going out."""
    return f"{PREFIX}out/sampler{link}.{name}"


def option(link: int, name: str) -> str:
    """A run-time option of the sampler at place ``link``."""
    return f"{PREFIX}option/sampler{link}.{name}"
