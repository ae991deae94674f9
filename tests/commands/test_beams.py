"""generate --beams: the likeliest texts, and what does not go with them."""

from __future__ import annotations

import json

import pytest

from textgen.commands.beams import _SHARED
from textgen.commands.generate import command

DRAWING = {"temperature", "top_k", "top_p", "min_p", "seed"}


def test_the_likeliest_texts_the_best_first(textgen_command, workplace):
    words = ("generate", "--onnx", "names", "--beams", "6", "--samples", "3")
    done = textgen_command(*words, "--json")
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [line["sample"] for line in found] == [0, 1, 2]
    assert {line["ended"] for line in found} == {"boundary"}
    nats = [line["nats"] for line in found]
    assert nats == sorted(nats)
    for line in found:
        assert line["score"] == pytest.approx(-line["nats"])
        assert line["symbols"] == len(line["text"])
    (workplace / "found.txt").write_text("".join(f"{line['text']}\n" for line in found))
    scored = textgen_command("score", "--onnx", "names", "--lines", "--json", "found.txt")
    costs = [json.loads(line)["nats"] for line in scored.out.splitlines()]
    assert costs == pytest.approx(nats, rel=1e-4)
    shown = textgen_command(*words)
    assert shown.out == "".join(f"{line['text']}\n" for line in found)
    assert "the 3 best of 6 beams" in shown.err and "seed" not in shown.err


def test_one_beam_writes_what_temperature_0_does(textgen_command, workplace):
    words = ("generate", "--onnx", "verses", "--prompt", "ANNA:\n", "--length", "70")
    greedy = textgen_command(*words, "--temperature", "0")
    found = textgen_command(*words, "--beams", "1", "--verbose")
    assert found.out == greedy.out
    assert found.out.startswith("ANNA:\n")
    assert "beam search" in found.err
    silent = textgen_command(*words, "--beams", "1", "--no-echo", "--stop", "the")
    assert silent.out.rstrip("\n") == greedy.out[len("ANNA:\n") :].partition("the")[0]


def test_samplers_that_forbid_are_heeded(textgen_command, workplace):
    words = ("generate", "--onnx", "verses", "--beams", "4", "--length", "60", "--no-echo")
    done = textgen_command(*words, "--sampler", "begin:text=DORA:", "--sampler", "forbid:text=e")
    assert done.out.startswith("DORA:")
    assert "e" not in done.out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--beams 5 --seed 1", "--seed is for texts that are drawn"),
        ("--beams 5 --temperature 0.8", "--temperature is for texts"),
        ("--beams 5 --top-k 3", "--top-k is for texts"),
        ("--beams 5 --top-p 0.9", "--top-p is for texts"),
        ("--beams 5 --min-p 0.1", "--min-p is for texts"),
        ("--beams 5 --samples 6", "5 beams cannot find 6 texts"),
        ("--beams 5 --samples 0", "cannot find 0"),
        ("--beams 0", "number of beams"),
        ("--beams few", "not a valid integer"),
        ("--beams 5 --length -1", "length"),
        ("--beams 5 --length-penalty nan", "length penalty"),
        ("--length-penalty 1", "--beams"),
        ("--beams 5 --sampler top-k", "TopK shapes a draw"),
        ("--beams 5 --sampler nope", "There is no sampler"),
    ],
)
def test_mistakes_are_told_in_two_lines(line, said, textgen_command, workplace):
    done = textgen_command("generate", "--onnx", "verses", *line.split())
    assert done.status == 2, done.err
    assert len(done.err.splitlines()) == 2, done.err
    assert said in done.err
    assert done.out == ""


def test_what_goes_with_beams_are_options_of_generate():
    """All others are refused, and so is a new one until it stands there too."""
    known = {option.name for option in command.params} - {"debug"}
    assert known >= DRAWING
    assert known - DRAWING >= _SHARED
