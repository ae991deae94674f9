"""Plugins that load and then do what no contract says: each is told of as its own, in two lines."""

from __future__ import annotations

import json
from textwrap import dedent

import pytest

from fake_distributions import install

BROKEN = """
    import click
    import numpy as np
    import torch

    from textgen.contracts.cell import Cell
    from textgen.contracts.hooks import hookimpl
    from textgen.contracts.reader import Document, Reader
    from textgen.contracts.sampler import Sampler
    from textgen.contracts.tokenizer import Tokenizer

    TEXTGEN_CONTRACT = 1


    def sampler(**methods):
        return type("Mine", (Sampler,), {"adjust": lambda self, l, s, o: l, **methods})


    def reader(documents):
        rest = {"fingerprint": lambda self: "x", "size": lambda self: None}
        return type("Mine", (Reader,), {"documents": documents, **rest})


    def tokenizer(encode=None, symbols=(b"", b"a", b"b"), boundary=0, learnt=None):
        class Mine(Tokenizer):
            def __init__(self):
                self.symbols, self.boundary = symbols, boundary

            @classmethod
            def learn(cls, documents, options):
                return cls() if learnt is None else learnt

            def encode(self, text):
                return encode(text)

            def safe_cut(self, text):
                return len(text)

            def to_json(self):
                return {}

            @classmethod
            def from_json(cls, vocabulary, data):
                return cls()

        return Mine


    def cell(step, init=None):
        class Mine(Cell):
            def __init__(self, layer):
                super().__init__(layer)
                self.mix = torch.nn.Linear(layer.input_size, layer.hidden_size)
                if init:
                    init()

            def step(self, x, state):
                return step(self.mix(x), state)

        return Mine


    def fall(*given):
        raise ValueError("it\\n fell")


    def leave(*given):
        raise SystemExit(0)


    def talk(self, logits, state, options):
        print("said by the plugin")
        return logits


    @hookimpl
    def textgen_samplers():
        states = {"state_shapes": lambda self: {"a": (1,)}}
        return {
            "falls": sampler(adjust=fall),
            "leaves": sampler(adjust=leave),
            "talks": sampler(adjust=talk),
            "narrows": sampler(adjust=lambda self, l, s, o: l[:, :2]),
            "forgets": sampler(adjust=lambda self, l, s, o: None),
            "loses": sampler(**states, accept=lambda self, i, p, s: {}),
            "nameless": sampler(adjust_graph=lambda self, g, l, s, o: None),
        }


    @hookimpl
    def textgen_readers():
        return {
            "gives-bytes": reader(lambda self: iter([Document("a", [b"abc"])])),
            "gives-text": reader(lambda self: iter(["abc"])),
            "gives-nothing": reader(lambda self: None),
            "breaks-off": reader(fall),
        }


    def ids(*values, dtype=np.int64):
        return lambda text: (np.array(values * len(text), dtype), [])


    @hookimpl
    def textgen_tokenizers():
        return {
            "bare": tokenizer(lambda text: [1, 2, 1]),
            "beyond": tokenizer(ids(1, 3)),
            "below": tokenizer(ids(1, -1)),
            "halves": tokenizer(ids(1, 2, dtype=np.float64)),
            "nobody": tokenizer(learnt="x"),
            "wordy": tokenizer(ids(1, 2), symbols=("", "a", "b")),
            "borderless": tokenizer(ids(1, 2), boundary=1),
        }


    @hookimpl
    def textgen_cells():
        return {
            "unborn": cell(None, init=fall),
            "stumbles": cell(fall),
            "single": cell(lambda y, state: y),
            "thin": cell(lambda y, state: (y[:, :2], state)),
            "swells": cell(lambda y, state: (y, (torch.cat([y, y], -1),))),
        }
"""
SMALL = ("--steps", "2", "--hidden-size", "8", "--batch-size", "4")


@pytest.fixture
def broken(tmp_path):
    (tmp_path / "broken.py").write_text(dedent(BROKEN), encoding="utf-8")
    (tmp_path / "text").write_text("abc")
    return "--plugin", "broken.py"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("falls", "(broken.py, line"),
        ("leaves", "failed: SystemExit: 0"),
        ("narrows", "does not return logits in the shape of those it got, from adjust"),
        ("forgets", "does not return logits in the shape of those it got, from adjust"),
        ("loses", "does not return the states that it got, by name, from accept"),
        ("nameless", "does not return the name of logits, from adjust_graph"),
    ],
)
def test_samplers(name, said, command_here, workplace, broken):
    words = ("generate", "--onnx", "verses", "--length", "4", "--prompt", "A")
    told(command_here(*words, "--sampler", name, *broken), said)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gives-bytes", "gives a bytes, and not a str as a Document's piece"),
        ("gives-text", "gives a str, and not a Document"),
        ("gives-nothing", "gives a NoneType, and not an iterator of Documents"),
        ("breaks-off", "failed: ValueError: it fell"),
    ],
)
def test_readers(name, said, command_here, broken):
    told(command_here("train", "text", "--reader", name, *SMALL, *broken), said)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bare", "encodes a text as other than ids and what is unknown"),
        ("beyond", "gives ids that are none of its symbols"),
        ("below", "gives ids that are none of its symbols"),
        ("halves", "gives ids in 1 dimensions of float64"),
        ("nobody", "learns a str, and not a Tokenizer"),
        ("wordy", "has symbols that are not a tuple of bytes"),
        ("borderless", "has 1 as its boundary, which is no symbol without bytes"),
    ],
)
def test_tokenizers(name, said, command_here, verses, broken):
    told(command_here("train", verses, "--tokenizer", name, *SMALL, *broken), said)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unborn", "failed: ValueError: it fell"),
        ("stumbles", "failed: ValueError: it fell"),
        ("single", "returns a Tensor, and not an output and a tuple of states"),
        ("thin", "returns an output of the shapes [(2, 2)], and not [(2, 8)]"),
        ("swells", "returns states of the shapes [(2, 16)], and not [(2, 8)]"),
    ],
)
def test_cells(name, said, command_here, verses, broken, tmp_path):
    told(command_here("train", verses, "--cell", name, *SMALL, *broken), said)
    assert not (tmp_path / "runs").exists()


def told(done, said: str) -> None:
    assert done.status == 1
    assert done.out == ""
    lines = [line for line in done.err.splitlines() if not line.startswith("Warning: ")]
    assert len(lines) == 2 and lines[0].startswith("Error: ") and said in lines[0], done.err
    assert "textgen plugins check" in lines[1]


def test_what_a_plugin_prints_is_not_in_the_text(command_here, workplace, broken):
    words = ("generate", "--onnx", "verses", "--length", "4", "--seed", "1", "--sampler", "talks")
    plain = command_here(*words[:-2])
    done = command_here(*words, *broken)
    assert (done.status, done.out) == (0, plain.out)
    assert done.err.count("said by the plugin") >= 4
    (line,) = command_here(*words, *broken, "--json").out.splitlines()
    assert json.loads(line)["text"] == plain.out.rstrip("\n")


def test_a_command_of_a_plugin_fails_as_its_own(command_here, tmp_path, monkeypatch):
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    source = """
        import click
        from textgen.contracts.hooks import hookimpl

        TEXTGEN_CONTRACT = 1

        @click.command()
        def fails():
            print("said")
            raise LookupError("nothing there")

        @hookimpl
        def textgen_commands():
            return {"fails": fails}
    """
    install(site, "textgen-fails", source, {"textgen.commands:fails": "textgen_fails"})
    done = command_here("fails")
    assert (done.status, done.out) == (1, "said\n")
    assert "textgen-fails (textgen_fails.py, line 10) failed: LookupError" in done.err
