"""Text alone goes to standard output, whole and in order."""

from __future__ import annotations

import re

from nasty import nasty_texts
from terminal_emulator import run_in_terminal

from textgen.screen.generation_view import GenerationView


def write(chunks, *, samples=1, lines=False, prompt=""):
    view = GenerationView(samples, lines=lines, prompt=prompt)
    for stream, text, ended in chunks:
        view.add(stream, text, ended)
    view.finish()
    return view


def test_one_text_gets_its_last_newline(capsys):
    write([(0, "Who ", False), (0, "goes?", True)], prompt="ANNA:\n")
    assert capsys.readouterr().out == "ANNA:\nWho goes?\n"


def test_a_text_that_ends_with_a_newline_gets_none(capsys):
    write([(0, "Who\n", True)])
    assert capsys.readouterr().out == "Who\n"


def test_nothing_written_is_nothing(capsys):
    write([])
    assert capsys.readouterr().out == ""


def test_nothing_of_a_text_is_shown_before_it_comes(capsys):
    """So what fails before the first symbol leaves standard output empty."""
    GenerationView(3, lines=True, prompt=">").finish()
    assert capsys.readouterr().out == ""


def test_texts_stand_in_their_order_parted_by_an_empty_line(capsys):
    chunks = [(2, "c", True), (0, "a", False), (1, "b\n", True), (0, "A", True)]
    write(chunks, samples=3, prompt=">")
    assert capsys.readouterr().out == ">aA\n\n>b\n\n>c\n"


def test_short_texts_stand_one_a_line(capsys):
    write([(1, "Bob", True), (0, "Ann", True), (2, "", True)], samples=3, lines=True)
    assert capsys.readouterr().out == "Ann\nBob\n\n"


def test_the_first_text_flows_while_others_wait(capsys):
    view = GenerationView(2, lines=False, prompt="")
    view.add(1, "later", False)
    view.add(0, "now", False)
    assert capsys.readouterr().out == "now"
    view.add(0, "", True)
    view.add(1, " and on", False)
    assert capsys.readouterr().out == "\n\nlater and on"


def test_what_was_written_before_an_interrupt_is_shown(capsys):
    view = GenerationView(3, lines=False, prompt="")
    view.add(0, "a", False)
    view.add(1, "b", False)
    view.add(2, "c", False)
    view.finish()
    assert capsys.readouterr().out == "a\n\nb\n\nc\n"


def test_figures_go_aside(capsys):
    write([(0, "x", True)]).figures(500, 500 / 31000, 123, "cpu")
    captured = capsys.readouterr()
    assert captured.out == "x\n"
    assert captured.err == "500 symbols, 31,000 a second on cpu, seed 123\n"


SURROGATE = re.compile("[\ud800-\udfff]")
"""pytest's own stream takes none; what the real one does with them is a test of the console."""

SCRIPT = """
from textgen.screen import console
from textgen.screen.generation_view import GenerationView
console.prepare_streams()
view = GenerationView(2, lines=False, prompt="[bold]\\x1b[31m:")
for text in ("Ay", " me \\x1b]52;c;", "aA==\\x07 \\u202e!"):
    view.add(0, text, False)
    view.add(1, text, False)
view.add(0, "", True)
view.add(1, "", True)
view.finish()
view.figures(24, 0.001, 5, "cpu")
"""


def test_on_a_terminal_escaped_and_parted():
    outcome = run_in_terminal(SCRIPT)
    text = "[bold]\\x1b[31m:Ay me \\x1b]52;c;aA==\\x07 \\u202e!"
    assert outcome.screen.text == (
        f"1 of 2\n{text}\n\n2 of 2\n{text}\n\n24 symbols, 24,000 a second on cpu, seed 5"
    )
    assert "\x1b[1m[bold]\\x1b[31m:\x1b[0m" in outcome.raw, "the prompt is bold"


def test_without_colour_nothing_but_the_text():
    outcome = run_in_terminal(SCRIPT, NO_COLOR="1")
    assert "\x1b" not in outcome.raw
    assert "1 of 2" not in outcome.raw


def test_in_a_pipe_as_it_is(capsys):
    for text in (text for text in nasty_texts() if not SURROGATE.search(text)):
        write([(0, character, False) for character in text] + [(0, ".", True)], prompt=text)
        assert capsys.readouterr().out == text + text + ".\n"
