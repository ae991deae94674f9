"""train --replace: what is replaced in the text that is learnt is replaced in all that is read."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

RULES = [r"\d{4}-\d\d-\d\d \d\d:\d\d=TIME", r"(app\[)\d+=\1N"]
PAIRS = [(r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME"), (r"(app\[)\d+", r"\1N")]
SMALL = ["--hidden-size", "8", "--batch-size", "4", "--steps", "6", "--documents", "lines"]
GIVEN = [word for rule in RULES for word in ("--replace", rule)]


def log(times: int) -> str:
    """The same 400 events, at other times and in other processes."""
    same, other = random.Random(0), random.Random(times)
    lines = []
    for _ in range(400):
        stamp = f"20{other.randint(10, 29)}-0{other.randint(1, 9)}-1{other.randint(0, 9)}"
        stamp += f" {other.randint(10, 23)}:{other.randint(10, 59)}"
        event = f"{same.choice(['opened', 'closed'])} {same.choice('abcdefgh') * 3}"
        lines.append(f"{stamp} app[{other.randint(1, 9999)}]: {event}\n")
    return "".join(lines)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with two logs and a run on the first."""
    from textgen import cli

    place = tmp_path_factory.mktemp("replace")
    for name in ("one", "two"):
        (place / f"{name}.log").write_text(log(len(name) + ord(name[0])))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        words = ["train", "./one.log", "--split", "random", "--name", "day", *GIVEN]
        assert cli.run([*words, *SMALL]) == 0
    return place


@pytest.fixture
def run(place, monkeypatch, capfd):
    """A command there, in this process: its status, and what it wrote."""
    from textgen import cli

    monkeypatch.chdir(place)

    def run(*words):
        capfd.readouterr()
        status = cli.run(list(words))
        out, err = capfd.readouterr()
        return status, out, err

    return run


def test_logs_that_differ_in_what_is_replaced_score_the_same(run):
    found = {}
    for name in ("one", "two"):
        status, out, _ = run("score", "--onnx", "day", "--stream", f"{name}.log")
        assert status == 0
        found[name] = [json.loads(line) for line in out.splitlines()]
    texts = [[line.pop("text") for line in lines] for lines in found.values()]
    assert found["one"] == found["two"] and len(found["one"]) == 400
    # the line is told as it came
    assert texts[0] != texts[1] and "".join(f"{t}\n" for t in texts[0]) == log(ord("o") + 3)
    assert all(line["symbols"] == len("TIME app[N]: opened aaa") + 1 for line in found["one"])


def test_lines_and_whole_files_too(run):
    for flags in (["--lines"], [], ["--windows", "50"]):
        _, out, _ = run("score", "--onnx", "day", "--json", *flags, "one.log", "two.log")
        lines = [json.loads(line) for line in out.splitlines()]
        half = len(lines) // 2
        figures = [(line["nats"], line["symbols"], line["unknown"]) for line in lines]
        assert figures[:half] == figures[half:]


def test_percentiles_are_of_the_replaced_text(run, place):
    import textgen

    model = textgen.load(place / "exported" / "day.onnx")
    packed = textgen.open_corpus(
        place / "one.log", documents="lines", split="random", replace=PAIRS
    )
    symbols = packed.vocabulary.symbols
    held_out = [
        b"".join(symbols[i] for i in packed.ids[start:end]).decode()
        for start, end in packed.spans("validation")
    ]
    assert held_out and all(line.startswith("TIME app[N]: ") for line in held_out)
    bits = [score.bits_per_symbol for score in model.score_all(held_out)]
    for name, value in model.info.percentiles.items():
        assert value == pytest.approx(np.percentile(bits, float(name[1:])), rel=1e-4)


def test_show_tells_it(run):
    _, out, _ = run("show", "day")
    assert rf"replaced	{PAIRS[0][0]} by TIME; {PAIRS[1][0]} by \1N" in out.splitlines()
    assert json.loads(run("show", "day", "--json")[1])["replacements"] == [list(p) for p in PAIRS]


@pytest.mark.parametrize("given", [[], ["--replace", RULES[0]], [*GIVEN, "--replace", "x=y"]])
def test_a_run_goes_on_with_what_it_replaced(run, given):
    words = ["train", "./one.log", "--documents", "lines", "--split", "random", "--resume", "day"]
    status, _, err = run(*words, *given)
    problem, remedy = [line for line in err.splitlines() if "changed nothing" not in line]
    assert status == 2
    assert "another --replace" in problem and RULES[0] in remedy and RULES[1] in remedy


@pytest.mark.parametrize(
    ("other", "remedy"),
    [
        (["--documents", "none"], "--documents lines"),
        (["--split-sizes", "80/10/10"], "--split random --split-sizes 90/5/5 --split-seed 0"),
        (["--tokenizer", "bytes"], "--tokenizer characters"),
    ],
)
def test_what_a_run_began_with_is_told_as_it_is_typed(other, remedy, run):
    words = ["train", "./one.log", "--documents", "lines", "--resume", "day", *GIVEN]
    status, _, err = run(*words, *other)
    assert status == 2
    assert "than the run day began with" in err.splitlines()[-2]
    assert remedy in err.splitlines()[-1]


def test_another_text_is_said_to_be_one(place, run):
    status, _, err = run("train", "./two.log", "--resume", "day")
    assert status == 2 and "is another text" in err and "the text that it began with" in err


def test_a_run_goes_on_with_the_same(place):
    """Its text given again, or found in the cache."""
    import textgen
    from textgen import runs
    from textgen.registry import discover
    from textgen.training.run_folder import RunFolder

    day = RunFolder(place / "runs" / "day")
    assert day.description()["corpus"]["replace"] == RULES
    given = textgen.open_corpus(place / "one.log", documents="lines", split="random", replace=PAIRS)
    for packed in (given, None):
        found = runs.read_setup(day, packed, discover()).corpus
        assert found.replacements == tuple(PAIRS)
        assert found.folder == given.folder


@pytest.mark.parametrize(
    ("rule", "said"),
    [("(=x", "position 0"), (r"a=\2", "position 1"), ("a", "REGEX=TEXT"), ("=b", "REGEX=TEXT")],
)
def test_rules_that_are_none_leave_nothing_behind(run, place, rule, said):
    before = sorted(place.rglob("*"))
    status, out, err = run("train", "./one.log", "--replace", rule)
    assert (status, out, len(err.splitlines())) == (2, "", 2)
    assert said in err
    assert sorted(place.rglob("*")) == before
