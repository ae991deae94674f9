"""What one may write says no more than was found."""

from __future__ import annotations

import pytest

from textgen.experiments.sentences import excluded, plus_minus, power, sentences, short


def cell(name, symbols, time, **changes):
    def reached(told):
        mean, interval = told
        return {
            "runs": 5,
            "states": {"complete": 5},
            "symbols": 20_000_000,
            "carried": {"mean": mean, "interval": interval, "text": plus_minus(mean, interval)},
        }

    return {
        "cell": name,
        "reason": "",
        "hidden_size": 300,
        "differs": 0.001,
        "kernel": "fused",
        "precision": "float32",
        "settings": {"learning_rate": 0.008, "dropout": 0.0},
        "trials": {"states": {"complete": 8}, "seconds": 60.0},
        "symbols": reached(symbols),
        "time": reached(time),
        **changes,
    }


def difference(budget, mean, interval, p, cell="gru"):
    return {
        "budget": budget,
        "cell": cell,
        "to": "lstm",
        "mean": mean,
        "interval": interval,
        "text": plus_minus(mean, interval),
        "p_holm": p,
    }


def found(cells, differences=()):
    return {
        "parameters": 1_203_000,
        "unit": "character",
        "corpus": {"name": "shakespeare", "symbols": {"test": 50_000}},
        "reference": "lstm",
        "finished": True,
        "budgets": {"symbols": {"symbols": 20_000_000}, "time": {"seconds": 93.0}},
        "varied": {"learning_rate": "1e-3..2e-2:log", "dropout": "0..0.4"},
        "trials": 8,
        "cells": cells,
        "differences": list(differences),
    }


BOTH = [cell("lstm", (1.55, 0.012), (1.55, 0.012)), cell("gru", (1.52, 0.01), (1.549, 0.013))]
DIFFERENCES = [
    difference("symbols", -0.03, 0.0151, 0.0051),
    difference("time", -0.001, 0.014, 0.85),
]


def test_equal_symbols_and_equal_time_each_have_theirs():
    in_symbols, in_time, chosen = sentences(found(BOTH, DIFFERENCES))
    assert in_symbols == (
        "At 1.2 M parameters and 2e7 symbols, gru reached 1.520 ± 0.010 and lstm reached 1.550 ± "
        "0.012 nats per character on the test text of shakespeare (means over five seeds, 95 % "
        "intervals); paired by seed, gru is better than lstm by 0.030 ± 0.015 (p = 0.0051)."
    )
    assert in_time.startswith("At 1.2 M parameters, in 93 s of training each, gru reached 1.549")
    assert "gru cannot be told from lstm (-0.001 ± 0.014, p = 0.85). In that time gru" in in_time
    assert chosen.startswith("Learning rate and dropout of each cell were chosen by eight trials")


def test_a_cell_without_runs_is_in_no_sentence_but_among_what_is_excluded():
    out = cell("mgu", (0, 1), (0, 1), reason="RuntimeError: no", kernel="", hidden_size=0)
    for budget in ("symbols", "time"):
        out[budget] = {"runs": 0, "states": {}, "symbols": 0, "carried": None}
    told = found([*BOTH, out], DIFFERENCES)
    assert not any("mgu" in line for line in sentences(told))
    assert "mgu is out: RuntimeError: no" in excluded(told)


def test_runs_that_were_lost_are_told_and_means_are_not_of_five_then():
    poor = cell("gru", (1.52, 0.01), (1.54, 0.013))
    poor["symbols"] |= {"runs": 3, "states": {"complete": 3, "diverged": 2}}
    told = found([BOTH[0], poor], DIFFERENCES)
    assert "means over the seeds that came to their end" in sentences(told)[0]
    assert "means over five seeds" in sentences(told)[1]
    assert any(
        line.startswith("Two of five runs of gru in equal symbols did not")
        for line in excluded(told)
    )


def test_where_sizes_do_not_match_it_is_told():
    told = found([BOTH[0], cell("big", (1, 0.1), (1, 0.1), differs=0.123)])
    assert any("big has 12.3% more parameters" in line for line in excluded(told))


def test_of_several_differences_p_is_corrected_and_the_sentence_says_so():
    cells = [*BOTH, cell("rnn", (1.7, 0.01), (1.7, 0.01))]
    told = found(cells, [DIFFERENCES[0], difference("symbols", 0.15, 0.01, 1e-9, "rnn")])
    assert sentences(told)[0].endswith(
        "paired by seed, gru is better than lstm by 0.030 ± 0.015 (p = 0.0051) and rnn is worse "
        "than lstm by 0.150 ± 0.010 (p < 0.0001); p with Holm's correction for two differences."
    )
    assert any("not corrected for their number; its p is" in line for line in excluded(told))


def test_without_a_cell_to_compare_with_it_is_told_that_nothing_is_compared():
    out = cell("lstm", (0, 1), (0, 1), reason="RuntimeError: no")
    for budget in ("symbols", "time"):
        out[budget] |= {"runs": 0, "states": {}}
    cells = [out, BOTH[1], cell("rnn", (1.7, 0.01), (1.7, 0.01))]
    assert "paired" not in sentences(found(cells))[0]
    assert any(line.startswith("Differences are told to lstm") for line in excluded(found(cells)))
    assert not any("are told to" in line for line in excluded(found(BOTH, DIFFERENCES)))
    begun = found(cells) | {"finished": False}
    assert not any("are told to" in line for line in excluded(begun))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"learning_rate": 0.0192}, "Learning rate 0.0192 of gru lies at an end of what"),
        ({"learning_rate": 0.00101}, "Learning rate 0.00101 of gru lies at an end of what"),
        ({"dropout": 0.395}, "Dropout 0.395 of gru lies at an end of what was searched, 0..0.4"),
        ({"learning_rate": 0.015, "dropout": 0.0}, ""),
    ],
)
def test_a_value_at_the_end_of_its_range_is_told(settings, told):
    lines = excluded(found([BOTH[0], {**BOTH[1], "settings": settings}], DIFFERENCES))
    assert [line[: len(told)] for line in lines if "lies at an end" in line] == [told][: bool(told)]


def test_trials_that_were_begun_again_are_not_counted_twice():
    again = cell("gru", (1.52, 0.01), (1.549, 0.013))
    again["trials"]["states"] = {"complete": 8, "interrupted": 2, "killed": 1}
    told = excluded(found([BOTH[0], again], DIFFERENCES))
    assert any(line.startswith("16 trials chose settings") for line in told)


def test_how_much_test_text_was_read_is_told_where_it_was_not_all_or_little():
    told = found(BOTH, DIFFERENCES)
    assert not any("test text" in line for line in excluded(told))
    told["corpus"]["symbols"]["test"] = 2_000_000
    assert any("the first 1,048,576 were read" in line for line in excluded(told))
    told["corpus"]["symbols"]["test"] = 150
    assert "The test text is short: 150 symbols." in excluded(told)


def test_of_one_cell_nothing_may_be_written():
    assert sentences(found(BOTH[:1])) == []


@pytest.mark.parametrize(
    ("mean", "half", "text"),
    [
        (1.5234, 0.0123, "1.523 ± 0.012"),
        (1.5234, 0.00123, "1.5234 ± 0.0012"),
        (1.5, 0.31, "1.50 ± 0.31"),
        (1.5, 12.7, "1.50 ± 12.70"),
        (1.5, 1e-9, "1.50000 ± 0.00000"),
        (1.5, 0.0, "1.5000 ± 0.0000"),
        (1.5, None, "1.5000"),
    ],
)
def test_a_mean_has_as_many_places_as_its_interval_is_worth(mean, half, text):
    assert plus_minus(mean, half) == text


def test_numbers_are_short():
    assert [short(n) for n in (950, 12_345, 999_600, 1_203_000)] == [
        "950",
        "12.3 k",
        "1 M",
        "1.2 M",
    ]
    assert [power(n) for n in (2e7, 2.048e6, 12)] == ["2e7", "2.05e6", "1.2e1"]
