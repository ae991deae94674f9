"""What a person sees of a sweep."""

from __future__ import annotations

import re

from nasty import nasty_texts
from terminal_emulator import run_in_terminal

from textgen.screen.sweep_view import SweepFrame

SWEEP = """
import sys, time
from textgen.screen import console
from textgen.screen.sweep_view import SweepView
console.prepare_streams()
with SweepView() as view:
    view.started(["Sweep verses-lstm: 3 trials", "Ctrl-C ends it."], 3, "")
    for trial in (1, 2, 3):
        view.trial(trial, f"learning_rate 0.00{trial}, layers 1")
        for i in range(1, 11):
            time.sleep(0.03)
            view.progress(step=i, steps=10, loss=4 / i, speed=42000.0, seconds=float(i),
                          seconds_left=10.0 - i, epoch=i / 40)
            if i == 5:
                view.evaluated(1.75)
        view.ended(f"trial {trial}: 1.{trial}000", "1.1000 in trial 1")
    view.summary({"Best": "trial 1", "Held back": "1.1000 nats"}, "textgen train verses")
"""


def test_it_renews_itself_in_place_and_leaves_the_lines_of_the_trials():
    outcome = run_in_terminal(SWEEP)
    drawn = outcome.raw.split("\x1b[?2026h")[1:]
    assert len(drawn) >= 4
    shown = "".join(drawn)
    assert "trial 2 of 3" in shown and "best so far" in shown and "held back" in shown
    assert "\x1b[2J" not in outcome.raw and "\x1b[H" not in outcome.raw, "the screen was cleared"
    screen = outcome.screen
    assert screen.cursor_shown and screen.wraps
    lines = [line for line in screen.text.split("\n") if line]
    assert lines == [
        "Sweep verses-lstm: 3 trials",
        "Ctrl-C ends it.",
        "trial 1: 1.1000",
        "trial 2: 1.2000",
        "trial 3: 1.3000",
        "Best:       trial 1",
        "Held back:  1.1000 nats",
        "Next:  textgen train verses",
    ]


def test_the_terminal_is_given_back_when_it_fails():
    outcome = run_in_terminal(SWEEP.replace("view.evaluated(1.75)", "1 / 0"))
    assert outcome.status == 1
    assert outcome.screen.cursor_shown and outcome.screen.wraps


def test_plain_lines_elsewhere():
    outcome = run_in_terminal(SWEEP, NO_COLOR="1")
    assert "\x1b" not in outcome.raw
    assert re.findall(r"^trial \d: 1\.\d000", outcome.raw, re.M) == [
        f"trial {n}: 1.{n}000" for n in (1, 2, 3)
    ]
    assert outcome.raw.rstrip().endswith("Next:  textgen train verses")


def test_the_block_has_one_height_and_fits():
    frame = SweepFrame(trials=9)
    heights = {len(frame.rows(79, 24))}
    frame.trial = 12
    for text in nasty_texts(50):
        frame.settings = frame.best = text
        for width in (10, 40, 79):
            rows = frame.rows(width, 24)
            heights.add(len(rows))
            assert all(row.cell_len <= width for row in rows)
            assert not any(set(row.plain) & set("\n\t\x1b") for row in rows)
    assert len(heights) == 1
    assert len(frame.rows(79, 4)) == 3
