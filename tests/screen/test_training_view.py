"""What a person sees while it learns: without flicker on a terminal, plain lines elsewhere."""

from __future__ import annotations

import itertools
import math
import re

import pytest
from nasty import nasty_texts
from terminal_emulator import Screen, run_in_terminal

from textgen.screen.training_frame import Curve, TrainingFrame, sample_rows
from textgen.screen.training_view import TrainingView

TRAINING = """
import sys, time
from textgen.screen import console
from textgen.screen.training_view import TrainingView
console.prepare_streams()
SAMPLE = "ROMEO:\\n[bold]What[/x] is \\x1b[2J the matter?\\n\\n" + "word " * 40
with TrainingView() as view:
    view.started("lstm, 331,585 parameters", "4,000 steps.", 4000)
    for i in range(1, 41):
        time.sleep(0.03)
        view.progress(step=100 * i, loss=4 / i + 1.5, characters_per_second=42000.0,
                      seconds=float(i), seconds_left=40.0 - i, epoch=i / 40)
        if i == 5:
            view.evaluated(500, "held back", 1.75)
            view.sampled(500, SAMPLE)
            view.saved(500)
            print("ready, says someone else", file=sys.stderr)
        if i == 10:
            console.show_notice("a notice")
        if i == 20:
            {at_half}
    view.finished(interrupted=False)
    view.summary(
        ["Validation:  1.5480 nats", "Model:       exported/model.onnx"],
        [(100, "tttt"), (4000, SAMPLE)],
        "textgen generate --onnx model.onnx",
    )
"""


def frames(raw):
    return raw.split("\x1b[?2026h")[1:]


def test_it_renews_itself_in_place():
    outcome = run_in_terminal(TRAINING.format(at_half="pass"))
    drawn = frames(outcome.raw)
    assert len(drawn) >= 4
    assert "\x1b[2J" not in outcome.raw and "\x1b[H" not in outcome.raw, "the screen was cleared"
    heights = {
        len(re.findall("\n", f.split("\x1b[?7l")[1].split("\x1b[?7h")[0])) for f in drawn[:-1]
    }
    assert len(heights) == 1, "the block's height changed"
    assert all("\x1b[?7h\x1b[?2026l" in frame for frame in drawn), "each frame is one stroke"
    # what is erased is exactly what was drawn: nothing above is touched, nothing left behind
    assert {frame.count("\x1b[1A") for frame in drawn[1:]} == heights


def test_what_is_left_is_figures_samples_and_the_next_line():
    screen = run_in_terminal(TRAINING.format(at_half="pass")).screen
    text = screen.text
    assert screen.cursor_shown and screen.wraps
    assert text.startswith("lstm, 331,585 parameters\n4,000 steps.\n")
    assert "ready, says someone else\n" in text and "a notice\n" in text
    assert text.count("held back 1.750") == 1, "an old frame was left behind"
    assert "100 %   in 40 s" in text
    assert "[bold]What[/x] is \\x1b[2J the matter?" in text
    assert text.endswith("Next:  textgen generate --onnx model.onnx")


@pytest.mark.parametrize(
    ("at_half", "status"), [("sys.exit(3)", 3), ("raise KeyboardInterrupt", 130), ("1 / 0", 1)]
)
def test_the_terminal_is_given_back_however_it_ends(at_half, status):
    outcome = run_in_terminal(TRAINING.format(at_half=at_half))
    assert outcome.status in (status, -2)  # -2: Python ends itself with the signal
    assert outcome.screen.cursor_shown and outcome.screen.wraps
    assert outcome.screen.text.count("train 1.700") == 1


def test_ctrl_c_gives_the_terminal_back():
    outcome = run_in_terminal(TRAINING.format(at_half="time.sleep(30)"), interrupt_after=0.5)
    assert outcome.status in (130, -2)
    assert outcome.screen.cursor_shown and outcome.screen.wraps


@pytest.mark.parametrize(("columns", "rows"), [(40, 24), (20, 10), (80, 8), (10, 3)])
def test_any_size_of_window(columns, rows):
    outcome = run_in_terminal(TRAINING.format(at_half="pass"), columns=columns, rows=rows)
    assert outcome.status == 0
    widest = max(
        len(line)
        for frame in frames(outcome.raw)
        for line in Screen(500).feed(frame.split("\x1b[?7l")[1].split("\x1b[?7h")[0]).lines
    )
    assert widest < columns
    height = max(
        f.split("\x1b[?7l")[1].split("\x1b[?7h")[0].count("\n") for f in frames(outcome.raw)
    )
    assert height < max(rows, 5)


def test_a_window_made_narrower():
    """Rows that the terminal broke in two are taken away before the block is drawn anew."""
    outcome = run_in_terminal(TRAINING.format(at_half="pass"), columns=90, narrow=(0.6, 45))
    ups = [frame.count("\x1b[1A") for frame in frames(outcome.raw)[1:-1]]
    usual = min(ups)
    assert sum(up > usual for up in ups) == 1, ups
    drawn = [line for line in outcome.raw.split("\x1b[?2026h")[-1].split("\r\n") if "train" in line]
    assert len(drawn) == 1


def test_without_colour_plain_lines():
    outcome = run_in_terminal(TRAINING.format(at_half="pass"), NO_COLOR="1")
    assert "\x1b" not in outcome.raw
    assert outcome.screen.text.count("step ") <= 4


def drive(view, steps=1000):
    view.started("title", "plan", steps)
    for step in range(1, steps + 1):
        view.progress(
            step=step,
            loss=2.0,
            characters_per_second=40000.0,
            seconds=step / 10,
            seconds_left=(steps - step) / 10,
            epoch=0.5,
        )
        view.evaluated(step, "held back", 1.9)
    view.finished(interrupted=False)


def test_plain_lines_are_few(capsys):
    with TrainingView() as view:
        drive(view)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "title",
        "plan",
        "step 1 of 1,000  train 2.000  40,000 characters/s  1 min 40 s left",
        (
            "step 1,000 of 1,000  train 2.000  held back 1.900  40,000 characters/s  "
            "in 1 min 40 s  finishing"
        ),
    ]


def test_plain_summary(capsys):
    with TrainingView() as view:
        drive(view, 1)
        capsys.readouterr()
        view.summary(["Model:  m.onnx"], [(1, "a[/x]\x1b\n\nb")], "textgen generate")
    assert capsys.readouterr().err.splitlines() == [
        "",
        "after 1 step",
        "  a[/x]\\x1b",
        "  b",
        "",
        "Model:  m.onnx",
        "",
        "Next:  textgen generate",
    ]


@pytest.mark.parametrize("width", [1, 5, 12, 40, 79, 300])
@pytest.mark.parametrize("height", [1, 5, 8, 24, 60])
def test_a_frame_fits_and_keeps_its_height(width, height):
    frame = TrainingFrame(steps=100)
    empty = frame.rows(width, height)
    frame.step, frame.loss, frame.evaluated, frame.speed = 50, math.nan, math.inf, 1e12
    frame.seconds_left, frame.saved = math.inf, 5
    frame.sample = "\n\n日本" * 200 + "word " * 100
    for loss in itertools.chain([math.nan, math.inf], range(2000)):
        frame.curve.add(loss)
    full = frame.rows(width, height)
    assert len(full) == len(empty)
    assert all(row.cell_len <= width for row in full + empty)


def test_a_sample_is_made_safe():
    for text in nasty_texts():
        for row in sample_rows(text, 60, 8):
            assert row.cell_len <= 60
            assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in row.plain)


def test_a_curve_stays_bounded_and_keeps_its_shape():
    curve = Curve()
    for i in range(100_000):
        curve.add(float(i))
    assert 256 <= len(curve.values) < 512
    assert curve.values == sorted(curve.values)
    assert curve.first == 0.0
    assert curve.values[0] == pytest.approx((100_000 / len(curve.values)) / 2, rel=0.5)
