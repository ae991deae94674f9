"""What is written matches, whatever the model and its symbols, and all that matches can come."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import textgen
from textgen.conformance.check_sampler import check_sampler
from textgen.contracts.errors import UserError
from textgen.contracts.options import build_options
from textgen.contracts.tokenizer import Vocabulary
from textgen.registry import discover
from textgen_guided import Guided
from textgen_guided.positions import NEVER, _distances, find_positions

LETTERS = (b"", *(c.encode() for c in "ab1 \n\u00e9\u65e5"))
"""A symbol a character."""
PIECES = (
    b"a",
    b"ab",
    b"aba",
    b"b1",
    b"",
    b" a",
    b"\xc3",
    b"\xa9",
    b"\xe6\x97",
    b"\xa5b",
    b"1",
    b"b",
)
"""Symbols of several characters and of parts of them, the boundary among them."""

CHARACTERS = st.sampled_from(
    ["a", "b", "1", " ", "\u00e9", "\u65e5", ".", "[ab]", "[^a]", r"\d", r"\s"]
)
EXPRESSIONS = st.recursive(
    CHARACTERS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["?", "*", "+", "*?", "??", "{2}", "{1,3}"])).map(
            lambda parts: f"(?:{parts[0]}){parts[1]}"
        ),
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda parts: f"(?:{parts[0]}|{parts[1]})"),
    ),
    max_leaves=6,
)

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 4}, "year": {"type": "integer"}},
    "required": ["name", "year"],
}


def guided(symbols: tuple[bytes, ...], **options: object) -> Guided:
    built = build_options(Guided.Options, options, "test")
    return Guided(Vocabulary(symbols, symbols.index(b"")), built)


def drawn(sampler: Guided, seed: int, most: int) -> list[bytes] | None:
    """Symbols drawn evenly among those that are left, to the boundary; None where none came."""
    random, vocabulary = np.random.default_rng(seed), sampler.vocabulary
    state, found = sampler.initial_state(1), []
    for _ in range(most + 1):
        logits = random.normal(0, 1, (1, vocabulary.size)).astype(np.float32)
        given_options = type("Given", (), {"within": np.array([[sampler.options.within]])})
        ids = sampler.adjust(logits, state, given_options).argmax(axis=1)
        if ids[0] == vocabulary.boundary:
            return found
        found.append(vocabulary.symbols[ids[0]])
        state = sampler.accept(ids, np.zeros(1, np.float32), state)
    return None


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"regex": "(s[0-9]+ )*"},
        {"regex": "s1 (s2 s3 |s2 s4 s5 )?", "within": 3},
        {"regex": "(s[0-9]+ ){3,}", "within": 7},
    ],
)
def test_conforms(options):
    check_sampler(Guided, options)


def test_it_is_found_by_its_name():
    assert discover().load("sampler", "guided") is Guided


@settings(max_examples=150, deadline=None)
@given(EXPRESSIONS)
def test_all_that_matches_can_be_written_and_nothing_else(expression):
    """Against Python's re, over every short text."""
    try:
        positions = find_positions(expression, LETTERS, 0)
    except UserError:
        positions = None
    for length in range(4):
        for ids in itertools.product(range(1, len(LETTERS)), repeat=length):
            text = b"".join(LETTERS[i] for i in ids).decode()
            matches = re.fullmatch(expression, text) is not None
            if positions is None:
                assert not matches
                continue
            place = 0
            for i in ids:
                place = positions.following[place, i]
            ended = len(positions.following) - 2
            may_end = positions.following[place, 0] == ended and place < ended
            assert may_end == matches, text
            if matches:
                assert positions.distances[0] <= length + 1


@settings(max_examples=150, deadline=None)
@given(EXPRESSIONS, st.sampled_from([LETTERS, PIECES]), st.integers(0, 2**32 - 1))
def test_what_is_drawn_matches(expression, symbols, seed):
    try:
        sampler = guided(symbols, regex=expression)
    except UserError:
        return
    found = drawn(sampler, seed, 60)
    if found is not None:
        assert re.fullmatch(expression, b"".join(found).decode()), found


@settings(max_examples=100, deadline=None)
@given(EXPRESSIONS, st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_it_is_whole_within_so_many_symbols(expression, within, seed):
    try:
        sampler = guided(PIECES, regex=expression, within=within)
    except UserError:
        return
    shortest = int(find_positions(expression, PIECES, 4).distances[0]) - 1
    found = drawn(sampler, seed, max(within, shortest))
    assert found is not None and re.fullmatch(expression, b"".join(found).decode())


def test_positions_have_an_order_of_their_own():
    """Sessions keep them; they are those in which the model's symbols find them."""
    positions = find_positions("a(b|1)*", LETTERS, 0)
    a, b, one = 1, 2, 3
    assert positions.following[0, a] == 1
    assert positions.following[1, b] == positions.following[1, one]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"regex": "("}, "cannot be followed"),
        ({"regex": r"a\b"}, "cannot be followed"),
        ({"regex": "(?=a)b"}, "cannot be followed"),
        ({"regex": "x"}, "cannot write what matches 'x'"),
        ({"regex": "^a|[ab"}, "unterminated character set"),
        ({"schema": "{"}, "schema cannot be followed"),
        (
            {"schema": '{"type": "strange"}'},
            "schema cannot be followed: Unsupported type: strange.",
        ),
        ({"schema": "[]"}, "schema cannot be followed: Unsupported JSON Schema structure []."),
        ({"schema": '{"type": "null"}', "regex": "a"}, "Give one of them"),
    ],
)
def test_what_cannot_be_followed_is_said(options, told):
    with pytest.raises(UserError) as caught:
        guided((*LETTERS, *(bytes([b]) for b in b"cdef")), **options)
    assert told in str(caught.value)
    assert "\n" not in caught.value.problem


def test_a_table_has_a_limit(monkeypatch):
    monkeypatch.setattr("textgen_guided.positions.LARGEST", 50 * len(LETTERS))
    with pytest.raises(UserError, match="too many positions"):
        guided(LETTERS, regex="[ab]{60}")
    assert guided(LETTERS, regex="[ab]{40}")


def test_anchors_around_all_of_it_change_nothing():
    plain = find_positions("(a|b)+", LETTERS, 0)
    for regex in ("^(a|b)+$", "^(a|b)+", "(a|b)+$"):
        np.testing.assert_array_equal(guided(LETTERS, regex=regex)._following, plain.following)
    with pytest.raises(UserError, match="cannot write"):
        guided(LETTERS, regex=r"a\$")
    assert drawn(guided(LETTERS, regex="^$"), 0, 1) == []


def test_positions_may_be_many():
    """Pairs of them are more than 32 bits count."""
    chain = np.full((50_002, 2), 50_001, np.int32)
    chain[:50_000, 1] = np.arange(1, 50_001)
    distances = _distances(chain, 50_000)
    assert distances[0] == 50_000 and distances[49_999] == 1 and distances[50_001] == NEVER


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models of running text, in byte pairs where those are there, and of lines."""
    folder = tmp_path_factory.mktemp("guided")
    os.environ["TEXTGEN_CACHE"] = str(folder / "cache")
    notes = [f'{n}: {{"name": "{w}", "year": {1900 + n}}} {w}' for n in range(80) for w in "xy"]
    (folder / "notes.txt").write_text("\n".join(notes) + "\n", encoding="utf-8")
    pairs = {"tokenizer": "bpe", "tokenizer_options": {"size": 320}}
    known = "bpe" in discover().names("tokenizer")
    kinds = {"files": pairs if known else {}, "lines": {}}
    found = {}
    for documents, options in kinds.items():
        textgen.train(
            folder / "notes.txt",
            corpus_options={"documents": documents, **options},
            steps=40,
            hidden_size=24,
            sequence_length=16,
            name=documents,
            seed=2,
            folder=folder,
        )
        found[documents] = textgen.load(folder / "exported" / f"{documents}.onnx")
    yield folder, found
    del os.environ["TEXTGEN_CACHE"]


def test_every_text_of_a_model_matches(models):
    for model in models[1].values():
        sampler = ("guided", {"regex": r"\d{1,3}: (x|year|[ \d]+)", "within": 40})
        done = model.generate(samples=12, seed=5, samplers=[sampler])
        assert set(done.ended) == {"boundary"}
        assert all(re.fullmatch(r"\d{1,3}: (x|year|[ \d]+)", text) for text in done.texts)
        assert len(set(done.texts)) > 3
        assert "one graph" in model.way(model.chain(samplers=[sampler]))


def test_a_prompt_is_no_part_of_it(models):
    model = models[1]["files"]
    done = model.generate("x ", samples=3, seed=1, samplers=[("guided", {"regex": "1[0-9]{3}"})])
    assert all(re.fullmatch("1[0-9]{3}", text) for text in done.texts)


def test_the_likeliest_match(models):
    model = models[1]["files"]
    found = model.beam_search(beams=3, best=2, samplers=[("guided", {"regex": "(x|year|name)"})])
    assert {text.text for text in found} <= {"x", "year", "name"}
    assert all(text.ended == "boundary" for text in found)


def test_values_of_a_schema(models):
    sampler = ("guided", {"schema": json.dumps(SCHEMA), "within": 60})
    for model in models[1].values():
        for text in model.generate(samples=6, seed=3, samplers=[sampler]).texts:
            value = json.loads(text)
            assert value.keys() == {"name", "year"} and len(value["name"]) <= 4
            assert isinstance(value["year"], int)


def test_a_session_goes_on_in_its_place(models, tmp_path):
    regex = "[0-9]{4}: [a-z]{6},"
    for model in models[1].values():
        session = model.session(seed=4, samplers=[("guided", {"regex": regex})])
        whole = model.generate(seed=4, samplers=[("guided", {"regex": regex})]).text
        session.write(3)
        fork = session.fork()
        session.save(tmp_path / "kept")
        fork.write()
        assert re.fullmatch(regex, whole) and fork.text == whole + "\n"
        again = model.load_session(tmp_path / "kept")
        again.write()
        assert again.text == fork.text
        fork.rewind(5)
        fork.write()
        assert fork.text == again.text


def test_on_the_command_line(models):
    folder, _ = models
    words = ["generate", "--onnx", "files", "--samples", "3", "--seed", "1", "--json"]
    regex = r"[0-9]{1,2}(, [0-9]{1,2}){2,3}"
    done = subprocess.run(
        [sys.executable, "-m", "textgen", *words, "--sampler", f"guided:regex={regex},within=20"],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    texts = [json.loads(line)["text"] for line in done.stdout.splitlines()]
    assert len(texts) == 3 and all(re.fullmatch(regex, text) for text in texts)
