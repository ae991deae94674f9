"""Lines by how surprising they are: costs, worst windows, unseen symbols, lines as they come."""

from __future__ import annotations

import io
import os
import threading
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from step_models import loaded, lstm
from textgen.registry import discover
from textgen.runtime import line_stream
from textgen.runtime.line_scoring import WINDOW, score_lines
from textgen.runtime.line_stream import line_batches


@pytest.mark.parametrize("documents", ["lines", "files"])
def test_what_is_known_costs_what_score_says(documents):
    model = loaded(lstm(documents=documents))
    lines = ["abc", "", "hij hij hij. abc abc abc", "a"]
    for line, found, plain in zip(
        lines, score_lines(model, lines), model.score_all(lines), strict=True
    ):
        assert found.bits == pytest.approx(plain.bits, rel=1e-6)
        assert (found.symbols, found.unknown) == (plain.symbols, ())
        if not plain.symbols:
            assert (line, found.worst) == ("", 0.0)
            continue
        bits = plain.per_symbol / np.log(2)
        width = min(WINDOW, len(bits))
        means = [bits[at : at + width].mean() for at in range(len(bits) - width + 1)]
        assert found.worst == pytest.approx(max(means), rel=1e-5)
        assert found.at == int(np.argmax(means))


def test_an_unseen_symbol_costs_what_the_least_likely_would_there():
    model = loaded(lstm())
    (found,) = score_lines(model, ["ab?c!"])
    known = model.score("abc").per_symbol / np.log(2)
    assert set(found.unknown) == {"?", "!"}
    assert found.symbols == 5
    state, dearest = model.initial_state(), []
    for token in (0, *model.encode("abc")[0]):
        logits, state = model.step(np.array([token]), state)
        row = logits[0].astype(float)
        logprobs = row - row.max() - np.log(np.exp(row - row.max()).sum())
        dearest.append(-logprobs.min() / np.log(2))
    assert found.bits == pytest.approx(known.sum() + dearest[2] + dearest[3], rel=1e-5)


def test_a_line_of_unseen_symbols_alone():
    (found,) = score_lines(loaded(lstm()), ["???"])
    assert found.symbols == 3 and found.bits > 3
    assert found.worst == pytest.approx(found.bits_per_symbol)


def numbers(batches):
    return [(line.number, line.text, line.cut) for batch in batches for line in batch]


def test_lines_come_in_order_and_whole():
    data = b"one\r\n\ntwo\xff\n" + "\u00e9\u2603".encode() + b"\nlast"
    assert numbers(line_batches(io.BytesIO(data))) == [
        (1, "one", False),
        (2, "", False),
        (3, "two\ufffd", False),
        (4, "\u00e9\u2603", False),
        (5, "last", False),
    ]
    assert numbers(line_batches(io.BytesIO(b""))) == []


def test_a_long_line_is_cut_and_marked_and_the_next_is_not_lost():
    size = line_stream.LONGEST
    for longer in (1, 3 * size, 10 * size):
        data = b"a" * size + b"\n" + b"b" * (size + longer) + b"\nnext\n"
        first, second, third = numbers(line_batches(io.BytesIO(data)))
        assert first == (1, "a" * size, False)
        assert second == (2, "b" * size, True)
        assert third == (3, "next", False)


def test_lines_are_read_as_those_of_a_corpus(tmp_path):
    """Byte order marks, carriage returns, other separators of lines, NUL."""
    data = "\ufeffone\r\r\n\ufefftwo\rhalf\n\r\n\u2028three\x0b\x1c\nlast\r".encode()
    found = [text for _, text, _ in numbers(line_batches(io.BytesIO(data)))]
    path = tmp_path / "lines.txt"
    path.write_bytes(data)
    reader = discover().load("reader", "lines")
    documents = reader(str(path), reader.Options()).documents()
    assert [text for text in found if text] == ["".join(d.pieces) for d in documents]
    assert found[0] == "one\r" and found[2] == "" and found[4] == "last\r"
    assert numbers(line_batches(io.BytesIO(b"a\0b\n"))) == [(1, "a\0b", False)]


def test_a_line_of_ten_megabytes_is_never_held():
    class Long(io.RawIOBase):
        left = 10_000_000

        def readline(self, limit=-1):
            size = min(limit, self.left)
            self.left -= size
            return b"x" * size if size else b""

    tracemalloc.start()
    found = numbers(line_batches(Long()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == [(1, "x" * line_stream.LONGEST, True)]
    assert peak < 1_000_000


def test_a_line_does_not_wait_for_the_next():
    read, write = os.pipe()
    batches = line_batches(os.fdopen(read, "rb"))
    with os.fdopen(write, "wb", buffering=0) as end:
        for number in range(3):
            end.write(b"line %d\n" % number)
            (line,) = next(batches)
            assert line.text == f"line {number}"
    assert list(batches) == []


def test_reading_ahead_is_bounded():
    class Endless(io.RawIOBase):
        lines = 0

        def readline(self, limit=-1):
            Endless.lines += 1
            return b"x" * 100 + b"\n"

    batches = line_batches(Endless())
    next(batches)
    time.sleep(0.2)
    held = Endless.lines
    assert held < 4000
    assert threading.active_count() < 50


def test_an_error_of_the_stream_is_raised_here():
    class Broken(io.RawIOBase):
        def readline(self, limit=-1):
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        next(line_batches(Broken()))


def test_what_is_replaced_costs_the_same_whatever_it_was():
    made, info = lstm()
    rules = ((r"\d\d:\d\d", "j."), (r"#\w+", ""))
    model = loaded((made, replace(info, replacements=rules)))
    plain = loaded((made, info))
    lines = [
        "12:30 abc def",
        "09:59 abc def",
        "abc 11:11\u2603 #x9 d",
        "abc 23:45\u2603 #y7 d",
        "#no",
    ]
    found = score_lines(model, lines)
    assert found[0] == found[1] and found[2] == found[3]
    assert found[:1] + found[2:3] == score_lines(plain, ["j. abc def", "abc j.\u2603  d"])
    assert (found[4].symbols, found[4].unknown) == (0, ())
    assert model.score(lines[0]).nats == plain.score("j. abc def").nats
    assert model.score(f"{lines[0]}\n{lines[1]}").symbols == 2 * len("j. abc def") + 1


def test_a_prompt_is_replaced_and_so_is_what_a_session_reads():
    made, info = lstm(hidden=32)
    model = loaded((made, replace(info, replacements=(("[0-9]+", "abc"),))))
    prompts = ("17", "204", "abc")
    assert len({model.generate(f"{p} def", length=50, seed=1).texts for p in prompts}) == 1
    assert model.generate("17", seed=1).prompt == "17"
    written = set()
    for prompt in prompts:
        session = model.session(seed=1)
        assert session.feed(prompt) == []
        written.add(session.write(50))
    assert len(written) == 1
