"""Many streams at once, each with its own seed, options and stop strings."""

from __future__ import annotations

import numpy as np
import pytest

from awkward.samplers import Tired
from step_models import loaded, lstm
from textgen.contracts.errors import UserError
from textgen.contracts.options import build_options
from textgen.runtime.noise import noise

MODEL = loaded(lstm())
LINES = loaded(lstm(documents="lines", seed=3))


def test_a_sample_with_its_own_seed_is_what_that_seed_writes():
    seeds = [5, 2**64 - 1, 0, 5]
    done = LINES.generate("ab", seed=seeds, length=60)
    alone = [LINES.generate("ab", seed=seed, length=60) for seed in seeds]
    assert done.texts == tuple(one.text for one in alone)
    assert done.seed == tuple(seeds)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("temperature", [0.2, 0.8, 1.0, 3.0]),
        ("top_k", [1, 2, 5, 100]),
        ("top_p", [0.1, 0.5, 0.9, 1.0]),
        ("min_p", [0.9, 0.5, 0.1, 0.01]),
    ],
)
def test_each_sample_has_its_own_options(name, values):
    done = LINES.generate("a", seed=3, samples=4, **{name: values})
    for sample, value in enumerate(values):
        alone = LINES.generate("a", seed=3, samples=4, **{name: value})
        if value == 1.0 and name == "temperature":
            continue  # alone there is no such link
        assert done.ids[sample] == alone.ids[sample]
    assert LINES.generate("a", seed=3, **{name: values}).ids == done.ids


def test_options_of_samplers_by_stream():
    """Also those that count the prompt, which then is read by each."""
    strengths = [0.0, 0.5, 2.0]
    done = MODEL.generate(
        "aabbb", seed=1, samples=3, samplers=[("frequency", {"penalty": strengths})]
    )
    for sample, strength in enumerate(strengths):
        samplers = [("frequency", {"penalty": strength})]
        alone = MODEL.generate("aabbb", seed=1, samples=3, samplers=samplers)
        assert done.ids[sample] == alone.ids[sample]


def test_options_stay_with_their_stream_when_others_end():
    """Rows leave the batch; what is left keeps its temperature. Stepwise too."""
    temperatures = [0.3, 2.5, 0.3, 1.2, 0.5, 4.0]
    for samplers in ([], [Tired(LINES.vocabulary, build_options(Tired.Options, {}, "test"))]):
        options = {"seed": 11, "samples": 6, "length": 200, "samplers": samplers}
        done = LINES.generate(temperature=temperatures, **options)
        for sample, temperature in enumerate(temperatures):
            alone = LINES.generate(temperature=temperature, **options)
            assert done.ids[sample] == alone.ids[sample]


def test_stop_strings_by_sample():
    stops = [["ab"], [], "c", ["zz", "d"]]
    done = MODEL.generate(seed=4, samples=4, length=150, stop=stops)
    for sample, stop in enumerate(stops):
        alone = MODEL.generate(seed=4, samples=4, length=150, stop=stop)
        assert (done.texts[sample], done.ended[sample]) == (
            alone.texts[sample],
            alone.ended[sample],
        )
    assert done.ended[1] == "length"


@pytest.mark.parametrize(
    "options",
    [
        {"seed": [1, 2, 3]},
        {"seed": [1, -2]},
        {"temperature": [0.5, 0.0]},
        {"temperature": [0.5, float("nan")]},
        {"top_p": [0.5, 0.6, 0.7]},
        {"top_p": [0.5, 7]},
        {"stop": [["a"]]},
        {"samplers": [("forbid", {"text": ["a", "b"]})]},
        {"samplers": [("top-k", {"k": []})]},
    ],
)
def test_what_does_not_fit_the_samples(options):
    with pytest.raises(UserError) as caught:
        MODEL.generate(samples=2, **options)
    assert caught.value.remedy


def test_noise_by_seed_and_try():
    seeds, streams = np.array([7, 7, 2**40], np.uint64), np.array([0, 1, 0])
    found = noise(seeds, streams, np.arange(5))
    for column, (seed, stream) in enumerate(zip(seeds.tolist(), streams, strict=True)):
        assert (found[:, column] == noise(seed, np.array([stream]), np.arange(5))[:, 0]).all()
    again = noise(7, streams[:1], np.arange(50), np.array([1]))
    assert (again != noise(7, streams[:1], np.arange(50))).any()
