"""Plugins as they were chosen: each a class with its options, and where it comes from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from textgen.contracts.errors import PluginError, UserError, unknown_name
from textgen.contracts.options import build_options, options_dict
from textgen.contracts.tracker import Tracker
from textgen.quarantine import PluginFailure, contained
from textgen.registry import Registry


class HasOptions(Protocol):
    """What every kind of class declares."""

    Options: ClassVar[type]


P = TypeVar("P", bound=HasOptions)

TrackerChoice = Tracker | str | tuple[str, Mapping[str, Any]]
"""A tracker, its name, or its name and options."""


@dataclass(frozen=True)
class Chosen(Generic[P]):
    """A plugin's class with its options, and where it comes from, for the record."""

    name: str
    plugin: type[P]
    options: Any
    origin: Mapping[str, Any]

    def described(self) -> dict[str, Any]:
        """For runs and model files; ``choose_again`` reads it."""
        return {"name": self.name, "options": options_dict(self.options), **self.origin}


def choose(
    kind: str, plugin: str | type[P], options: Mapping[str, Any], registry: Registry
) -> Chosen[P]:
    """The plugin of a name, or a class of one's own. Raises UserError for an unknown name and for
    a wrong option."""
    if isinstance(plugin, str):
        chosen: type[P] = registry.load(kind, plugin)
        entry = registry.find(kind, plugin)
        name, origin = entry.name, {"distribution": entry.distribution, "version": entry.version}
        if entry.digest:
            origin["sha256"] = entry.digest
    else:
        chosen, name, origin = plugin, plugin.__name__.lower(), {"distribution": "", "version": ""}
    built = build_options(chosen.Options, options, f"{kind} {name!r}")
    return Chosen(name, chosen, built, origin)


def choose_again(kind: str, described: Mapping[str, Any], registry: Registry) -> Chosen[Any]:
    """What ``described`` tells of. Raises UserError where it is gone, telling how to get it again,
    and where it came from a file that has changed since."""
    name, distribution = described["name"], described["distribution"]
    with still_there(distribution, registry):
        # by its full name: another distribution may have a plugin of the same
        full = f"{distribution}:{name}" if distribution else name
        chosen: Chosen[Any] = choose(kind, full, described["options"], registry)
        if not distribution and registry.find(kind, full).bundled:
            raise unknown_name(kind, f"{full} of a program", registry.names(kind))
    if chosen.origin.get("sha256") != described.get("sha256"):
        raise UserError(
            f"{distribution} has changed since the run began with its {kind}.",
            "Give it as it was, or begin a new run from the exported model: --init-from.",
        )
    return chosen


@contextlib.contextmanager
def still_there(distribution: str, registry: Registry) -> Iterator[None]:
    """Where a run's plugin of the ``distribution`` is missing, the error tells how to get it
    again."""
    try:
        yield
    except UserError as error:
        if not distribution or any(e.distribution == distribution for e in registry.entries()):
            raise
        again = f"give it again: --plugin {distribution}"
        remedy = again if distribution.endswith(".py") else "install it."
        raise UserError(
            error.problem, f"The run was trained with {distribution}; {remedy}"
        ) from None


def choose_trackers(
    choices: Iterable[TrackerChoice], registry: Registry
) -> list[tuple[str, Tracker]]:
    """The trackers, each with what it is called. Raises UserError for an unknown name and for a
    wrong option, PluginError where one cannot be made."""
    found = []
    for choice in choices:
        if isinstance(choice, Tracker):
            found.append((type(choice).__name__, choice))
            continue
        name, given = (choice, {}) if isinstance(choice, str) else choice
        chosen: Chosen[Tracker] = choose("tracker", name, given, registry)
        try:
            with contained():
                found.append((chosen.name, chosen.plugin(chosen.options)))
        except PluginFailure as failure:
            raise PluginError(
                f"The tracker {name!r} could not be made: {failure}", "Train without it."
            ) from failure.__cause__
    return found
