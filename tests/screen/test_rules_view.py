"""Rules that were tried: on a terminal, and in a pipe."""

from __future__ import annotations

from terminal_emulator import run_in_terminal

from textgen.screen import rules_view

RULES = """
from textgen.screen.rules_view import show_rule
show_rule("a row alone gives what it gives among others", "a difference of 0", "", holds=True,
          promise=False)
show_rule("adjust is [bold]pure", "3 of \\x1b[31m 9 differ", "a state on self", holds=False,
          promise=False)
show_rule("it runs inside the loop", "no graph form", "Texts are written step by step.",
          holds=False, promise=True)
"""


def test_rules_on_a_terminal():
    lines = run_in_terminal(RULES, columns=70).screen.text.rstrip("\n").split("\n")
    assert [line.rstrip() for line in lines] == [
        "✓ a row alone gives what it gives among others  a difference of 0",
        "✗ adjust is [bold]pure  3 of \\x1b[31m 9 differ",
        "  usual cause: a state on self",
        "- not promised: it runs inside the loop  no graph form",
        "  Texts are written step by step.",
    ]


def test_a_long_rule_goes_on_below_itself():
    lines = run_in_terminal(RULES, columns=40).screen.text.split("\n")
    assert max(map(len, lines)) <= 40
    assert lines[0].startswith("✓ a row alone") and lines[1].startswith("  others")


def test_rules_in_a_pipe(capsys):
    rules_view.show_rule("a\trule", "2 \x1b", "why", holds=False, promise=False)
    rules_view.show_rule("same ids", "always", "", holds=True, promise=True)
    assert capsys.readouterr().out == (
        "failed\ta\\trule\t2 \x1b\twhy\npromised\tsame ids\talways\n"
    )
