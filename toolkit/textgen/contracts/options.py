"""Options of a plugin, declared once: a frozen dataclass whose fields carry help and bounds.

    @dataclass(frozen=True)
    class Options:
        heads: int = option(4, "number of memory heads", minimum=1)

From that one declaration they are parsed from ``--cell-option heads=8``, validated, listed by
``textgen plugins show``, and stored in runs and model files.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textgen.contracts.errors import UserError, unknown_name

_TYPES = (bool, int, float, str)


@dataclass(frozen=True)
class NoOptions:
    """For plugins that have nothing to choose."""


@dataclass(frozen=True)
class OptionInfo:
    """One declared option, as help pages show it."""

    name: str
    type: type
    optional: bool
    default: Any
    help: str
    bounds: Mapping[str, float]
    choices: tuple[Any, ...]

    @property
    def limits(self) -> str:
        """The bounds in words, e.g. ``above 0, at most 1``; empty where there are none."""
        if self.choices:
            return "one of " + ", ".join(map(str, self.choices))
        words = {"minimum": "at least", "maximum": "at most", "above": "above", "below": "below"}
        return ", ".join(
            f"{words[name]} {bound:g}" if isinstance(bound, float) else f"{words[name]} {bound}"
            for name, bound in self.bounds.items()
        )


def option(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Sequence[Any] = (),
) -> Any:
    """A dataclass field that documents itself.

    ``minimum`` and ``maximum`` are allowed values; ``above`` and ``below`` are not. Name the unit
    in ``help`` ("number of symbols", "nats").
    """
    bounds = {"minimum": minimum, "maximum": maximum, "above": above, "below": below}
    metadata = {
        "help": help,
        "bounds": {name: value for name, value in bounds.items() if value is not None},
        "choices": tuple(choices),
    }
    return dataclasses.field(default=default, metadata=metadata)


def describe(options: type) -> list[OptionInfo]:
    """What the dataclass ``options`` declares, in its order. Raises TypeError where it is none, and
    for a field without a default or of a type that no one can type."""
    if not dataclasses.is_dataclass(options):
        raise TypeError(f"{options!r} is no dataclass of options")
    hints = typing.get_type_hints(options)
    described = []
    for field in dataclasses.fields(options):
        kind, optional = _plain_type(hints[field.name])
        if kind not in _TYPES:
            raise TypeError(f"option {field.name} is neither bool, int, float nor str, but {kind}")
        if field.default is dataclasses.MISSING:
            raise TypeError(f"option {field.name} has no default")
        described.append(
            OptionInfo(
                name=field.name,
                type=kind,
                optional=optional,
                default=field.default,
                help=field.metadata.get("help", ""),
                bounds=field.metadata.get("bounds", {}),
                choices=field.metadata.get("choices", ()),
            )
        )
    return described


def build_options(options: type, given: Mapping[str, Any], owner: str) -> Any:
    """An instance of ``options`` from ``given``, whose values may be strings typed by a person.

    ``owner`` names the plugin in messages, e.g. ``cell 'mgu'``. Raises UserError for an unknown
    name, a value of the wrong type, and one out of bounds.
    """
    known = {info.name: info for info in describe(options)}
    values = {}
    for name, value in given.items():
        if name not in known:
            if not known:
                raise UserError(
                    f"The {owner} has no options, but {name!r} was given.", "Leave it out."
                )
            raise unknown_name(f"option of the {owner}", name, known)
        values[name] = _convert(known[name], value, owner)
    return options(**values)


def parse_assignments(words: Sequence[str], flag: str) -> dict[str, str]:
    """``["a=1", "b=x=y"]`` as ``{"a": "1", "b": "x=y"}``. ``flag`` is named in the error."""
    given = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UserError(
                f"{flag} {word!r} is not of the form NAME=VALUE.",
                f"Write {flag} {name or 'NAME'}=VALUE.",
            )
        given[name] = value
    return given


def options_dict(options: Any) -> dict[str, Any]:
    """The options as plain JSON values, for runs and model files."""
    return {} if options is None else dataclasses.asdict(options)


def _plain_type(hint: Any) -> tuple[type, bool]:
    """``int | None`` is ``(int, True)``; ``int`` is ``(int, False)``."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        members = [member for member in typing.get_args(hint) if member is not type(None)]
        return members[0], True
    return hint, False


def _convert(info: OptionInfo, value: Any, owner: str) -> Any:
    where = f"Option {info.name} of the {owner}"
    if info.optional and (value is None or value == "none"):
        return None
    converted = _parse(info, value, where)
    if info.choices and converted not in info.choices:
        raise UserError(f"{where} cannot be {value!r}.", f"It is {info.limits}.")
    if isinstance(converted, int | float) and not isinstance(converted, bool):
        _check_bounds(info, converted, where)
    return converted


def _parse(info: OptionInfo, value: Any, where: str) -> Any:
    if info.type is bool:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if str(value).lower() in words:
            return words[str(value).lower()]
        raise UserError(
            f"{where} is yes or no, not {value!r}.", f"Write {info.name}=yes or {info.name}=no."
        )
    try:
        converted = info.type(value)
        if info.type is int and isinstance(value, float) and converted != value:
            raise ValueError
        return converted
    except (TypeError, ValueError, OverflowError):
        what = {int: "a whole number", float: "a number"}.get(info.type, f"a {info.type.__name__}")
        raise UserError(
            f"{where} is {what}, not {value!r}.", f"Its default is {info.default}."
        ) from None


def _check_bounds(info: OptionInfo, value: float, where: str) -> None:
    bounds = info.bounds
    inside = (
        math.isfinite(value)
        and value >= bounds.get("minimum", -math.inf)
        and value <= bounds.get("maximum", math.inf)
        and value > bounds.get("above", -math.inf)
        and value < bounds.get("below", math.inf)
    )
    if not inside:
        limits = [info.limits] if info.limits else []
        allowed = ", ".join(limits if math.isfinite(value) else ["a finite number", *limits])
        raise UserError(f"{where} cannot be {value}.", f"It is {allowed}.")
