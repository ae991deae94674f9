"""A session's file: what it holds, that damage is found, and what is refused."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soak import count
from step_models import BYTES, loaded, lstm
from textgen.contracts.errors import UserError
from textgen.runtime import session_file
from textgen.runtime.history import Settings

MODEL = loaded(lstm(symbols=BYTES, hidden=4))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The bytes of a small session with a bit of everything."""
    path = tmp_path_factory.mktemp("session") / "one"
    session = MODEL.session(seed=1, top_k=100, samplers=[("repetition", {"penalty": "1.1"})])
    session._history.spacing = 20
    session.feed("a\u2603")
    session.write(60)
    session.change(temperature=np.float32(0.7))
    session.write(30)
    session.save(path)
    return path.read_bytes()


def test_it_holds_what_was_written(data):
    file = session_file.parse(data, "one")
    assert session_file.pack(file) == data
    assert file.digest == MODEL.digest
    assert file.text == file.history.text(MODEL.vocabulary)
    assert file.text.startswith("a\u2603")
    assert [at for at, _ in file.history.settings] == [0, 64]
    assert len(file.history.kept) > 1


def test_a_session_of_ten_thousand_symbols_is_small(tmp_path):
    session = MODEL.session(seed=1)
    session.write(10_000)
    session.save(tmp_path / "one")
    size = (tmp_path / "one").stat().st_size
    assert size < 2 * 10_000 + 40 * 8 * 4 + 5_000  # the ids, the states, and the header


def test_every_single_bit_flip_is_found(data):
    every = range(8 * len(data))
    for place in random.Random(1).sample(every, min(len(every), count(4000, len(every)))):
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(UserError, match=r"is damaged|is no session"):
            session_file.parse(bytes(damaged), "one")


def test_every_cut_is_found(data):
    for length in range(len(data)):
        with pytest.raises(UserError, match=r"is damaged|is no session"):
            session_file.parse(data[:length], "one")


@settings(max_examples=count(100, 2000), deadline=None)
@given(st.binary(min_size=1, max_size=200), st.integers(0, 5000))
def test_every_added_byte_is_found(data, added, place):
    with pytest.raises(UserError):
        session_file.parse(data[:place] + added + data[place:], "one")


def resealed(data: bytes, **changes: object) -> bytes:
    """The session with another header, whose digest is right."""
    start = len(session_file.MAGIC) + 8
    size = int.from_bytes(data[start - 8 : start], "little")
    header = json.loads(data[start : start + size])
    for name, value in changes.items():
        header[name] = value(header[name]) if callable(value) else value
    text = json.dumps(header).encode()
    body = data[: start - 8] + len(text).to_bytes(8, "little") + text + data[start + size : -32]
    return body + hashlib.sha256(body).digest()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": session_file.FORMAT + 1}, "newer textgen"),
        ({"format": "one"}, "cannot be read"),
        ({"ids": ["<u1", 10**15]}, "cannot be read"),
        ({"ids": ["<u1", -1]}, "cannot be read"),
        ({"ids": ["|O", 1]}, "cannot be read"),
        ({"ids": ["<u1", 3]}, "cannot be read"),
        ({"kept": []}, "too many"),
        ({"kept": [[1, 1 << 60]]}, "cannot be read"),
        ({"symbols": {}}, "other symbols"),
        ({"symbols": lambda symbols: {**symbols, "4000000000": "a"}}, "other symbols"),
        ({"settings": [[0, {"seed": 1}]]}, "cannot be read"),
        ({"settings": 7}, "cannot be read"),
        ({"model": 7}, "cannot be read"),
        ({"fed": [3]}, "cannot be read"),
        ({"fed": [[0, 9999]]}, "places that cannot be"),
        ({"fed": [[7, 9], [0, 2]]}, "places that cannot be"),
        ({"settings": []}, "no settings"),
        ({"settings": lambda old: [[at + 1, given] for at, given in old]}, "no settings"),
        ({"spacing": 0}, "no spacing"),
    ],
)
def test_headers_that_are_refused(data, changes, words):
    with pytest.raises(UserError, match=words):
        session_file.parse(resealed(data, **changes), "one")


def test_no_path_is_read_from_it(data):
    assert session_file.parse(resealed(data, model="/home/a/../b.onnx"), "one").model == "b.onnx"
    assert session_file.parse(resealed(data), "one").model == MODEL.name


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("textgen session 1\n")
    (tmp_path / "pickle").write_bytes(b"\x80\x04N.")
    for name, words in {
        "missing": "could not be read",
        ".": "not a file",
        "empty": "no session",
        "text": "no session",
        "pickle": "no session",
        "nul\0": "could not be read",
    }.items():
        with pytest.raises(UserError, match=words) as caught:
            session_file.read(tmp_path / name)
        assert caught.value.remedy


def test_ids_that_the_model_does_not_have(data, tmp_path):
    file = session_file.parse(data, "one")
    small = loaded(lstm(hidden=4))
    (tmp_path / "one").write_bytes(
        session_file.pack(dataclasses.replace(file, digest=small.digest, end=None))
    )
    with pytest.raises(UserError, match="vocabulary"):
        small.load_session(tmp_path / "one")


FORMAT_1 = """
dGV4dGdlbiBzZXNzaW9uCmICAAAAAAAAeyJib3VuZGFyeSI6IDAsICJkaWdlc3QiOiAiMTY1ODQzOWQ1YjY0ODI1ZjA0YzE3
NzE0OTZmZWYxMmMzNTM5MzkzOGRmOGRmMTE4ZjdlNTg0NjBhMDU1ODgxZiIsICJlbmQiOiA1LCAiZmVkIjogW1swLCAzXSwg
WzEyLCAxM11dLCAiZm9ybWF0IjogMSwgImlkcyI6IFsifHUxIiwgMzJdLCAia2VwdCI6IFtbMjUsIDVdXSwgIm1vZGVsIjog
ImxldHRlcnMub25ueCIsICJzZXR0aW5ncyI6IFtbMCwgeyJtaW5fcCI6IG51bGwsICJzYW1wbGVycyI6IFtbIm1pcm9zdGF0
IiwgeyJ0YXUiOiAzLjB9XV0sICJzZWVkIjogNywgInRlbXBlcmF0dXJlIjogMC44LCAidG9wX2siOiBudWxsLCAidG9wX3Ai
OiBudWxsfV0sIFsxMiwgeyJtaW5fcCI6IG51bGwsICJzYW1wbGVycyI6IFtbIm1pcm9zdGF0IiwgeyJ0YXUiOiAzLjB9XV0s
ICJzZWVkIjogNywgInRlbXBlcmF0dXJlIjogMS4yNSwgInRvcF9rIjogNSwgInRvcF9wIjogbnVsbH1dXSwgInNwYWNpbmci
OiA4LCAic3ltYm9scyI6IHsiMCI6ICIiLCAiMSI6ICJhIiwgIjIiOiAiYiIsICIzIjogImMiLCAiNCI6ICJkIiwgIjUiOiAi
ZSIsICI2IjogImYiLCAiNyI6ICJnIiwgIjEwIjogImoiLCAiMTEiOiAiICIsICIxMyI6ICJcbiJ9fQECAw0FAAUEAgoCAAoG
Bw0FAwMCCgMDCgICCgMLBQ0HL9+5PjzsOj7Du20/YT91P/lg3EA9xB++Y36PPW93mb7cdXI+QBjpQB+1mX8UdqWuiZV7qbuC
t8XUHsYcQiM5uYWxFPSIZI7j
"""


def test_a_file_of_format_1_is_read_for_ever():
    file = session_file.parse(base64.b64decode(FORMAT_1), "one")
    assert (file.model, file.digest[:8]) == ("letters.onnx", "1658439d")
    assert file.text == "abc\ne\nedbjb\njfg\neccbjccjbbjc e\ng"
    history = file.history
    assert (history.fed, history.begins) == ([(0, 3), (12, 13)], [0, 6, 12])
    assert [at for at, _ in history.kept] == [25] and len(file.end) == 5
    settings = Settings(seed=7, samplers=(("mirostat", {"tau": 3.0}),))
    later = dataclasses.replace(settings, temperature=1.25, top_k=5)
    assert history.settings == [(0, settings), (12, later)]
