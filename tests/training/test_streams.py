"""Streams: every symbol once an epoch, one document a row, resets that show the boundary."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
import torch

from textgen.training.feeding import IGNORED, Fed, MappedFeed, ResidentFeed
from textgen.training.permutation import permuted, permuted_all
from textgen.training.streams import Streams

BOUNDARY = 0


def packed(lengths):
    """Ids that count up, so that every symbol can be told: boundary, document, boundary, ..."""
    ids, spans, following = [BOUNDARY], [], 1
    for length in lengths:
        spans.append((len(ids), len(ids) + length))
        ids += [*range(following, following + length), BOUNDARY]
        following += length
    return np.array(ids, np.int32), np.array(spans, np.int64)


def streams(lengths, **changes):
    ids, spans = packed(lengths)
    options = {"batch_size": 4, "sequence_length": 8, "reset_probability": 0.0, "seed": 5}
    return Streams(ids, spans, BOUNDARY, **{**options, **changes})


def read(source):
    """The next batch's inputs and targets (T, B) and resets (B,), in both ways of feeding it."""
    batch, ids, cpu = source.next(), source._targets.ids, torch.device("cpu")
    mapped, resident = (feed(ids, BOUNDARY, cpu)(batch) for feed in (MappedFeed, ResidentFeed))
    assert all(map(torch.equal, mapped, resident))
    assert [part.dtype for part in mapped] == [part.dtype for part in resident]
    return Fed(*(part.numpy() for part in mapped))


def epoch_targets(source, total):
    """What is predicted in the first epoch, padding and boundaries left out."""
    seen = []
    while len(seen) < total:
        batch = read(source)
        wanted = batch.targets[(batch.targets != IGNORED) & (batch.targets != BOUNDARY)]
        seen += wanted.tolist()
    return seen


@pytest.mark.parametrize(
    "lengths", [[500], [300, 5, 170], [3, 1, 7, 5, 2, 9, 4, 4, 6] * 30, [20] * 50]
)
def test_every_symbol_is_predicted_once_in_an_epoch(lengths):
    source = streams(lengths)
    total = sum(lengths)
    seen = epoch_targets(source, total)
    first = seen[:total]
    if source.bucketed:
        assert sorted(first) == list(range(1, total + 1))
    else:  # rows go on into the next epoch while others end this one
        counts = np.bincount(seen, minlength=total + 1)[1:]
        assert counts.min() >= 1 or len(seen) < 1.1 * total


@pytest.mark.parametrize("lengths", [[500], [300, 5, 170], [3, 1, 7, 5, 2] * 30])
def test_a_row_follows_its_text_and_holds_one_document(lengths):
    source = streams(lengths)
    before = [None] * 4
    for _ in range(60):
        batch = read(source)
        for row in range(4):
            inputs, targets = batch.inputs[:, row], batch.targets[:, row]
            count = int((targets != IGNORED).sum())
            assert (targets[count:] == IGNORED).all()
            if count == 0:
                continue
            if batch.reset[row]:
                assert inputs[0] == BOUNDARY
            else:
                assert inputs[0] == before[row]
            # each input is the target before it, and only the last target may be a boundary
            assert (inputs[1:count] == targets[: count - 1]).all()
            assert (targets[: count - 1] != BOUNDARY).all()
            before[row] = targets[count - 1]


def test_random_resets_show_the_boundary():
    source = streams([5000], reset_probability=0.5)
    batches = [read(source) for _ in range(50)]
    share = np.mean([batch.reset.mean() for batch in batches])
    assert 0.35 < share < 0.65
    for batch in batches:
        assert (batch.inputs[0, batch.reset] == BOUNDARY).all()


def test_short_documents_of_like_length_share_a_batch():
    random = np.random.default_rng(0)
    source = streams(random.integers(2, 12, 4000).tolist(), batch_size=16, sequence_length=64)
    assert source.bucketed
    for _ in range(200):
        source.next()
    assert source.padding < 0.05


def test_one_long_text_is_shared_by_all_rows_without_padding():
    source = streams([32_000])
    assert not source.bucketed
    for _ in range(900):
        source.next()
    assert source.padding < 0.01


def test_epochs_differ_in_where_segments_begin():
    source = streams([4000])
    starts = [set(), set()]
    while source.shown < 2 * 4000:
        epoch = source._order._epoch
        batch = read(source)
        if epoch < 2:
            starts[epoch] |= set(batch.targets[0, batch.reset].tolist())
    assert starts[0] != starts[1]


@pytest.mark.parametrize(
    ("dtype", "largest", "kept"),
    [
        ("uint8", 255, torch.uint8),
        ("uint16", 300, torch.int16),
        ("uint16", 60_000, torch.int32),
        ("int32", 100_000, torch.int32),
    ],
)
def test_a_text_is_kept_in_as_few_bytes_as_hold_it(dtype, largest, kept):
    ids = np.array([0, 1, largest, 2, 0], dtype)
    feed = ResidentFeed(ids, BOUNDARY, torch.device("cpu"))
    assert feed._ids.dtype == kept
    batch = Streams(
        ids, np.array([[1, 4]]), BOUNDARY,
        batch_size=1, sequence_length=8, reset_probability=0.0, seed=1,
    ).next()  # fmt: skip
    assert feed(batch).targets[:, 0].tolist() == [1, largest, 2, BOUNDARY]


@pytest.mark.parametrize("lengths", [[3000], [3, 1, 7, 5, 2] * 60])
@pytest.mark.parametrize("after", [1, 7, 90])
def test_a_cursor_goes_on_exactly(lengths, after):
    first = streams(lengths, reset_probability=0.2)
    for _ in range(after):
        first.next()
    second = streams(lengths, reset_probability=0.2)
    second.restore(json.loads(json.dumps(first.cursor())))
    for _ in range(100):
        a, b = read(first), read(second)
        assert np.array_equal(a.inputs, b.inputs)
        assert np.array_equal(a.targets, b.targets)
        assert np.array_equal(a.reset, b.reset)
    assert (first.shown, first.padded) == (second.shown, second.padded)


@pytest.mark.parametrize("count", [1, 2, 3, 17, 256, 1000])
def test_the_permutation_is_one(count):
    for key in ((0, 1), (0, 2)):
        assert sorted(permuted(i, count, key) for i in range(count)) == list(range(count))
    if count > 100:
        one, other = ([permuted(i, count, (0, k)) for i in range(count)] for k in (1, 2))
        assert one != other


@pytest.mark.parametrize("count", [1, 2, 3, 17, 4096, 4097, 30_000, 1 << 31])
def test_a_permutation_of_many_at_once_is_the_same(count):
    """Of 2^31 too, whose rounds are too large to be looked up."""
    indices = np.unique(np.linspace(0, count - 1, 500).astype(np.int64))
    for key in ((0, 3, 0), (7, 3, 2)):
        expected = [permuted(index, count, key) for index in indices.tolist()]
        assert permuted_all(indices, count, key).tolist() == expected


@pytest.mark.parametrize(
    "lengths", [[3000], [700, 40, 33, 900, 35], [33 + i % 50 for i in range(2500)]]
)
def test_one_row_predicts_every_symbol_once_in_each_epoch(lengths):
    source = streams(lengths, batch_size=1)
    assert not source.bucketed
    total = source.symbols_in_epoch
    assert total == sum(lengths) + len(lengths)  # each document's closing boundary is a target
    for _ in range(2):
        seen, shown = [], source.shown
        while source.shown < shown + total:
            batch = read(source)
            seen += batch.targets[batch.targets != IGNORED].tolist()
        counts = np.bincount(seen, minlength=sum(lengths) + 1)
        assert counts[BOUNDARY] == len(lengths)
        assert (counts[1:] == 1).all()


@pytest.mark.parametrize("lengths", [[5000], [3, 1, 7, 5, 2] * 400, [40, 90, 300] * 20])
def test_looking_ahead_tells_what_a_step_shows(lengths):
    source = streams(lengths)
    expected, padding = source.look_ahead()
    cursor = source.cursor()
    for _ in range(256):
        source.next()
    assert source.shown / 256 == expected
    assert source.padding == pytest.approx(padding)
    again = streams(lengths)
    again.look_ahead()
    assert again.cursor() == cursor


def test_rows_of_a_small_text_still_see_context():
    source = streams([70], batch_size=32)
    batch = read(source)
    assert (batch.targets != IGNORED).sum(axis=0).mean() > 6


@pytest.mark.parametrize("length", [8, 300])
def test_many_documents_need_little_memory(length, tmp_path):
    count = 2_000_000
    starts = 1 + (length + 1) * np.arange(count, dtype=np.int64)
    np.stack([starts, starts + length], axis=1).tofile(tmp_path / "spans")
    spans = np.memmap(tmp_path / "spans", np.int64, "r").reshape(-1, 2)
    with (tmp_path / "ids").open("wb") as file:
        file.truncate(count * (length + 1) + 1)  # zeros that take no space: all boundaries
    ids = np.memmap(tmp_path / "ids", np.uint8, "r")
    tracemalloc.start()
    source = Streams(
        ids, spans, BOUNDARY, batch_size=32, sequence_length=64, reset_probability=0.03, seed=0
    )
    assert source.bucketed == (length == 8)
    for _ in range(200):
        source.next()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 << 20
    assert len(json.dumps(source.cursor())) < 2000
