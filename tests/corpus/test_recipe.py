"""Recipes: the bundled ones, a user's own, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from textgen.contracts.errors import UserError
from textgen.corpus.recipe import Recipe, load_recipe
from textgen_corpora import textgen_corpora

BUNDLED = {"latex", "linux", "names", "python-docs", "python-source", "shakespeare", "wikipedia"}


def recipe(folder: Path, text: str, name: str = "mine.toml") -> Recipe:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return load_recipe(path)


def test_bundled() -> None:
    recipes = {name: load_recipe(place) for name, place in textgen_corpora().items()}
    assert set(recipes) == BUNDLED
    for name, loaded in recipes.items():
        assert loaded.name == name and loaded.description and loaded.licence
        if loaded.source.kind == "package":
            assert loaded.sha256


def test_every_text_has_its_origin_written_down() -> None:
    place = next(iter(textgen_corpora().values()))
    sources = Path(str(place)).with_name("SOURCES.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in sources for name in BUNDLED)


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    loaded = recipe(
        tmp_path,
        r"""
description = "Mine"
licence = "CC0"
size = 12
reader = "csv"
documents = "lines"
split = "random"
[reader_options]
template = "{a}|{b}"
[source]
path = "texts"
members = ["*.csv"]
[[steps]]
pattern = '^(\w)\n'
replacement = '\1'
""",
    )
    assert (loaded.name, loaded.reader, loaded.size) == ("mine", "csv", 12)
    assert loaded.reader_options == {"template": "{a}|{b}"}
    assert loaded.source.members == ("*.csv",) and loaded.folder == tmp_path
    assert loaded.steps[0].pattern.sub(loaded.steps[0].replacement, "x\nab\n") == "xab\n"


GOOD = 'licence = "CC0"\n[source]\npath = "a"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("not toml", "not TOML"),
        ('licence = "CC0"', r"no \[source\]"),
        ('[source]\npath = "a"', "names no licence"),
        (GOOD + 'url = "https://example.org/a"\n', "no single source"),
        ('licence = "CC0"\n[source]\nsha256 = "a"\n', "no single source"),
        ("colour = 1\n" + GOOD, "no key of a recipe named 'colour'"),
        (GOOD + "colour = 1\n", "no key of a recipe's source"),
        ("reader = 1\n" + GOOD, "reader is not a text"),
        ('size = "big"\n' + GOOD, "size is not a number"),
        (GOOD + 'members = "a"\n', "members is not a list"),
        (GOOD + "[[steps]]\npattern = '('\nreplacement = ''\n", "cannot be read"),
        (GOOD + "[[steps]]\npattern = 'a'\nreplacement = '\\2'\n", "cannot be read"),
        (GOOD + "[[steps]]\npattern = 'a'\n", "replacement is not a text"),
        ('licence = "CC0"\n[source]\npackage = "a==1"\n', "needs its sha256"),
        ('licence = "CC0"\n[source]\npackage = "a"\nsha256 = "' + "0" * 64 + '"\n', "no package"),
        (
            'licence = "CC0"\n[source]\npackage = "a==1\\n--index-url x"\nsha256 = "'
            + "0" * 64
            + '"\n',
            "no package",
        ),
        (GOOD + 'sha256 = "xyz"\n', "64 hexadecimal"),
        ('licence = "CC0"\n[source]\nurl = "file:///a"\n', "no address"),
        ('licence = "CC0"\n[source]\nurl = "ftp://example.org/a"\n', "no address"),
        ('licence = "CC0"\n[source]\nstandard_library = "../a"\n', "not in the library"),
        ('licence = "CC0"\n[source]\nstandard_library = "/a"\n', "not in the library"),
    ],
)
def test_refusals(text: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=problem):
        recipe(tmp_path, text)


def test_missing_and_misnamed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no recipe"):
        load_recipe(tmp_path / "none.toml")
    with pytest.raises(UserError, match="is no word"):
        recipe(tmp_path, GOOD, "a b.toml")
