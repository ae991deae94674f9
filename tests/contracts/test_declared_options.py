"""Options: declared once, given by a person as words or by a program as values."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from textgen.contracts.errors import UserError
from textgen.contracts.options import (
    NoOptions,
    build_options,
    describe,
    option,
    options_dict,
    parse_assignments,
)


@dataclass(frozen=True)
class Options:
    heads: int = option(4, "number of heads", minimum=1, maximum=2**63 - 1)
    share: float = option(0.5, "share kept", above=0, below=1)
    floor: float = option(1e-6, "least probability", minimum=1e-6)
    peephole: bool = option(False, "whether gates see the memory")
    kind: str = option("sum", "how heads are joined", choices=("sum", "mean"))
    limit: int | None = option(None, "number of symbols; none: all")


def test_what_is_declared_is_described():
    told = {
        info.name: (info.type, info.optional, info.default, info.limits)
        for info in describe(Options)
    }
    assert told == {
        "heads": (int, False, 4, "at least 1, at most 9223372036854775807"),
        "share": (float, False, 0.5, "above 0, below 1"),
        "floor": (float, False, 1e-6, "at least 1e-06"),
        "peephole": (bool, False, False, ""),
        "kind": (str, False, "sum", "one of sum, mean"),
        "limit": (int, True, None, ""),
    }


def test_words_become_values():
    words = {"heads": "8", "share": "0.25", "peephole": "yes", "kind": "mean", "limit": "none"}
    built = build_options(Options, words, "cell 'mine'")
    assert built == Options(8, 0.25, 1e-6, True, "mean", None)
    assert build_options(Options, options_dict(built), "cell 'mine'") == built
    assert build_options(Options, {}, "cell 'mine'") == Options()


@pytest.mark.parametrize(
    ("given", "problem", "remedy"),
    [
        ({"heads": "0"}, "heads of the cell 'mine' cannot be 0", "at least 1"),
        ({"heads": "2.5"}, "a whole number, not '2.5'", "default is 4"),
        ({"heads": 2.5}, "a whole number, not 2.5", "default is 4"),
        ({"share": "1"}, "cannot be 1.0", "above 0, below 1"),
        ({"share": "nan"}, "cannot be nan", "above 0, below 1"),
        ({"floor": "inf"}, "cannot be inf", "a finite number, at least 1e-06"),
        ({"peephole": "perhaps"}, "is yes or no", "peephole=yes"),
        ({"kind": "max"}, "cannot be 'max'", "one of sum, mean"),
        ({"limit": "x"}, "a whole number", "default is None"),
        ({"head": "1"}, "no option of the cell 'mine' named 'head'", "Did you mean heads?"),
    ],
)
def test_what_cannot_be_meant(given, problem, remedy):
    with pytest.raises(UserError) as refused:
        build_options(Options, given, "cell 'mine'")
    assert problem in refused.value.problem
    assert remedy in refused.value.remedy


def test_a_plugin_without_options():
    with pytest.raises(UserError, match="has no options"):
        build_options(NoOptions, {"x": "1"}, "cell 'mine'")
    assert options_dict(None) == options_dict(NoOptions()) == {}


def test_assignments():
    assert parse_assignments(["a=1", "b=x=y", "c="], "--x") == {"a": "1", "b": "x=y", "c": ""}
    for wrong in ("a", "=1"):
        with pytest.raises(UserError, match="NAME=VALUE"):
            parse_assignments([wrong], "--x")
