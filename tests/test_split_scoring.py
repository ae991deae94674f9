"""A model on a split of its corpus: the figures of its training, again, without torch."""

from __future__ import annotations

import json

import numpy as np
import pytest

import textgen
from textgen import cli, split_scoring
from textgen.contracts.errors import UserError
from textgen.registry import discover


@pytest.fixture
def scored(trained, verses, capfd):
    """``textgen score`` of the verses by their model: its status, and what it wrote."""

    def run(*words):
        capfd.readouterr()
        status = cli.run(["score", str(verses), "--onnx", str(trained.model), *words])
        return status, *capfd.readouterr()

    return run


def test_the_validation_split_costs_what_the_training_said(trained, verses):
    found = textgen.score_split(verses, trained.model, split="validation")
    for how in ("cold", "carried"):
        assert found[how].nats == pytest.approx(trained.losses[how]["nats"], abs=1e-5)
        assert found[how].symbols == trained.losses[how]["symbols"]


def test_so_it_does_of_a_list(trained_names, names):
    found = textgen.score_split(names, textgen.load(trained_names.model), split="validation")
    for how in ("cold", "carried"):
        assert found[how].nats == pytest.approx(trained_names.losses[how]["nats"], abs=1e-5)
        assert found[how].symbols == trained_names.losses[how]["symbols"]


def test_of_a_list_it_is_told_without_the_boundaries_too(trained, verses, trained_names, names):
    assert "unclosed" not in textgen.score_split(verses, trained.model, split="validation")
    model = textgen.load(trained_names.model)
    found = textgen.score_split(names, model, split="validation")
    whole, inner = found["carried"], found["unclosed"]
    packed = split_scoring.open_as_trained(str(names), model.info, discover())
    texts = [packed.ids[start:end] for start, end in packed.spans("validation").tolist()]
    assert inner.symbols == sum(map(len, texts)) == whole.symbols - len(texts)
    assert inner.characters == whole.characters
    alone = model.score_ids([np.append(ids, packed.vocabulary.boundary) for ids in texts])
    assert inner.nats == pytest.approx(np.concatenate([n[:-1] for n in alone]).mean(), abs=1e-5)


def test_so_it_does_in_the_symbols_that_the_model_has(verses, tmp_path):
    options = {"tokenizer": "words", "tokenizer_options": {"max_size": 9}}
    run = textgen.train(verses, corpus_options=options, steps=2, hidden_size=8, folder=tmp_path)
    found = textgen.score_split(verses, run.model, split="validation")
    assert found["cold"].nats == pytest.approx(run.losses["cold"]["nats"], abs=1e-5)


def test_a_network_that_learns_as_it_reads(trained, verses):
    """At no rate worth the name it is the carried figure; at a good one it is lower."""
    plain, slow, fast = (
        textgen.score_split(verses, trained.model, dynamic=rate) for rate in (None, 1e-9, 0.3)
    )
    assert "dynamic" not in plain
    assert slow["carried"] == fast["carried"] == plain["carried"]
    assert slow["dynamic"].symbols == plain["carried"].symbols
    assert slow["dynamic"].nats == pytest.approx(plain["carried"].nats, abs=1e-4)
    assert fast["dynamic"].nats < plain["carried"].nats


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), 0.0, -1.0])
def test_a_rate_that_is_none_is_refused(rate, trained, verses):
    with pytest.raises(UserError, match="none to learn at"):
        textgen.score_split(verses, trained.model, dynamic=rate)


def test_on_the_command_line(scored):
    status, out, _ = scored("--split", "test")
    assert status == 0 and "carried" in out
    told = json.loads(scored("--split", "test", "--dynamic", "0.1", "--json")[1])
    assert told["split"] == "test"
    kept = {"nats", "bits", "symbols", "bits_per_character"}
    assert kept == told["dynamic"].keys() == told["cold"].keys()


def test_another_text_is_refused(trained, names, verses):
    with pytest.raises(UserError, match="not the text that the model was trained on"):
        textgen.score_split(names, trained.model)
    with pytest.raises(UserError, match="Model cannot learn"):
        textgen.score_split(verses, textgen.load(trained.model), dynamic=0.1)


def test_an_empty_split_is_refused(verses, tmp_path):
    sizes = {"split_sizes": (90, 10, 0)}
    run = textgen.train(verses, corpus_options=sizes, steps=2, hidden_size=8, folder=tmp_path)
    with pytest.raises(UserError, match="test split of verses"):
        textgen.score_split(verses, run.model)


@pytest.mark.parametrize(
    "words", [["--dynamic", "0.1"], ["--split", "test", "--lines"], ["--split", "test", "other"]]
)
def test_what_does_not_go_together_is_refused(words, scored):
    status, out, err = scored(*words)
    assert (status, out) == (2, "")
    assert "--split" in err
