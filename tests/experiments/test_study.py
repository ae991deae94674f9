"""A study: joined, refused, and what becomes of trials whose process died."""

from __future__ import annotations

import pytest

from textgen.contracts.errors import TextgenError, UserError
from textgen.contracts.options import NoOptions
from textgen.experiments.space import read_space
from textgen.experiments.study import Study

SPACE = read_space({"learning_rate": "1e-3..1e-1:log", "layers": "1,2"}, NoOptions, ())
DESCRIBED = {
    "corpus": {"name": "verses", "sha256": "0123456789"},
    "cell": ["lstm"],
    "optimizer": ["adamw", "beta2=0.99"],
    "varied": [v.typed() for v in SPACE],
    "sampler": "random",
    "pruner": "median",
    "settings": {"steps": 10, "batch_size": 8},
}


@pytest.fixture
def join(tmp_path):
    def opened(*, pruner="none", space=SPACE, described=DESCRIBED, **options):
        options = {"sampler": "random", "pruner": pruner, "seed": 1, **options}
        return Study(tmp_path / "sweep", described, space, **options)

    return opened


def die(trial):
    """What the system does for a process that was killed: it lets the lock go."""
    trial._held.close()


def test_two_that_join_never_draw_the_same_and_count_together(join):
    one, other = join(), join()
    assert not one.joined and other.joined
    trials = [study.next(4) for study in (one, other, other, one)]
    assert [trial.number for trial in trials] == [1, 2, 3, 4]
    assert len({trial.settings["learning_rate"] for trial in trials}) == 4
    assert one.next(4) is None and other.next(4) is None, "those that run are counted"
    for trial in trials:
        trial.end("complete", float(trial.number))
    assert [record.loss for record in other.records()] == [1.0, 2.0, 3.0, 4.0]
    assert other.best() == one.best() == one.record(1)


def test_the_same_seed_draws_the_same(join, tmp_path):
    drawn = []
    for name in ("a", "b"):
        study = Study(tmp_path / name, DESCRIBED, SPACE, sampler="random", pruner="none", seed=3)
        drawn.append([study.next(3).settings for _ in range(3)])
    assert drawn[0] == drawn[1]


def test_the_first_trial_is_the_usual_one(join):
    study = join(first={"learning_rate": 0.008, "layers": 1})
    assert study.next(2).settings == {"learning_rate": 0.008, "layers": 1}


def test_what_a_killed_process_left_is_tried_again_and_what_lives_is_not(join):
    alive, dead = join(), join()
    running, left = alive.next(9), dead.next(9)
    (left.folder.path / "half.safetensors").write_bytes(b"half")
    die(left)
    third = join()
    again = third.next(9)
    assert again.settings == left.settings and again.number == 3
    assert third.record(left.number).state == "killed" and not left.folder.path.exists()
    assert third.record(running.number).state == "running"
    running.end("complete", 1.0)
    for _ in range(2):  # the third time is the last
        die(again)
        again = third.next(9)
    assert again.settings != left.settings
    assert third.counted() == 2, "a killed trial does not count"


def test_what_is_tried_again_changes_nothing_that_is_drawn_after_it(join, tmp_path):
    straight = Study(tmp_path / "a", DESCRIBED, SPACE, sampler="random", pruner="none", seed=1)
    expected = [straight.next(9) for _ in range(4)]
    study, found = join(), []
    for number in range(4):
        trial = study.next(9)
        if number == 1:
            die(trial)
            trial = study.next(9)
        for _ in range(5):  # as often as one likes: it is not the trial's fault
            if number == 2:
                trial.end("interrupted")
                trial = study.next(9)
        found.append(trial)
    assert [trial.settings for trial in found] == [trial.settings for trial in expected]


def test_what_was_interrupted_is_tried_again_and_leaves_no_folder(join):
    study = join()
    trial = study.next(2)
    record = trial.end("interrupted", steps=5, symbols=100, seconds=0.5)
    assert (record.state, record.steps, record.loss) == ("interrupted", 5, None)
    assert not trial.folder.path.exists() and study.best() is None
    assert study.next(2).settings == trial.settings


def test_the_median_pruner_gives_up_what_is_worse_than_most(join):
    study = join(pruner="median")
    for number in range(5):
        trial = study.next(9)
        assert not any(trial.hopeless(2.0 + number / 10, at) for at in range(1, 11))
        trial.end("complete", 2.0)
    trial = study.next(9)
    assert [trial.hopeless(9.0, at) for at in (1, 2, 3)] == [False, False, True]
    assert trial.end("pruned", steps=3).loss == 9.0
    assert not study.next(9).hopeless(2.0, 3)


def test_a_grid_is_walked_once(join):
    space = read_space({"layers": "1,2,3", "dropout": "0,0.2"}, NoOptions, ())
    study = join(space=space, sampler="grid")
    assert len(study.combinations) == 6
    trials = [study.next(99) for _ in range(6)]
    assert len({tuple(trial.settings.items()) for trial in trials}) == 6
    assert study.next(99) is None
    die(trials[2])
    assert study.next(99).settings == trials[2].settings


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_nothing_is_tried_twice_and_it_ends_when_all_is(join, sampler):
    space = read_space({"layers": "1,2,3", "dropout": "0,0.2"}, NoOptions, ())
    study = join(space=space, sampler=sampler)
    trials = []
    while trial := study.next(99):
        trials.append(trial)
        trial.end("complete", float(trial.settings["layers"]))
    assert len(trials) == 6
    assert len({tuple(trial.settings.items()) for trial in trials}) == 6
    assert len(study.records()) == 6


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"corpus": {"name": "verses", "sha256": "9876543210"}},
            "corpus verses .01234567., not",
        ),
        ({"cell": ["gru"]}, "begun with the cell lstm, not gru"),
        ({"varied": ["dropout=0..0.5"]}, "begun over learning_rate=0.001..0.1:log"),
        ({"sampler": "tpe"}, "sampler random, not tpe"),
        ({"settings": {"steps": 20, "batch_size": 8}}, "begun with steps 10, not 20"),
    ],
)
def test_a_study_of_something_else_is_refused(join, changes, said):
    join()
    with pytest.raises(UserError, match=said):
        join(described={**DESCRIBED, **changes})


def test_settings_that_came_later_refuse_nobody(join):
    join()
    later = {**DESCRIBED, "settings": {**DESCRIBED["settings"], "new_setting": 1}}
    assert join(described=later).joined


def test_a_file_that_is_no_study_is_told_in_a_sentence(join, tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "study.db").write_text("no study\n")
    with pytest.raises(TextgenError, match="cannot be used"):
        join()
