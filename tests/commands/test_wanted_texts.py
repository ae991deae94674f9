"""generate with wishes: what comes, what is told, and how it ends."""

from __future__ import annotations

import json

import pytest

import textgen


@pytest.fixture(scope="module")
def spells(tmp_path_factory):
    """A small model of a table with a template."""
    folder = tmp_path_factory.mktemp("spells")
    rows = [
        f"{school},{first}{last}"
        for first in ("Ig", "Fla", "Aqua", "Ter", "Umb", "Lux")
        for last in ("nis", "mo", "ra", "tus", "dor", "lis", "ven")
        for school in ("fire", "deep water")
    ]
    path = folder / "spells.csv"
    path.write_text("school,name\n" + "\n".join(rows) + "\n", encoding="utf-8")
    template = {"reader_options": {"template": "{school}|{name}"}}
    return textgen.train(
        path, corpus_options=template, steps=150, hidden_size=32, folder=folder, name="spells"
    )


def test_new_names_none_twice(textgen_command, workplace, names):
    line = "--onnx names --samples 40 --seed 1 --unique --new --min-length 3 --max-length 7"
    done = textgen_command("generate", *line.split())
    assert done.status == 0
    texts = done.out.splitlines()
    assert len(set(texts)) == len(texts) == 40
    assert all(3 <= len(text) <= 7 for text in texts)
    assert not set(texts) & set(names.read_text().splitlines())
    assert "Refused: " in done.err and "in the corpus" in done.err
    found = textgen_command("generate", *line.split(), "--json")
    assert [json.loads(row)["text"] for row in found.out.splitlines()] == texts


def test_blocked_words_and_matches(textgen_command, workplace):
    (workplace / "block.txt").write_text("\nANA\n  dor \n", encoding="utf-8")
    line = "--onnx names --samples 15 --seed 2 --match ^[BC].*t$ --block block.txt"
    done = textgen_command("generate", *line.split())
    assert done.status == 0
    for text in done.out.splitlines():
        assert text[0] in "BC" and text[-1] == "t" and "dor" not in text
    assert "not matching" in done.err


def test_what_was_found_is_written_before_the_failure(textgen_command, workplace):
    line = "--onnx names --samples 30 --seed 2 --match ^B --tries 5"
    done = textgen_command("generate", *line.split())
    assert done.status == 1
    texts = done.out.splitlines()
    assert 0 < len(texts) < 30 and all(text.startswith("B") for text in texts)
    assert f"Of 30 texts {30 - len(texts)} could not be found" in done.err
    assert "--tries" in done.err


def test_given_fields_are_not_repeated(textgen_command, spells):
    onnx = ("--onnx", spells.model, "--seed", "1")
    done = textgen_command("generate", *onnx, "--given", "school=deep water", "--samples", "6")
    assert done.status == 0
    assert len(done.out.splitlines()) == 6
    assert "|" not in done.out and "water" not in done.out
    primed = textgen_command("generate", *onnx, "--prompt", "deep water|", "--samples", "6")
    assert primed.out.replace("deep water|", "") == done.out
    shown = textgen_command("show", spells.model)
    assert "fire, deep water" in shown.out
    assert "bits" not in json.loads(textgen_command("show", spells.model, "--json").out)["known"]


def test_seeds_and_temperatures_of_each(textgen_command, workplace):
    both = textgen_command("generate", "--length", 30, "--seed", "3,4", "--temperature", "0.5,1.5")
    assert both.status == 0
    one = textgen_command("generate", "--length", 30, "--seed", 4, "--temperature", 1.5)
    assert both.out.endswith("\n" + one.out) and len(both.out) > len(one.out) + 30
    assert "seed 3, 4" in both.err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--match (", "not a regular expression"),
        ("--onnx verses --new", "running text"),
        ("--min-length 5 --max-length 2", "No text has"),
        ("--tries 0", "number of tries"),
        ("--block nowhere.txt", "nowhere.txt could not be read"),
        ("--given school=fire", "not trained with a template"),
        ("--given school", "NAME=VALUE"),
        ("--seed 1,2 --samples 3", "2 seeds for 3 samples"),
        ("--temperature 1,cold", "not a valid float"),
        ("--temperature 0,1", "temperature cannot be 0"),
    ],
)
def test_wishes_that_cannot_be(textgen_command, workplace, line, told):
    done = textgen_command("generate", *line.split())
    assert done.status == 2
    assert told in done.err
    assert len(done.err.strip().splitlines()) in (2, 3)  # the model's name may stand before
    assert not done.out
