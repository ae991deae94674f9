"""Two streams, and who is watching them."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from nasty import nasty_texts
from terminal_emulator import run_in_terminal

from textgen.screen import console

LIVELY = """
import sys
from textgen.screen import console
console.prepare_streams()
print(console.lively(sys.stdout), console.lively(sys.stderr))
"""


@pytest.mark.parametrize(
    ("environment", "lively"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"CI": "true"}, False),
        ({"CI": "false"}, True),
        ({"TERM": "dumb"}, False),
    ],
)
def test_a_terminal_is_lively_unless_told_otherwise(environment, lively):
    assert run_in_terminal(LIVELY, **environment).screen.text == f"{lively} {lively}"


def test_a_pipe_is_not_lively():
    assert run_in_terminal(LIVELY, stdout_piped=True).piped == b"False True\n"
    closed = io.StringIO()
    closed.close()
    assert not console.lively(closed)
    assert not console.lively(None)


def test_an_error_is_two_lines(capsys):
    console.show_error("x.txt is not UTF-8\nat [/x] 3.", "Convert \x1b it.")
    assert capsys.readouterr().err == "Error: x.txt is not UTF-8\\nat [/x] 3.\nConvert \\x1b it.\n"


def test_an_error_on_a_terminal_says_the_same():
    script = """
    from textgen.screen import console
    console.show_error("[bold]nosuch[/x] is not a cell.", "Write gru, lstm or rnn.")
    console.show_warning("a plugin \\x1b]0;x\\x07 failed")
    console.show_notice("note " + "a" * 90)
    """
    outcome = run_in_terminal(script)
    assert outcome.screen.text.split("\n")[:3] == [
        "Error: [bold]nosuch[/x] is not a cell.",
        "Write gru, lstm or rnn.",
        "Warning: a plugin \\x1b]0;x\\x07 failed",
    ]
    assert "a" * 90 in outcome.raw, "a long word was cut or broken"


def test_long_lines_break_between_words():
    script = "from textgen.screen import console; console.show_error('word ' * 30, '')"
    lines = run_in_terminal(script, columns=40).screen.text.split("\n")
    assert len(lines) > 3
    assert all(line.endswith("word") and len(line) <= 40 for line in lines)


NASTY = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from nasty import nasty_texts
from textgen.screen import console
console.prepare_streams()
for text in nasty_texts():
    console.write_text(text + "\\n")
    console.show_error(text, text)
    console.show_notice(text)
"""


def test_a_thousand_nasty_texts_on_a_terminal():
    """The emulator fails on every code but colours, and on what is not printable."""
    outcome = run_in_terminal(NASTY, columns=200)
    assert outcome.status == 0
    assert outcome.raw.count("[bold]") >= sum(text.count("[bold]") for text in nasty_texts())


def test_bytes_untouched_in_a_pipe():
    outcome = run_in_terminal(NASTY, stdout_piped=True)
    expected = "".join(text + "\n" for text in nasty_texts())
    # lone surrogates are no text: those that stand for bytes become them, the rest U+FFFD
    wanted = b"".join(
        c.encode("utf-8", "surrogateescape") if 0xDC80 <= ord(c) <= 0xDCFF
        else b"\xef\xbf\xbd" if 0xD800 <= ord(c) <= 0xDFFF
        else c.encode("utf-8")
        for c in expected
    )  # fmt: skip
    assert outcome.piped == wanted


def test_a_terminal_of_another_encoding():
    script = """
    from textgen.screen import console
    console.prepare_streams()
    console.write_text("é 日\\n")
    import sys
    print(console.ascii_only(sys.stdout))
    """
    outcome = run_in_terminal(script, PYTHONIOENCODING="ascii")
    assert outcome.screen.text == "\\xe9 \\u65e5\nTrue"


def test_a_closed_pipe_ends_quietly():
    script = (
        "import sys\n"
        "from textgen.screen import console\n"
        "console.prepare_streams()\n"
        "try:\n"
        "    while True: console.write_text('text\\n')\n"
        "except BrokenPipeError:\n"
        "    sys.exit(console.pipe_closed())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout and process.stderr
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) == console.PIPE_CLOSED == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_importing_the_screen_is_cheap():
    names = "console figures generation_view picture progress_view safe tables training_view bar"
    script = (
        "import sys, importlib\n"
        f"for name in {names.split()}: importlib.import_module('textgen.screen.' + name)\n"
        "print(sorted(n for n in sys.modules if n.split('.')[0] in ('rich', 'numpy', 'torch')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_standard_output_kept_for_our_own(capsys):
    with console.keeping_stdout():
        print("a plugin's")
        console.write_text("ours\n")
        with console.keeping_stdout():
            console.write_text("ours\n")
    print("anyone's")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("ours\nours\nanyone's\n", "a plugin's\n")
