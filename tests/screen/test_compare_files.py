"""What a comparison leaves for browsers, spreadsheets and LaTeX: inert, whatever stands in it."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nasty import nasty_texts

from textgen.screen.compare_chart import draw
from textgen.screen.compare_page import write_page
from textgen.screen.compare_tables import latex, write_csv, write_latex
from textgen.screen.safe import one_line

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)' \" onfocus=\"alert(1)",
    "--><svg onload=alert(1)>",
    r"$\undefined{$ _under_ \input{/etc/passwd} % & # ~ ^ {}",
    "a\nb\tc\x1b[31m\u202e",
    "_hidden",
]


def reached(mean):
    told = {"mean": mean, "interval": 0.01, "text": f"{mean:.2f} ± 0.01"}
    return {"steps": 40, "symbols": 2560, "runs": 2, "states": {"complete": 2}, "carried": told}


def found(text, budgets=("symbols", "time")):
    """Findings with ``text`` wherever a text can stand."""
    cells = [
        {
            "cell": f"{text}{number}",
            "hidden_size": 8,
            "parameters": {"total": 700, "embedding": 100, "recurrent": 500, "head": 100},
            "differs": 0.001,
            "kernel": text,
            "precision": text,
            "symbols_per_second": 1e4,
            "seconds_a_step": 0.01,
            "settings": {"learning_rate": 0.01, text: text},
            "trials": {"states": {text: 2}, "seconds": 1.0},
            "symbols": reached(1.5 + number),
            "time": reached(1.4 + number),
            "state": text,
            "reason": text,
        }
        for number in (1, 2)
    ]
    runs = [
        {
            "cell": cell["cell"],
            "budgets": list(budgets),
            "seed": seed,
            "state": "complete",
            "reason": text,
            "steps": 40,
            "symbols": 2560,
            "seconds": 1.0,
            "carried": 1.5,
            "cold": 1.6,
            "curve": [
                {"step": 20 * k, "symbols": 1280 * k, "held_back": 2.0, "validation": 3.0 / k}
                for k in (1, 2)
            ],
        }
        for cell in cells
        for seed in (2, 3)
    ]
    return {
        "name": text,
        "finished": False,
        "corpus": {"name": text, "sha256": "0" * 64, "symbols": {"train": 9}},
        "unit": "character",
        "parameters": 700,
        "budgets": {"symbols": {"symbols": 2560, "steps": 40}, "time": {"seconds": 9.0}},
        "trials": 2,
        "varied": {"learning_rate": text, text: text},
        "seeds": [2, 3],
        "settings": {"layers": 1, "device": text},
        "machine": {"device": text},
        "cells": cells,
        "differences": [
            {"budget": "symbols", "cell": text, "to": text, "text": text, "seeds": [2, 3],
             "p": 0.04, "p_holm": 0.04, "beyond": True}
        ],
        "runs": runs,
        "sentences": [text],
        "excluded": [text],
    }  # fmt: skip


class Seen(HTMLParser):
    """Notes what a browser would make of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.texts, self.sources = set(), set(), [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {(tag, name) for name, _ in attributes}
        self.sources += [value for name, value in attributes if name == "src"]

    def handle_data(self, data):
        self.texts.append(data)


TAGS = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "strong", "blockquote",
    "div", "table", "thead", "tbody", "tr", "th", "td", "img",
}  # fmt: skip
ATTRIBUTES = {
    ("html", "lang"), ("meta", "charset"), ("meta", "http-equiv"), ("meta", "content"),
    ("meta", "name"), ("p", "class"), ("th", "class"), ("td", "class"), ("img", "alt"),
    ("img", "src"),
}  # fmt: skip


@pytest.mark.parametrize("text", [*HOSTILE, *nasty_texts(20)])
def test_a_page_holds_texts_and_nothing_that_runs(text):
    page = write_page(found(text), {text: b"<svg onload='alert(1)'/>"})
    seen = Seen(page)
    assert seen.tags <= TAGS and seen.attributes <= ATTRIBUTES
    assert one_line(text) in seen.texts, "it is shown, as it is"
    assert all(re.fullmatch(r"data:image/svg\+xml;base64,[\w+/=]+", src) for src in seen.sources)
    assert "default-src 'none'" in page
    assert not set(page) & set("\t\x1b\u202e")


@pytest.mark.parametrize(
    ("text", "budget"), [(text, ["symbols", "time"][n % 2]) for n, text in enumerate(HOSTILE)]
)
def test_plots_hold_no_script_and_no_formula(text, budget):
    svg = draw(found(text), budget)["svg"]
    root = ElementTree.fromstring(svg)
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not names & {"script", "foreignObject", "a", "image", "animate", "set"}
    assert not any(name.startswith("on") for e in root.iter() for name in e.attrib)
    hrefs = [v for e in root.iter() for n, v in e.attrib.items() if n.endswith("href")]
    assert all(href.startswith("#") for href in hrefs)


def test_plots_are_the_same_bytes_for_the_same_findings():
    first, second = (draw(found("lstm"), "time") for _ in range(2))
    assert first == second
    assert first["svg"].startswith(b"<?xml") and first["pdf"].startswith(b"%PDF")


def test_the_curves_are_those_of_the_runs_in_the_unit_of_their_time():
    told = found("lstm")
    told["corpus"]["symbols"]["validation"] = 9
    for seconds, steps, unit in [(9.0, 40, "minutes"), (0.01, 1, "seconds"), (300.0, 40, "hours")]:
        for cell in told["cells"]:
            cell["seconds_a_step"] = seconds
        told["budgets"]["time"]["seconds"] = steps * seconds
        svg = draw(told, "time")["svg"].decode()
        assert f"<!-- {unit} of training, at the speed measured before -->" in svg
        assert "<!-- validation loss, nats per character -->" in svg
    told["corpus"]["symbols"]["validation"] = 0
    assert "<!-- held-back loss, nats per character -->" in draw(told, "symbols")["svg"].decode()


def test_what_was_reached_stands_first_and_states_only_where_not_all_is_complete():
    told = found("lstm")
    headings = [text for text in Seen(write_page(told, {})).texts if text.strip()]
    assert headings[headings.index("cell") :][:3] == ["cell", "equal symbols", "equal time"]
    first = headings[headings.index("cell") :]
    assert "reason" in first[: first.index("lstm1")]
    for cell in told["cells"]:
        cell["state"] = "complete"
    assert "reason" not in Seen(write_page(told, {})).texts


def test_a_budget_without_runs_is_an_empty_plot():
    assert draw(found("lstm", budgets=()), "time")["svg"].startswith(b"<?xml")


def shown(text):
    """What LaTeX shows of ``latex(text)``; fails on anything that it would obey."""
    words = {
        "textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textless": "<",
        "textgreater": ">", "textbar": "|", "textquotedbl": '"', "textasciigrave": "`",
    }  # fmt: skip
    form = re.compile(r"\\(text[a-z]+)\{\}|\\([&%$#_{}])|(\$\\pm\$)|([^\\&%$#_{}~^<>|\"`\n])")
    at, found_here = 0, []
    while at < len(text):
        match = form.match(text, at)
        assert match, text[at : at + 20]
        word, character, pm, plain = match.groups()
        found_here.append(words[word] if word else character or plain or (pm and "±"))
        at = match.end()
    return "".join(found_here)


@settings(max_examples=200)
@given(st.text(max_size=40) | st.sampled_from(HOSTILE))
def test_latex_shows_the_text_and_obeys_nothing_of_it(text):
    assert shown(latex(text)) == one_line(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_latex_table_has_its_columns_whatever_stands_in_it(text):
    table = write_latex(found(text))
    rows = [line for line in table.splitlines() if line.endswith(r" \\")]
    assert len(rows) == 2 * 3
    columns = re.findall(r"\\begin\{tabular\}\{@\{\}([lr]+)@\{\}\}", table)
    for sides, part in zip(columns, (rows[:3], rows[3:]), strict=True):
        assert {len(re.split(r"(?<!\\)&", row)) for row in part} == {len(sides)}
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\end{table}"):
        assert table.count(rule) == 2


@pytest.mark.parametrize("text", HOSTILE)
def test_csv_has_a_row_a_run(text):
    rows = list(csv.DictReader(io.StringIO(write_csv(found(text)))))
    assert len(rows) == 4
    assert {row["cell"] for row in rows} == {f"{text}1", f"{text}2"}
    assert {row["reason"] for row in rows} == {text}
    assert {(row["carried"], row["budgets"]) for row in rows} == {("1.5", "symbols time")}
