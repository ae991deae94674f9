"""Lists, details and JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from nasty import nasty_texts
from terminal_emulator import run_in_terminal

from textgen.screen import tables
from textgen.screen.safe import is_hidden

CORPORA = """
from textgen.screen import tables
tables.show_table(
    ("corpus", "what it is", "size", "licence", ""),
    [
        ["shakespeare", "Nine plays of Shakespeare, as the First Folio prints them", "1.1 MB",
         "public domain", "cached"],
        ["wikipedia", "[bold]The first[/x] \\x1b[31m 100 million bytes", "100.0 MB",
         "CC BY-SA", ""],
    ],
    empty="none",
)
"""


def test_a_table_on_a_terminal():
    outcome = run_in_terminal(CORPORA)
    lines = outcome.screen.text.split("\n")
    assert lines[0].split() == ["corpus", "what", "it", "is", "size", "licence"]
    assert set(lines[1]) == {"─"}
    assert max(map(len, lines)) <= 80
    first, last = (next(line for line in lines if word in line) for word in ("1.1 MB", "100.0 MB"))
    assert first.index("1.1 MB") + 6 == last.index("100.0 MB") + 8, "sizes are set to the right"
    assert "[bold]" in outcome.screen.text and "\\x1b[31m" in outcome.screen.text


def test_a_table_without_colour():
    outcome = run_in_terminal(CORPORA, NO_COLOR="1")
    assert "\x1b" not in outcome.raw
    assert outcome.screen.text == run_in_terminal(CORPORA).screen.text


def test_a_table_in_a_narrow_terminal_becomes_a_list():
    lines = run_in_terminal(CORPORA, columns=40).screen.text.split("\n")
    assert lines[0] == "shakespeare"
    assert "  size        1.1 MB" in lines
    assert max(map(len, lines)) <= 40


def test_headings_break_between_words_before_a_table_becomes_a_list():
    script = """
    from textgen.screen import tables
    tables.show_table(("trial", "learning rate", "hidden size"), [["1", "0.1", "8"]], empty="")
    """
    assert "learning rate" in run_in_terminal(script, columns=40).screen.text
    lines = run_in_terminal(script, columns=24).screen.text.split("\n")
    assert lines[0].split() == ["learning", "hidden"]
    assert lines[1].split() == ["trial", "rate", "size"]
    assert lines[-1].split() == ["1", "0.1", "8"]


def test_a_table_in_a_pipe(capsys):
    tables.show_table(("a", "b"), [["x\ty", "1\n2"], ["[bold]\x1b", ""]], empty="none")
    assert capsys.readouterr().out == "x\\ty\t1\\n2\n[bold]\x1b\t\n"


def test_an_empty_table_says_so_aside(capsys):
    tables.show_table(("a",), [], empty="No runs yet.")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "No runs yet.\n")


def test_details(capsys):
    tables.show_details({"cell": "lstm", "symbols": "\n[/x]"})
    assert capsys.readouterr().out == "cell\tlstm\nsymbols\t\\n[/x]\n"
    script = """
    from textgen.screen import tables
    tables.show_details({"cell": "lstm", "digest": "9f86" * 16, "symbols": "\\n[/x]\\x1b"})
    tables.show_details({})
    """
    lines = run_in_terminal(script, columns=40).screen.text.split("\n")
    assert lines[0] == "cell     lstm"
    digest = [line[9:] for line in lines[1:-1]]
    assert "".join(digest) == "9f86" * 16 and max(map(len, digest)) <= 31
    assert lines[-1] == "symbols  \\n[/x]\\x1b"


def test_json_says_what_it_was_given_and_hides_nothing():
    for text in nasty_texts():
        line = tables.json_line({text: text, "é日": [text]})
        assert json.loads(line) == {text: text, "é日": [text]}
        assert not any(map(is_hidden, line))
        assert "é日" in line
        line.encode("utf-8")


def test_json_of_numbers_that_json_has_not():
    value = {
        "nan": math.nan,
        "losses": (1.5, math.inf),
        "numpy": np.float32(0.5),
        "whole": np.int64(3),
        "array": np.array([1, 2]),
        "path": Path("a/b"),
        "flag": True,
        "none": None,
        7: 1,
    }
    assert json.loads(tables.json_line(value)) == {
        "nan": None,
        "losses": [1.5, None],
        "numpy": 0.5,
        "whole": 3,
        "array": [1, 2],
        "path": str(Path("a/b")),
        "flag": True,
        "none": None,
        "7": 1,
    }


def test_json_is_one_line(capsys):
    tables.show_json({"text": "a\nb\u2028c"})
    assert capsys.readouterr().out == '{"text": "a\\nb\\u2028c"}\n'
