"""Run folders: names that are free, claims that hold, files that go back to a checkpoint's step."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from textgen.contracts.errors import TextgenError, UserError
from textgen.training.device import choose_device, choose_precision
from textgen.training.run_folder import (
    RunFolder,
    all_runs,
    find_run,
    new_run,
    settle_replaced,
)


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


def trained_before(runs, name="plays"):
    """A run with a checkpoint."""
    old = RunFolder(runs / name)
    old.write_description({"cell": {}, "corpus": {}, "settings": {"seed": 1}})
    old.last.parent.mkdir()
    old.last.write_bytes(b"old")
    return old


def test_a_run_that_is_replaced_is_put_back_until_the_new_one_has_a_checkpoint(tmp_path):
    old = trained_before(tmp_path)
    new = new_run("a", "lstm", name="plays", force=True, runs=tmp_path)
    assert not new.last.exists() and all_runs(tmp_path) == []
    with new.locked():
        new.write_description({"cell": {}, "corpus": {}, "settings": {"seed": 2}})
        new.add_metrics({"step": 1, "loss": 1.0})
        # seen from elsewhere, the new one is at work
        assert find_run("plays", tmp_path).description()["settings"] == {"seed": 2}
        with pytest.raises(UserError, match="Another training"):
            settle_replaced(new.path)
    # killed here
    assert find_run("plays", tmp_path).last.read_bytes() == b"old"
    assert old.description()["settings"] == {"seed": 1} and old.metrics() == []
    assert [path.name for path in tmp_path.iterdir()] == ["plays"]


def test_a_run_that_is_replaced_is_gone_once_the_new_one_has_a_checkpoint(tmp_path):
    trained_before(tmp_path)
    new = new_run("a", "lstm", name="plays", force=True, runs=tmp_path)
    trained_before(tmp_path)
    new.last.write_bytes(b"new")
    assert not settle_replaced(new.path)
    assert new.last.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["plays"]


def test_a_training_killed_while_it_replaces_a_run_frees_no_name(tmp_path):
    """Killed between putting the old run aside and making its own folder."""
    trained_before(tmp_path)
    new_run("a", "lstm", name="plays", force=True, runs=tmp_path)
    assert not (tmp_path / "plays").exists()
    with pytest.raises(UserError, match="exists"):
        new_run("a", "lstm", name="plays", force=False, runs=tmp_path)
    again = new_run("a", "lstm", name="plays", force=True, runs=tmp_path)
    assert settle_replaced(again.path) and again.last.read_bytes() == b"old"
