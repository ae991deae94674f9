"""Commands of plugins: listed from metadata alone, imported when they are run."""

from __future__ import annotations

import pytest

from fake_distributions import install

HAIKU = """
    import click

    from textgen.contracts.hooks import hookimpl

    print("imported")
    TEXTGEN_CONTRACT = 1

    @click.command()
    @click.option("--lines", default=3, help="How many.")
    def haiku(lines):
        '''Count lines.'''
        click.echo(f"{lines} lines")
        return 5 if lines > 5 else 0

    @click.command()
    def train():
        '''Train nothing.'''
        click.echo("nothing trained")

    @hookimpl
    def textgen_commands():
        return {"haiku": haiku, "train": train, "no-command": 42}
"""


@pytest.fixture
def env(tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    names = ("haiku", "train", "no-command")
    promised = {f"textgen.commands:{name}": "textgen_haiku" for name in names}
    install(site, "textgen-haiku", HAIKU, promised)
    for name in ("one", "two"):
        install(site, f"textgen-{name}", "raise ValueError", {"textgen.commands:twin": f"x_{name}"})
    install(
        site, "textgen-lost", "import nowhere_at_all", {"textgen.commands:lost": "textgen_lost"}
    )
    return {"PYTHONPATH": str(site)}


def test_help_lists_them_and_imports_none(textgen_command, env):
    done = textgen_command("--help", env=env)
    assert done.status == 0 and "imported" not in done.out + done.err
    _, added = done.out.split("Added by plugins:")
    listed = " ".join(added.split())
    for name in ("haiku", "lost", "textgen-haiku:train", "textgen-one:twin", "textgen-two:twin"):
        assert name in listed
    assert "haiku From textgen-haiku 1.0." in listed
    assert "Added" not in textgen_command("--help", env={**env, "TEXTGEN_PLUGINS": ""}).out


def test_they_run_like_ours(textgen_command, env):
    done = textgen_command("haiku", "--lines", "4", env=env)
    assert (done.status, done.out) == (0, "4 lines\n"), done.err
    assert textgen_command("haiku", "--lines", "9", env=env).status == 5
    assert "How many." in textgen_command("haiku", "--help", env=env).out
    wrong = textgen_command("haiku", "--lines", "x", env=env)
    assert wrong.status == 2 and "textgen haiku --help lists" in wrong.err


def test_a_name_of_ours_stays_ours(textgen_command, env):
    assert "Learn a text" in textgen_command("train", "--help", env=env).out
    done = textgen_command("textgen-haiku:train", env=env)
    assert done.out == "nothing trained\n"


@pytest.mark.parametrize(
    ("word", "status", "said"),
    [
        ("lost", 1, "nowhere_at_all"),
        ("no-command", 1, "42 is no click.Command"),
        ("twin", 2, "2 plugins offer the command"),
        ("haiki", 2, "Did you mean haiku?"),
        ("trian", 2, "Did you mean train?"),
    ],
)
def test_what_cannot_run_is_told_in_two_lines(word, status, said, textgen_command, env):
    done = textgen_command(word, env=env)
    assert done.status == status
    lines = [line for line in done.err.splitlines() if line != "imported"]
    assert len(lines) == 2 and said in done.err and done.out == ""


def test_one_that_is_switched_off(textgen_command, env):
    done = textgen_command("haiku", env={**env, "TEXTGEN_PLUGINS": "textgen-other"})
    assert done.status == 2 and "switched off" in done.err
