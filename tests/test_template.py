"""Templates: texts begin with given fields, and values are read back from texts."""

from __future__ import annotations

import pytest

from textgen.contracts.errors import UserError
from textgen.template import MOST_VALUES, beginning, fields, values

KNOWN = {"school": ["fire", "water"]}


def test_fields_with_what_stands_before():
    assert fields("<{school}> {{{name}}}!") == [("<", "school"), ("> {", "name")]


def test_values_of_fields_that_have_few():
    texts = [f"{school}|{n}" for n in range(MOST_VALUES + 1) for school in ("fire", "fire", "sea")]
    assert values("{school}|{name}", texts) == {"school": ["fire", "sea"]}
    assert values("{a}|{b}", ["x|y|z", "no bar"]) == {"a": ["x"], "b": ["y|z"]}
    assert values("{a}|{b}", ["x" * 101 + "|y"]) == {"b": ["y"]}


@pytest.mark.parametrize(
    ("template", "given", "text"),
    [
        ("{school}|{name}", {"school": "fire"}, "fire|"),
        ("{school}|{name}", {}, ""),
        ("<{school}> {name}.", {"name": "Igra", "school": "water"}, "<water> Igra"),
        ("{kind}/{school}|{name}", {"kind": "new kinds too"}, "new kinds too/"),
    ],
)
def test_the_text_up_to_the_first_field_that_is_not_given(template, given, text):
    assert beginning(template, KNOWN, given) == text


@pytest.mark.parametrize(
    ("template", "given", "told"),
    [
        ("", {"school": "fire"}, "not trained with a template"),
        ("{school}|{name}", {"shool": "fire"}, "Did you mean school"),
        ("{school}|{name}", {"school": "air"}, "fire, water"),
        ("{school}|{name}", {"name": "Igra"}, "--given school=VALUE --given name=Igra"),
    ],
)
def test_what_cannot_be_given(template, given, told):
    with pytest.raises(UserError) as caught:
        beginning(template, KNOWN, given)
    assert told in str(caught.value)
