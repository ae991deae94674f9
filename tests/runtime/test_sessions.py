"""Sessions that differ in their threads: the fastest runs, and all write the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from step_models import loaded, lstm
from textgen.runtime import sessions
from textgen.thread_choice import ThreadChoice


def test_the_choice_follows_the_speed():
    choice = ThreadChoice({1, 2}, 2, first=0.5)
    quiet, busy = {1: 0.02, 2: 0.012}, {1: 0.022, 2: 0.07}
    for seconds, expected in ((quiet, 2), (busy, 1), (quiet, 2)):
        for _ in range(3000):
            choice.took(seconds[choice.current], 100)
        assert choice.count == expected


def test_whichever_runs_the_text_is_the_same(monkeypatch):
    """With trials all the time, against a fixed number."""
    monkeypatch.setattr(sessions, "_FIRST_TRIAL", 0.0)
    monkeypatch.setattr(sessions, "_most_threads", lambda: 2)
    fixed = loaded(lstm(layers=2, hidden=64), threads=1).generate(length=4000, seed=3)
    paced = loaded(lstm(layers=2, hidden=64)).generate(length=4000, seed=3)
    assert paced.ids == fixed.ids


def test_threads_of_python_may_share_a_model(monkeypatch):
    monkeypatch.setattr(sessions, "_FIRST_TRIAL", 0.0)
    monkeypatch.setattr(sessions, "_most_threads", lambda: 2)
    model = loaded(lstm(hidden=32))
    serial = [model.generate(length=600, seed=seed).ids for seed in range(16)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda s: model.generate(length=600, seed=s).ids, range(16)))
    assert together == serial


def test_a_number_that_is_given_stays(monkeypatch):
    monkeypatch.setattr(sessions, "_FIRST_TRIAL", 0.0)
    opened = []
    really = sessions.open_session

    def counted(data, provider, threads):
        opened.append(threads)
        return really(data, provider, threads)

    monkeypatch.setattr(sessions, "open_session", counted)
    model = loaded(lstm(), threads=2)
    model.generate(length=3000, seed=1)
    assert set(opened) == {2}
    assert np.isfinite(model.score("abc").bits)
