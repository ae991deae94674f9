"""Runs the examples of README.md and docs/: python blocks as a program, commands as typed.

A block marked ``file=NAME`` is written to that file, before the commands that stand below it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from textgen import cli
from textgen.contracts.options import describe
from textgen.training.settings import Settings

ROOT = Path(__file__).parent.parent
SCRIPTS = Path(sys.executable).parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
BLOCK = re.compile(r"^```(?P<language>\w+)(?P<flags>[^\n]*)\n(?P<body>.*?)^```$", re.M | re.S)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)(?P<target>[^)#]+)")


def all_blocks(page: Path) -> list[re.Match[str]]:
    """The page's code blocks in their order, but those marked ``not-run``."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [match for match in found if "not-run" not in match["flags"]]


def blocks(page: Path, language: str) -> list[str]:
    """Those in ``language`` that are no files."""
    found = all_blocks(page)
    return [m["body"] for m in found if m["language"] == language and "file=" not in m["flags"]]


def pages_with(language: str) -> list[pytest.param]:
    return [
        pytest.param(page, id=str(page.relative_to(ROOT)))
        for page in PAGES
        if page.exists() and blocks(page, language)
    ]


@pytest.mark.parametrize("page", pages_with("python"))
def test_python_examples(page, tmp_path):
    program = tmp_path / "example.py"
    program.write_text("\n".join(blocks(page, "python")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", pages_with("console"))
def test_console_examples(page, tmp_path):
    for block in all_blocks(page):
        if "file=" in block["flags"]:
            write_example(block, tmp_path)
        elif block["language"] == "console":
            for line in block["body"].splitlines():
                if line.startswith("$ "):
                    run_as_typed(line[len("$ ") :], tmp_path)


def write_example(block: re.Match[str], folder: Path) -> Path:
    path = folder / block["flags"].partition("file=")[2].split()[0]
    path.write_text(block["body"], encoding="utf-8")
    return path


def run_as_typed(line: str, folder: Path) -> None:
    """A line in the shell, in ``folder``. What pip installs is there for the lines that follow, and
    nowhere else; it fetches nothing."""
    site = folder / ".site"
    environment = {
        **os.environ,
        "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(site),
        "PIP_TARGET": str(site),
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say that there is none
    }
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def shell_commands(block: str) -> Iterator[list[str]]:
    """The words of each ``textgen`` command of a shell block, pipes and lists taken apart."""
    for line in block.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set(";|&<>"):
                if words[:1] == ["textgen"]:
                    yield words[1:]
                words = []
            else:
                words.append(word)


@pytest.mark.parametrize("page", pages_with("sh"))
def test_shell_examples_name_commands_and_options_that_exist(page):
    for block in blocks(page, "sh"):
        for name, *words in shell_commands(block):
            command = cli.textgen.get_command(None, name)
            if isinstance(command, click.Group) and words[:1] and words[0] in command.commands:
                command = command.commands[words.pop(0)]
            command.make_context(name, words)


def test_the_readme_is_typed_line_by_line(tmp_path, monkeypatch):
    """What it shows in use, in its order, but that budgets and sizes are cut."""
    monkeypatch.chdir(tmp_path)
    (block,) = (b for b in blocks(ROOT / "README.md", "sh") if "textgen generate" in b)
    for words in shell_commands(block):
        if "--minutes" in words:
            at = words.index("--minutes")
            del words[at : at + 2]
        if words[0] == "train":
            words += ["--steps", "2", "--hidden-size", "8"]
        assert cli.run(words) == 0, words


def test_the_readme_names_all_that_the_runtime_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]}
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    (named,) = re.findall(r"then `pip install (onnxruntime [a-z ]+)`", text)
    assert set(named.split()) == needed - {"onnxruntime-gpu"}


@pytest.mark.parametrize("page", [pytest.param(p, id=p.name) for p in PAGES])
def test_links_lead_somewhere(page):
    for match in LINK.finditer(page.read_text(encoding="utf-8")):
        assert (page.parent / match["target"]).exists(), match["target"]


def test_the_defaults_for_users_of_char_rnn_are_ours():
    """Where a number stands beside the first of our options in a row, it is its default."""
    page = (ROOT / "docs" / "char-rnn.md").read_text(encoding="utf-8")
    known = {
        flag: parameter.default
        for name in ("train", "generate")
        for parameter in cli.textgen.get_command(None, name).params
        for flag in parameter.opts
    }
    known |= {f"--{o.name.replace('_', '-')}": o.default for o in describe(Settings)}
    checked = 0
    for flag, default in re.findall(r"\| `(--[a-z-]+)[^|]*\| ([^|]*) \|$", page, re.M):
        assert flag in known
        if re.fullmatch(r"[\d.]+(e-\d)?", default):
            assert float(default) == known[flag], flag
            checked += 1
    assert checked >= 11


def test_every_bundled_sampler_is_explained():
    from textgen.registry import discover

    page = (ROOT / "docs" / "sampling.md").read_text(encoding="utf-8")
    named = {entry.name for entry in discover().entries("sampler") if entry.bundled}
    rows = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("| `")]
    sources = {cells[0].strip(" `"): cells[-1].strip() for cells in rows}
    assert {name for name in named if not sources.get(name)} == set()
