"""What a sweep varies, as it is typed."""

from __future__ import annotations

from dataclasses import dataclass

import optuna
import pytest

from awkward.cells import LeakyOptions
from textgen.contracts.errors import UserError
from textgen.contracts.options import NoOptions, option
from textgen.experiments.space import (
    DEFAULT_SPACE,
    Varied,
    combinations,
    read_space,
    require_grid,
    split_cell,
    split_optimizer,
)


@dataclass(frozen=True)
class BetaOptions:
    beta1: float = option(0.9, "a decay", minimum=0, below=1)


def read(fixed=(), options=NoOptions, **words):
    return read_space(words, options, fixed)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("learning_rate=1e-3..2e-2:log", Varied("learning_rate", ends=(0.001, 0.02), log=True)),
        ("dropout=0..0.4", Varied("dropout", ends=(0.0, 0.4))),
        ("layers=1..3", Varied("layers", ends=(1, 3))),
        ("hidden-size=128, 256", Varied("hidden_size", values=(128, 256))),
        ("tie_weights=yes,no", Varied("tie_weights", values=(True, False))),
        ("optimizer=adamw,sgd", Varied("optimizer", values=("adamw", "sgd"))),
        ("cell.leak=0..0.5", Varied("cell.leak", ends=(0.0, 0.5))),
        ("optimizer.beta1=0.8,0.9", Varied("optimizer.beta1", values=(0.8, 0.9))),
    ],
)
def test_what_is_typed_is_read_and_can_be_typed_again(words, found):
    name, values = words.split("=")
    (varied,) = read_space({name: values}, LeakyOptions, (), BetaOptions)
    assert varied == found
    name, values = varied.typed().split("=")
    assert read_space({name: values}, LeakyOptions, (), BetaOptions) == (varied,)


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("learning_rat", "1..2", "Did you mean learning_rate"),
        ("steps", "1,2", "cannot be varied"),
        ("seed", "1,2", "cannot be varied"),
        ("evaluate_every", "1,2", "cannot be varied"),
        ("learning_rate", "0..1", "above 0"),
        ("dropout", "0..1", "below 1"),
        ("dropout", "0.4..0.1", "from 0.4 to 0.1"),
        ("dropout", "0..0.4:log", "begins at 0"),
        ("dropout", "0..0.4:lin", "ends in 'lin'"),
        ("dropout", "0.1", "two values"),
        ("dropout", "0.1,0.10", "each once"),
        ("layers", "1.5,2", "a whole number"),
        ("optimizer", "adamw..sgd", "is not a number"),
        ("optimizer.beta1", "0,1", "below 1"),
        ("optimizer.momentum", "0,0.5", "optimizer.beta1"),
        ("cell.gates", "1,2", "cell.window"),
        ("cell.window", "0,2", "at least 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(name, values, said):
    with pytest.raises(UserError, match=said):
        read_space({name: values}, LeakyOptions, (), BetaOptions)


def test_nothing_varied_is_what_matters_most_but_for_what_is_given():
    assert [v.name for v in read()] == list(DEFAULT_SPACE)
    assert [v.name for v in read(fixed={"layers"})] == ["learning_rate", "dropout", "hidden_size"]
    with pytest.raises(UserError, match="was given"):
        read(fixed=DEFAULT_SPACE)
    with pytest.raises(UserError, match="both given and varied"):
        read(fixed={"layers"}, layers="1,2")
    with pytest.raises(UserError, match="both given and varied") as refused:
        read_space({"optimizer.beta1": "0,0.5"}, NoOptions, {"optimizer.beta1"}, BetaOptions)
    assert "--optimizer-option beta1" in refused.value.remedy


def test_numbers_are_of_three_digits_and_between_the_ends():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    (varied,) = read(learning_rate="0.0012345..0.0012352:log")
    for value in (varied.suggest(study.ask()) for _ in range(20)):
        assert 0.0012345 <= value <= 0.0012352 and value in (*varied.ends, 0.00123)
    (varied,) = read(learning_rate="1e-3..2e-2:log")
    for value in (varied.suggest(study.ask()) for _ in range(20)):
        assert float(f"{value:.3g}") == value and 1e-3 <= value <= 2e-2


def test_a_grid_is_every_combination():
    points = combinations(read(layers="1,2", dropout="0,0.1,0.2"))
    assert len(points) == 6 == len({tuple(p.items()) for p in points})
    assert combinations(read()) == []
    with pytest.raises(UserError, match="goes from one to another"):
        require_grid(read())
    many = ",".join(map(str, range(1, 40)))
    with pytest.raises(UserError, match="points"):
        require_grid(read(hidden_size=many, embedding_size=many))


def test_options_of_plugins_stand_apart():
    assert split_cell({"layers": 1, "cell.leak": 0.1}) == ({"layers": 1}, {"leak": 0.1})
    found = split_optimizer({"optimizer": "sgd", "optimizer.momentum": 0.5})
    assert found == ({"optimizer": "sgd"}, {"momentum": 0.5})
