"""Run folders: names that are free, claims that hold, files that go back to a checkpoint's step."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from textgen.contracts.errors import TextgenError, UserError
from textgen.training.device import choose_device, choose_precision
from textgen.training.run_folder import RunFolder, find_run, new_run


def test_each_of_many_at_once_gets_a_folder_of_its_own(tmp_path):
    def claim(_):
        return new_run("my corpus.txt", "lstm", name=None, force=False, runs=tmp_path / "runs").name

    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(claim, range(24)))
    expected = {"my-corpus.txt-lstm", *(f"my-corpus.txt-lstm-{n}" for n in range(2, 25))}
    assert set(names) == expected


@pytest.mark.parametrize("name", ["", "..", "a/b", "../x", ".hidden", "a b"])
def test_names_that_are_none(name, tmp_path):
    with pytest.raises(UserError):
        new_run("corpus", "lstm", name=name, force=False, runs=tmp_path)


def test_what_later_steps_wrote_is_taken_out(tmp_path):
    folder = RunFolder(tmp_path / "run")
    for step in (10, 20, 30):
        folder.add_metrics({"step": step, "loss": 1.0})
        folder.add_sample(step, f"text of {step}\nand more")
    before = (folder.path / "samples.txt").read_text()
    folder.forget_after(30)
    assert (folder.path / "samples.txt").read_text() == before
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4')  # cut short by a crash
    folder.forget_after(20)
    assert [line["step"] for line in folder.metrics()] == [10, 20]
    assert (folder.path / "samples.txt").read_text() == before[: before.index("--- after 30")]


def test_an_unknown_run_lists_the_known(tmp_path):
    new_run("a", "lstm", name=None, force=False, runs=tmp_path).write_description({})
    with pytest.raises(UserError) as refused:
        find_run("a-lstn", tmp_path)
    assert "a-lstm" in refused.value.remedy


def test_devices_and_precisions():
    assert choose_device("cpu").type == "cpu"
    for wrong in ("meta", "gpu", "cuda:x"):
        with pytest.raises(UserError):
            choose_device(wrong)
    with pytest.raises(TextgenError, match="cannot be used"):
        choose_device("cuda:99")

    def step(precision):
        if precision == "bfloat16":
            raise RuntimeError("not here")

    assert choose_precision("auto", choose_device("cpu"), step) == "float32"
