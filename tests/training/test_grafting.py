"""Weights that go on with other symbols: matched by value, new ones at the mean, none permuted."""

from __future__ import annotations

import pytest
import torch
from everything import EVERYTHING, SMALL
from watching import Remember

import textgen
from awkward.cells import FastWeights, LearnedStart
from textgen import model_file
from textgen.contracts.errors import UserError
from textgen.contracts.tokenizer import Vocabulary
from textgen.registry import discover
from textgen.training.checkpoint import named, read_checkpoint
from textgen.training.grafting import Scion, graft, unknown_symbols
from textgen.training.network import Network
from textgen.training.observer import Evaluated
from textgen.training.stacking import Stacking

OLD = Vocabulary((b"a", b"", b"b", b"c", b"d"), 1)
NEW = Vocabulary((b"", b"d", b"x", b"b", b"a", b"y"), 0)
KNOWN = {0: 1, 1: 4, 3: 2, 4: 0}
"""Where each known one of the new symbols stood."""

CELLS = [discover().load("cell", name) for name in ("rnn", "lstm", "gru")]


def grafted(cell, embedding_size, stacking):
    def build(size):
        return Network(
            cell, size, hidden_size=6, layers=2, embedding_size=embedding_size, stacking=stacking
        )

    torch.manual_seed(0)
    old = build(OLD.size)
    weights = dict(old.state_dict())
    if stacking.tied:
        del weights["embedding.weight"]  # as in a model file
    return old.eval(), graft(Scion(weights, OLD, "old"), NEW, build).eval()


@pytest.mark.parametrize(
    ("embedding_size", "stacking"),
    [(4, Stacking()), (0, Stacking()), (6, Stacking("highway", norm=True, tied=True))],
    ids=["embedding", "one-hot", "tied"],
)
@pytest.mark.parametrize("cell", [*CELLS, FastWeights, LearnedStart])
def test_known_symbols_are_read_and_predicted_as_before(cell, embedding_size, stacking):
    old, new = grafted(cell, embedding_size, stacking)
    text = torch.tensor([0, 3, 4, 4, 1, 3])
    before = torch.tensor([KNOWN[int(symbol)] for symbol in text])
    with torch.no_grad():
        expected, _ = old.scan(before[:, None], old.initial_state(1))
        found, _ = new.scan(text[:, None], new.initial_state(1))
    torch.testing.assert_close(found[..., list(KNOWN)], expected[..., list(KNOWN.values())])
    means = expected.mean(-1)  # the head is linear, so new symbols get the mean logit
    torch.testing.assert_close(found[..., 2], means)
    torch.testing.assert_close(found[..., 5], means)


def test_which_symbols_are_new():
    assert unknown_symbols(Scion({}, OLD, "old"), NEW) == [b"x", b"y"]
    assert unknown_symbols(Scion({}, OLD, "old"), OLD) == []


def test_weights_of_another_network_are_refused():
    other = Network(CELLS[0], OLD.size, hidden_size=6, layers=1, embedding_size=4)
    for cell, layers in ((CELLS[2], 1), (CELLS[0], 2)):
        with pytest.raises(UserError, match="do not fit"):
            graft(
                Scion(other.state_dict(), OLD, "old"),
                NEW,
                lambda size, c=cell, n=layers: Network(
                    c, size, hidden_size=6, layers=n, embedding_size=4
                ),
            )


@pytest.fixture
def poems(verses, tmp_path):
    """The verses with five symbols more."""
    path = tmp_path / "poems.txt"
    text = verses.read_text(encoding="utf-8")
    path.write_text(text.replace("river", "RIVER&").replace("moon", "sun#"), encoding="utf-8")
    return path


def test_a_run_and_its_model_file_are_the_same_beginning(trained, poems, tmp_path):
    said, first = [], []
    for origin in (trained.folder, trained.model):
        run = textgen.train(
            poems,
            init_from=origin,
            steps=1,
            seed=2,
            precision="float32",  # a probe may find another the faster from run to run
            folder=tmp_path,
            notify=said.append,
        )
        first.append(read_checkpoint(run.folder / "checkpoints" / "last.safetensors"))
        info = model_file.read(run.model).info
        assert info.training["begun_from"] == origin.name
        assert (info.hidden_size, info.cell) == (48, "lstm")
    for name, weight in named(first[0].tensors, "weights.").items():
        assert torch.equal(weight, first[1].tensors[f"weights.{name}"]), name
    assert "5 of 43 symbols" in said[0]
    assert said[0].endswith("# & E I V")


@pytest.mark.parametrize("preset", ["quick", "char-rnn"])
def test_a_preset_leaves_the_weights_their_cell_and_sizes(preset, trained, poems, tmp_path):
    run = textgen.train(poems, init_from=trained.model, preset=preset, steps=1, folder=tmp_path)
    info = model_file.read(run.model).info
    assert (info.hidden_size, info.layers, info.cell) == (48, 1, "lstm")
    assert info.training["settings"]["seed"] == {"quick": 1, "char-rnn": 123}[preset]


def test_it_begins_where_the_weights_were(trained, poems, tmp_path):
    def first_loss(**options):
        seen = Remember()
        options = {"steps": 40, "evaluate_every": 1, "hidden_size": 48} | options
        textgen.train(poems, folder=tmp_path, observer=seen, **options)
        return seen.all(Evaluated)[0].held_back.nats

    assert first_loss(init_from=trained.model) < 0.6 * first_loss()


def test_all_options_at_once_go_on_and_resume(poems, verses, tmp_path):
    textgen.train(verses, cell="gru", steps=4, name="first", folder=tmp_path, **EVERYTHING)
    run = textgen.train(poems, init_from="first", steps=4, name="second", folder=tmp_path)
    settings = model_file.read(run.model).info.training["settings"]
    assert (settings["connection"], settings["tie_weights"]) == ("highway", True)
    assert textgen.resume("second", folder=tmp_path).steps == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hidden_size": 64}, "hidden_size 48, not 64"),
        ({"layers": 2}, "layers 1, not 2"),
        ({"cell": "gru"}, "of the cell lstm, not gru"),
        ({"init_from": "nowhere"}, "nowhere"),
    ],
)
def test_what_does_not_go_together_is_refused(options, words, trained, poems, tmp_path):
    with pytest.raises(UserError, match=words):
        textgen.train(poems, folder=tmp_path, **{"init_from": trained.model, "steps": 1, **options})
    assert [path.name for path in tmp_path.iterdir()] == ["poems.txt"]


def test_whole_numbers_are_too_coarse(verses, poems, tmp_path):
    textgen.train(verses, steps=1, name="first", folder=tmp_path, **SMALL)
    path = textgen.export_run("first", int8=True, folder=tmp_path)
    with pytest.raises(UserError, match="int8"):
        textgen.train(poems, init_from=path, steps=1, folder=tmp_path)
