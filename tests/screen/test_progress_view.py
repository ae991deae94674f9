"""Downloads and packings."""

from __future__ import annotations

from terminal_emulator import run_in_terminal

from textgen.screen import progress_view
from textgen.screen.progress_view import ProgressView

BAR = """
import time
from textgen.screen import console
from textgen.screen.progress_view import ProgressView
console.prepare_streams()
with ProgressView() as progress:
    for done in range(20):
        progress("downloading", done * 2_000_000, {total})
        time.sleep(0.05)
        if done == 15:
            console.show_notice("a notice between")
    if {fail}:
        raise SystemExit(3)
"""


def test_a_bar_comes_and_goes():
    outcome = run_in_terminal(BAR.format(total=40_000_000, fail=False))
    assert "━" in outcome.raw and "of 40.0 MB" in outcome.raw and "left" in outcome.raw
    assert outcome.screen.text == "a notice between\ndownloading: 38.0 MB in 1 s"
    assert "\x1b[?25l" not in outcome.raw, "the cursor is never hidden"


def test_a_bar_without_a_total():
    outcome = run_in_terminal(BAR.format(total=None, fail=False))
    assert "MB/s" in outcome.raw and "━" not in outcome.raw


def test_a_bar_is_cleared_on_failure():
    outcome = run_in_terminal(BAR.format(total=40_000_000, fail=True))
    assert outcome.status == 3
    assert outcome.screen.text == "a notice between"


def test_a_bar_fits_into_forty_columns():
    outcome = run_in_terminal(BAR.format(total=40_000_000, fail=False), columns=40)
    assert outcome.screen.text == "a notice between\ndownloading: 38.0 MB in 1 s"


def test_what_is_quick_says_nothing(capsys):
    with ProgressView() as progress:
        for done in range(1000):
            progress("packing", done, 1000)
    assert capsys.readouterr().err == ""


def test_plain_lines_are_few(capsys, monkeypatch):
    monkeypatch.setattr(progress_view, "_QUIET", 0.0)
    monkeypatch.setattr(progress_view, "_LINES_EVERY", 0.05)
    with ProgressView() as progress:
        import time

        began = time.monotonic()
        while time.monotonic() - began < 0.22:
            progress("packing", 5_000_000, 10_000_000)
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 5
    assert lines[0].startswith("packing: 5,000,000 characters of 10,000,000 characters, ")
    assert lines[-1] == "packing: 5,000,000 characters in 0 s"
