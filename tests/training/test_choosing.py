"""Choosing for the user: what the rules keep and follow, and that trainings begin with them."""

from __future__ import annotations

import json

import pytest
from watching import Remember

import textgen
from awkward.cells import Leaky
from textgen.contracts.errors import UserError
from textgen.presets import PRESETS, begin_with, find_preset
from textgen.registry import discover
from textgen.runs import choose_optimizer
from textgen.training.choosing import Choosing, _batch
from textgen.training.observer import Started
from textgen.training.optimizers import learning_rate
from textgen.training.settings import build_settings

SMALL = {"hidden_size": 8, "embedding_size": 4, "steps": 3}


@pytest.fixture(scope="module")
def running(verses, tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "running.txt"
    path.write_text(verses.read_text() * 10)
    return textgen.open_corpus(str(path))


@pytest.fixture(scope="module")
def lines(names):
    return textgen.open_corpus(str(names))


def chosen(corpus, cell=None, **given):
    cell = cell or discover().load("cell", "gru")
    optimizer = choose_optimizer(None, {}, discover())
    return Choosing(corpus, cell, cell.Options(), optimizer, given).choose()


def test_a_longer_budget_takes_a_larger_network_and_more_dropout(running):
    found = [chosen(running, tokens=tokens) for tokens in (10_000, 2_000_000, 10_000_000)]
    sizes, dropouts = ([c.settings[n] for c in found] for n in ("hidden_size", "dropout"))
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    assert dropouts[0] == 0 < dropouts[1] < dropouts[2] <= 0.5
    assert "seen some" in found[0].reason


def test_a_small_text_is_not_given_a_network_that_learns_it_by_heart(running):
    size = chosen(running, tokens=10**12).settings["hidden_size"]
    assert 3 * size * size < 2 * running.symbols("train")


def test_a_small_text_is_not_read_until_it_is_known_by_heart(lines):
    found = chosen(lines, minutes=1000)
    assert build_settings(found.settings).budget == ("epochs", 40)
    assert "40 passes over the text; 1000 minutes would be some" in found.reason
    assert build_settings(chosen(lines, minutes=1000, dropout=0.3).settings).minutes == 1000


def test_a_wide_network_that_sees_a_text_often_drops_recurrent_weights(running):
    def dropped(*cell, **given):
        return chosen(running, *cell, **given).settings.get("weight_drop", 0)

    assert dropped(hidden_size=384, epochs=40) > 0
    assert dropped(hidden_size=384, epochs=10) == dropped(hidden_size=32, epochs=40) == 0
    assert dropped(hidden_size=384, epochs=40, weight_drop=0.0) == 0
    assert dropped(Leaky, hidden_size=384, epochs=40) == 0, "it says of no weights that they recur"


def test_where_weights_are_dropped_and_no_time_counts_the_network_is_wider(verses, tmp_path):
    path = tmp_path / "long.txt"
    path.write_text(verses.read_text() * (1_200_000 // verses.stat().st_size))
    corpus = textgen.open_corpus(str(path))

    def size(*cell, **given):
        return chosen(corpus, *cell, **given).settings["hidden_size"]

    assert size(epochs=40) == 640
    assert size(epochs=25) == size(epochs=40, weight_drop=0.0) == 512, "it drops none"
    assert size(epochs=40, embedding_size=256) == 512, "it would have too many weights"
    assert size(epochs=40, hidden_size=512) == 512, "it is given"


def test_short_documents_are_learnt_in_larger_batches(running, lines):
    assert chosen(running, tokens=100).settings["batch_size"] == 32
    assert chosen(lines, tokens=100).settings["batch_size"] == 256
    assert _batch(lines, 64, ranks=3) == 258


def test_what_is_given_is_kept(running):
    given = {"hidden_size": 24, "dropout": 0.35, "learning_rate": 0.001, "batch_size": 7}
    given["layer_norm"] = False
    found = chosen(running, minutes=0.01, layers=2, **given)
    assert found.settings == {"minutes": 0.01, "layers": 2, **given}


def test_a_wrong_setting_is_refused_before_anything_is_measured(running):
    with pytest.raises(UserError, match="dropout"):
        chosen(running, minutes=1, dropout=2)


def test_a_training_of_some_minutes_begins_with_what_was_chosen(running, tmp_path):
    said = []
    run = textgen.train(
        running, minutes=0.01, sequence_length=16, notify=said.append, folder=tmp_path
    )
    settings = json.loads((run.folder / "run.json").read_text())["settings"]
    assert settings["sequence_length"] == 16
    assert settings["hidden_size"] < 256
    (reason,) = said
    assert f"hidden size {settings['hidden_size']}" in reason


def test_a_name_that_is_taken_is_refused_before_anything_is_chosen(running, tmp_path):
    said = []
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    with pytest.raises(UserError, match="exists"):
        textgen.train(running, minutes=1, name="mine", notify=said.append, folder=tmp_path)
    assert said == []


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_trains_and_what_is_given_counts(name, running, tmp_path):
    seen = Remember()
    run = textgen.train(running, preset=name, observer=seen, folder=tmp_path, **SMALL)
    described = json.loads((run.folder / "run.json").read_text())
    assert described["cell"]["name"] == PRESETS[name].cell
    optimizer = described["optimizer"]
    assert optimizer["name"] == (PRESETS[name].optimizer or "adamw")
    assert PRESETS[name].optimizer_options.items() <= optimizer["options"].items()
    assert described["settings"]["hidden_size"] == 8
    assert seen.last(Started).steps == 3


def test_a_budget_replaces_the_presets():
    assert begin_with(find_preset("quick"), {"steps": 5, "seed": None}) == {"steps": 5}
    assert begin_with(find_preset("quick"), {"seed": 4}) == {"minutes": 1.0, "seed": 4}
    with pytest.raises(UserError, match="no preset"):
        find_preset("slow")


def test_char_rnns_learning_rate_falls_by_the_epoch():
    settings = build_settings(PRESETS["char-rnn"].settings)
    rates = [learning_rate(settings, 500, 10_000, epoch) for epoch in (0.5, 9.9, 10.0, 10.9, 12.5)]
    assert rates == pytest.approx([2e-3, 2e-3, 2e-3 * 0.97, 2e-3 * 0.97, 2e-3 * 0.97**3])


def test_char_rnns_network_starts_as_its_own(running, tmp_path):
    """All matrices within 0.08, the forget gate open."""
    run = textgen.train(
        running, preset="char-rnn", steps=1, learning_rate=1e-12, hidden_size=16, folder=tmp_path
    )
    from textgen.training.checkpoint import read_checkpoint

    weights = read_checkpoint(run.folder / "checkpoints" / "last.safetensors").tensors
    hh = weights["weights.cells.1.weight_hh"]
    assert 0.07 < hh.abs().max() <= 0.0801
    assert (weights["weights.cells.0.bias_ih"][16:32] > 0.99).all()
