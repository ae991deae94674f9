"""The tokenizer keeps the contract, merges as it should, and its models need it no more."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import textgen
from textgen.conformance.check_tokenizer import check_round_trip, check_safe_cut, check_tokenizer
from textgen.contracts.reader import Document
from textgen.registry import discover
from textgen_bpe import BytePairOptions, BytePairs

TEXT = "".join(
    f"{who}:\n{what} the {thing}, and {what.lower()} it {how} in {year}.\n\n"
    for who in ("ANNA", "BRUNO", "CLARA")
    for what in ("Sing", "Tell me of", "Remember", "Carry")
    for thing in ("river", "mountain", "silent moon", "große Straße", "зима")
    for how, year in (("well", 1789), ("slowly", 2024), ("for ever", 30))
)


def learn(*texts: str, **options: int) -> BytePairs:
    documents = [Document(f"text {n}", (text,)) for n, text in enumerate(texts)]
    return BytePairs.learn(documents, BytePairOptions(**options))


LEARNT = learn(TEXT, size=600)
CHARACTERS = st.characters() | st.sampled_from("the  \n\r\t_'\u0301\ud800\udfff09é")
"""All of Unicode, surrogates among it, and often what parts begin and end with."""


@pytest.mark.parametrize("options", [{}, {"size": 257}, {"size": 300, "min_count": 5}])
def test_conforms(options):
    check_tokenizer(BytePairs, options)


def test_it_is_found_by_its_name():
    assert discover().load("tokenizer", "bpe") is BytePairs


@settings(max_examples=400, deadline=None)
@given(st.text(CHARACTERS, max_size=120), st.text(CHARACTERS, max_size=40))
def test_any_text_can_be_read_and_cut(text, more):
    unknown = check_round_trip(LEARNT, text)
    assert unknown == [c for c in dict.fromkeys(text) if "\ud800" <= c <= "\udfff"]
    check_safe_cut(LEARNT, text, more)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["a", " ", "x1", "_", "\n", "日本", "!", "  b"]), max_size=600))
def test_a_long_text_can_be_cut(words):
    """The border is looked for at the end of the text alone."""
    check_safe_cut(LEARNT, "".join(words), "ab")


def naive(tokenizer: BytePairs, part: str) -> list[bytes]:
    """The definition: the pair that was learnt first is merged first, the leftmost of equals."""
    symbols = tokenizer.symbols
    ranks = {(symbols[a], symbols[b]): n for n, (a, b) in enumerate(tokenizer._merges)}
    left = [bytes([byte]) for byte in part.encode()]
    while pairs := [(ranks.get(pair), n) for n, pair in enumerate(itertools.pairwise(left))]:
        known = [found for found in pairs if found[0] is not None]
        if not known:
            break
        _, at = min(known)
        left[at : at + 2] = [left[at] + left[at + 1]]
    return left


@pytest.mark.parametrize("part", ["Remember", " mountain", "Straße", " slowly", "abcabcab", "1789"])
def test_pairs_are_merged_in_the_order_they_were_learnt(part):
    ids, _ = LEARNT.encode(part)
    assert [LEARNT.symbols[i] for i in ids] == naive(LEARNT, part)


def test_what_is_common_is_one_symbol():
    spelt = {LEARNT.symbols[i] for i in LEARNT.encode(" the Remember river")[0]}
    assert {b" the", b" river"} <= spelt
    assert len(LEARNT.encode(TEXT)[0]) < len(TEXT.encode()) / 3


def test_no_more_symbols_than_asked_for():
    assert len(learn(TEXT, size=300).symbols) == 300
    assert learn("abc", size=5000).symbols == (b"", *(bytes([byte]) for byte in range(256)))


def test_rare_pairs_are_not_merged():
    assert b"ab" not in learn("ab ab", min_count=3).symbols
    assert b"ab" in learn("ab ab ab", min_count=2).symbols


def test_of_much_text_each_part_counts_for_less(monkeypatch):
    """One in so many: what is common is merged as it was."""
    whole = learn(TEXT * 40, size=300)
    monkeypatch.setattr("textgen_bpe._LEARNT", 20_000)
    fewer = learn(TEXT * 40, size=300)
    assert len(fewer.symbols) == len(whole.symbols) == 300
    assert len(fewer.encode(TEXT)[0]) < 1.02 * len(whole.encode(TEXT)[0])


def test_rare_parts_are_forgotten_where_there_are_too_many(monkeypatch):
    monkeypatch.setattr("textgen_bpe._COUNTED", 50)
    rare = " ".join(f"q{n}z" for n in range(5000))
    learnt = learn("winter " * 300 + rare + " winter" * 300, size=300)
    assert b" winter" in learnt.symbols


def test_what_was_learnt_by_a_newer_version_is_refused():
    data = {**LEARNT.to_json(), "format": 99}
    with pytest.raises(textgen.contracts.errors.PluginError, match="newer"):
        BytePairs.from_json(LEARNT.vocabulary, data)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a corpus and two models of it, one of bytes pairs, one of characters."""
    folder = tmp_path_factory.mktemp("bpe")
    os.environ["TEXTGEN_CACHE"] = str(folder / "cache")
    (folder / "verses.txt").write_text(TEXT * 4, encoding="utf-8")
    for name in ("bpe", "characters"):
        options = {"tokenizer": name}
        if name == "bpe":
            options["tokenizer_options"] = {"size": 400}
        textgen.train(
            folder / "verses.txt",
            corpus_options=options,
            steps=150,
            hidden_size=48,
            sequence_length=32,
            name=name,
            seed=1,
            folder=folder,
        )
    yield folder
    del os.environ["TEXTGEN_CACHE"]


def run(folder, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "textgen", *words],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


def test_a_model_writes_the_same_without_the_plugin(place):
    words = ("generate", "--onnx", "bpe", "--length", "60", "--seed", "3")
    with_it, without = run(place, *words), run(place, *words, "--no-plugins")
    assert with_it.returncode == without.returncode == 0
    assert with_it.stdout == without.stdout
    assert " the " in with_it.stdout
    assert "textgen-bpe is not installed" in without.stderr
    assert "not installed" not in with_it.stderr


def test_without_the_plugin_a_prompt_is_read_all_the_same(place):
    prompt = "ANNA:\nRemember the mountain, and"
    words = ("generate", "--onnx", "bpe", "--prompt", prompt, "--seed", "1", "--length", "20")
    done = run(place, *words, "--no-plugins")
    assert done.returncode == 0 and done.stdout.startswith(prompt)


def test_without_the_plugin_text_is_cut_as_with_it(place):
    """But where a part ends that would have been joined to the next: none does here."""
    path = place / "exported" / "bpe.onnx"
    with_it = textgen.load(path)
    without = textgen.load(path, registry=discover(third_party=False))
    for text in (TEXT, "Forget the mountains of 12, ANNA!", "\u65e5 \ud800"):
        for one, other in zip(with_it.encode(text), without.encode(text), strict=True):
            assert list(one) == list(other)


def test_it_scores_in_bits_a_character(place):
    """The figures of a split are those of the training, and compare with other symbols."""
    bits = {}
    for name in ("bpe", "characters"):
        words = ("score", "verses.txt", "--onnx", name, "--split", "validation", "--json")
        done = run(place, *words)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)["carried"]
        trained = textgen.load(place / "exported" / f"{name}.onnx").info.losses["carried"]
        assert told["nats"] == pytest.approx(trained["nats"], abs=1e-4)
        bits[name] = told["bits_per_character"]
    assert bits["bpe"] < bits["characters"] < 3


def test_parts_of_a_score_add_up(place):
    model = textgen.load(place / "exported" / "bpe.onnx")
    text = TEXT[:500]
    score = model.score(text)
    assert score.characters == len(text)
    assert score.symbols == len(model.encode(text)[0]) < len(text) / 2
    assert b"".join(model.vocabulary.symbols[i] for i in model.encode(text)[0]) == text.encode()
    assert np.isfinite(score.nats)
