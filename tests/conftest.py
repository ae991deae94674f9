"""What several tests share: a cache of their own, a model trained for a moment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# several workers of pytest share the cores: threads of torch that wait for each other would stall
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")
# those that wait by spinning took 2.5 times the processor time beside other programs (measured)
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Every test packs into the same temporary cache, never into the user's."""
    folder = tmp_path_factory.mktemp("cache")
    previous = os.environ.get("TEXTGEN_CACHE")
    os.environ["TEXTGEN_CACHE"] = str(folder)
    yield folder
    if previous is None:
        del os.environ["TEXTGEN_CACHE"]
    else:
        os.environ["TEXTGEN_CACHE"] = previous


VERSES = "".join(
    f"{who}:\n{what} the {thing}, and {what.lower()} it {how}.\n\n"
    for who in ("ANNA", "BRUNO", "CLARA", "DORA")
    for what in ("Sing", "Tell me of", "Forget", "Remember", "Carry")
    for thing in ("river", "mountain", "silent moon", "old house", "winter", "road home")
    for how in ("well", "slowly", "once more", "for ever")
)


@pytest.fixture(scope="session")
def verses(tmp_path_factory) -> Path:
    """A small text of our own, 20 kB, that a small network learns in seconds."""
    path = tmp_path_factory.mktemp("texts") / "verses.txt"
    path.write_text(VERSES, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def few_verses(tmp_path_factory) -> Path:
    """The first of them, 6 kB, of which some can be held back: for trainings by the dozen, which
    take most of their time to evaluate."""
    path = tmp_path_factory.mktemp("few") / "verses.txt"
    path.write_text(VERSES[:6000], encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def names(tmp_path_factory) -> Path:
    """A list of made-up names, one a line."""
    path = tmp_path_factory.mktemp("texts") / "names.txt"
    first, last = (
        ("Bel", "Cor", "Dan", "Fer", "Gal", "Hel", "Ir", "Jo"),
        ("ana", "bert", "dor", "ic"),
    )
    middle = ("a", "e", "i", "o", "li", "ma", "ro")
    text = "".join(f"{a}{b}{c}\n" for a in first for b in middle for c in last)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained(verses, tmp_path_factory):
    """A run of a small LSTM on the verses: it has learnt them."""
    import textgen

    return textgen.train(
        verses, steps=400, hidden_size=48, seed=3, folder=tmp_path_factory.mktemp("trained")
    )


@pytest.fixture(scope="session")
def trained_names(names, tmp_path_factory):
    """A run of a small GRU on the names."""
    import textgen

    return textgen.train(
        names, cell="gru", steps=250, hidden_size=32, folder=tmp_path_factory.mktemp("trained")
    )
