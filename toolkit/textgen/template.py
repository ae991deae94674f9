"""Templates of records, such as ``{school}|{name}``: their fields, and texts that begin with some
of them."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from textgen.contracts.errors import UserError, unknown_name

MOST_VALUES = 200
"""A field of more different values than this is free text: its values are not kept."""

_LONGEST = 100
"""Characters of a value that is kept."""


def fields(template: str) -> list[tuple[str, str]]:
    """The fields in their order, each with the text that stands before it."""
    found, text = [], ""
    for before, name, _, _ in string.Formatter().parse(template):
        text += before  # a brace that is meant as one is a part of its own
        if name is not None:
            found.append((text, name))
            text = ""
    return found


def values(template: str, texts: Iterable[str]) -> dict[str, list[str]]:
    """The values that each field has in ``texts``, the commonest first; of the fields alone that
    have few."""
    names = [name for _, name in fields(template)]
    pattern = _pattern(template)
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    for text in texts:
        if found := pattern.fullmatch(text):
            for name, value in zip(names, found.groups(), strict=True):
                if name in counts:
                    counts[name][value] += 1
                    if len(counts[name]) > MOST_VALUES or len(value) > _LONGEST:
                        del counts[name]
    return {name: [value for value, _ in count.most_common()] for name, count in counts.items()}


def beginning(template: str, known: Mapping[str, Sequence[str]], given: Mapping[str, str]) -> str:
    """The text up to the first field that is not ``given``.

    Raises UserError for a field that the template lacks, a value that is not ``known``, and a field
    before which another would have to be given too.
    """
    if not template:
        raise UserError(
            "The model knows no fields: it was not trained with a template.",
            "Train on a table with --template '{kind}|{name}', or leave out --given.",
        )
    parts = fields(template)
    names = [name for _, name in parts]
    for name, value in given.items():
        if name not in names:
            raise unknown_name("field", name, names)
        if name in known and value not in known[name]:
            raise unknown_name(name, value, known[name])
    text = ""
    for place, (before, name) in enumerate(parts):
        text += before
        if name not in given:
            if later := [name for name in names[place + 1 :] if name in given]:
                raise UserError(
                    f"{later[0]} stands behind {name} in the template {template!r}.",
                    f"Give both: --given {name}=VALUE --given {later[0]}={given[later[0]]}",
                )
            break
        text += given[name]
    return text


def _pattern(template: str) -> re.Pattern[str]:
    """Matches texts of the template, a group a field. A value ends where what follows it begins."""
    pattern = ""
    for before, name, _, _ in string.Formatter().parse(template):
        pattern += re.escape(before) + ("(.*?)" if name is not None else "")
    return re.compile(pattern, re.DOTALL)
