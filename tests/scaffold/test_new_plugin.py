"""``plugins new``: distributions that install, work, and pass their own tests and ours."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fake_distributions import install_project, write_metadata
from textgen import cli
from textgen.contracts.errors import TextgenError, UserError
from textgen.registry import discover
from textgen.scaffold.new_plugin import KINDS, new_plugin, write_plugin

ROOT = Path(__file__).parent.parent.parent
INSTALLED = discover().entries()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with a fresh distribution of every kind, each named new-KIND and installed."""
    place = tmp_path_factory.mktemp("new")
    for kind in KINDS:
        plugin = new_plugin(kind, f"new-{kind}", INSTALLED)
        folder = place / plugin.distribution
        write_plugin(plugin, folder)
        install_project(folder)
    return place


def on_path(site: Path) -> list[str]:
    return [str(site / f"textgen-new-{kind}") for kind in KINDS]


def test_their_tests_pass(site):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", site, site],
        cwd=site,
        env={**_environment(), "PYTHONPATH": ":".join(on_path(site))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_they_are_written_as_we_write(site):
    ruff = Path(sys.executable).with_name("ruff")
    for words in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [ruff, *words, "--config", "pyproject.toml", "--no-cache", site],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


def test_their_metadata(site):
    for kind in KINDS:
        text = (site / f"textgen-new-{kind}" / "pyproject.toml").read_text(encoding="utf-8")
        project = tomllib.loads(text)["project"]
        assert project["name"] == f"textgen-new-{kind}"
        assert "textgen-plugin" in project["keywords"]
        assert project["entry-points"].popitem()[1] == {f"new-{kind}": f"textgen_new_{kind}"}
        readme = (site / f"textgen-new-{kind}" / "README.md").read_text(encoding="utf-8")
        assert f"pip install textgen-new-{kind}" in readme
        assert "$" not in text + readme


def test_they_are_used(site, tmp_path, monkeypatch, capfd):
    for folder in on_path(site):
        monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(tmp_path)
    quotes = "".join(f"The {n} cats sat on the mat.\n%\n" for n in range(300))
    (tmp_path / "text.new-reader").write_text(quotes)
    train = "train text.new-reader --cell new-cell --tokenizer new-tokenizer --steps 3"
    train += " --hidden-size 8 --optimizer new-optimizer --tracker new-tracker --name mine"
    assert cli.run(train.split()) == 0
    assert (tmp_path / "new-tracker" / "mine.tsv").read_text().count("\tfinal.cold\t") == 1
    run = json.loads((tmp_path / "runs" / "mine" / "run.json").read_text())
    assert run["cell"]["distribution"] == "textgen-new-cell"
    assert run["corpus"]["tokenizer_distribution"] == "textgen-new-tokenizer"
    capfd.readouterr()
    assert cli.run(["generate", "--sampler", "new-sampler", "--length", "5", "--seed", "1"]) == 0
    assert cli.run(["new-command", "text.new-reader"]) == 0
    assert f"{len(quotes)} characters" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("MyCell", "mycell"),
        ("my_cell", "my-cell"),
        ("my--cell", "my-cell"),
        ("3gates", "gates"),
        ("textgen-mgu", "mgu"),
        ("-mgu-", "mgu"),
        ("mgu\x1b[31m", "mgu-31m"),
        ("x" * 41, "x" * 40),
        ("../mgu", "mgu"),
        ("", None),
        ("\u65e5\u672c", None),
    ],
)
def test_what_is_no_name(name, example):
    with pytest.raises(UserError, match="no name for a plugin") as refused:
        new_plugin("cell", name, INSTALLED)
    if example is None:
        assert "for example" not in refused.value.remedy
    else:
        assert refused.value.remedy.endswith(f": for example {example}.")
        assert new_plugin("cell", example, INSTALLED).name == example


@pytest.mark.parametrize(
    ("kind", "name"),
    [("cell", "lstm"), ("sampler", "top-k"), ("cell", "cells"), ("command", "toolkit")],
)
def test_what_the_toolkit_has_already(kind, name):
    with pytest.raises(UserError, match="has the"):
        new_plugin(kind, name, INSTALLED)


def test_the_name_of_a_command_is_taken(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["plugins", "new", "command", "train"]) == 2
    assert "The toolkit has the command 'train' already." in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_it_is_taken_where_another_plugin_has_it_too(tmp_path, monkeypatch, capsys):
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    write_metadata(site, "textgen-thief", [("textgen.commands", "train", "x")], "1.0")
    write_metadata(site, "textgen-other", [("textgen.commands", "haiku", "x")], "1.0")
    monkeypatch.chdir(tmp_path)
    assert cli.run(["plugins", "new", "command", "train"]) == 2
    assert "The toolkit has the command 'train' already." in capsys.readouterr().err
    assert cli.run(["plugins", "new", "command", "haiku"]) == 0  # theirs is not the toolkit's


def test_a_name_of_another_kind_is_free():
    assert new_plugin("sampler", "lstm", INSTALLED).distribution == "textgen-lstm"
    # no word of Python, whatever the name
    assert new_plugin("cell", "none", INSTALLED).class_name == "NoneCell"


def test_an_unknown_kind_lists_the_known():
    with pytest.raises(UserError, match="no kind of plugin") as refused:
        new_plugin("cells", "mgu", INSTALLED)
    assert "Did you mean cell?" in refused.value.remedy


def test_what_exists_stays(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["plugins", "new", "cell", "mgu"]) == 0
    (tmp_path / "textgen-mgu" / "README.md").write_text("mine")
    assert cli.run(["plugins", "new", "sampler", "mgu"]) == 2
    assert "There is a textgen-mgu already." in capsys.readouterr().err
    assert (tmp_path / "textgen-mgu" / "README.md").read_text() == "mine"
    assert cli.run(["plugins", "new", "sampler", "mgu", "-o", "other/place", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert sorted(told["files"]) == sorted(
        str(path.relative_to("other/place"))
        for path in Path("other/place").rglob("*")
        if path.is_file()
    )


def test_nothing_half_written_stays(tmp_path, monkeypatch):
    plugin = new_plugin("cell", "mgu", INSTALLED)
    written = Path.write_text

    def full(path, text, **kwargs):
        if path.name.startswith("test_"):
            raise OSError(28, "No space left on device")
        return written(path, text, **kwargs)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(TextgenError, match="No space left"):
        write_plugin(plugin, tmp_path / "textgen-mgu")
    assert list(tmp_path.iterdir()) == []


def _environment() -> dict[str, str]:
    import os

    # the tests of a plugin are its author's: without our cache and workers
    return {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
