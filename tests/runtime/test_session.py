"""Sessions: a text goes on exactly where it stopped."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from awkward.samplers import Short, Surprised, Tired
from step_models import BYTES, loaded, lstm, memory
from textgen.contracts.errors import UserError
from textgen.contracts.options import build_options
from textgen.runtime import session_file
from textgen.runtime.retracing import packed

CHAINS = {
    "none": None,
    "numpy alone": Tired,
    "both forms": Surprised,
    "mirostat": ("mirostat", {"tau": 1.5}),
    "ngrams": ("no-repeat-ngram", {"size": 3, "window": 40}),
}
MODELS = {"lstm": loaded(lstm()), "memory": loaded(memory()), "bytes": loaded(lstm(symbols=BYTES))}


def chain(model, name):
    """The samplers of one of the CHAINS."""
    sampler = CHAINS[name]
    if sampler in (Tired, Surprised):
        return [sampler(model.vocabulary, build_options(sampler.Options, {}, "test"))]
    return [sampler] if sampler else []


def same(one, other):
    """Whether two sessions are equal in all that decides how they go on."""
    np.testing.assert_array_equal(one._history.numbers(), other._history.numbers())
    assert one.position == other.position
    assert one.text == other.text
    np.testing.assert_array_equal(packed(one._ready()), packed(other._ready()))
    assert one.fork().write(40) == other.fork().write(40)


@pytest.mark.parametrize("samplers", CHAINS)
@pytest.mark.parametrize("name", MODELS)
def test_parts_are_the_whole(name, samplers):
    model = MODELS[name]
    samplers = chain(model, samplers)
    whole = model.generate("abc", length=90, seed=6, samplers=samplers).text
    session = model.session(seed=6, samplers=samplers)
    assert session.feed("abc") == []
    parts = [session.write(length) for length in (1, 0, 17, 40, 32)]
    written = "".join(parts) + session._decoder.end()  # generate ends, a session may go on
    assert written == whole
    assert session.position == 90


def test_a_fork_goes_on_by_itself():
    model = MODELS["memory"]
    session = model.session(seed=1)
    session.feed("ab")
    session.write(20)
    twin, other = session.fork(), session.fork()
    assert twin.write(30) == session.write(30)
    other.feed("jjj")
    assert other.write(30) != twin.fork().write(30)
    np.testing.assert_array_equal(session.state["layer0.m"], twin.state["layer0.m"])


def test_what_is_fed_reads_as_if_written():
    model = MODELS["lstm"]
    one, other = model.session(seed=2), model.session(seed=2)
    assert one.feed("a\u2603b") == ["\u2603"]
    other.feed(np.array([1, 2]))
    assert one.write(40) == other.write(40)
    with pytest.raises(UserError):
        one.feed(np.array([999]))


def test_what_was_shown_is_its_text():
    """Half a character that what was fed cut off is never shown."""
    session, shown, cut_off = MODELS["bytes"].session(seed=3, temperature=3.0), "", 0
    for length in range(1, 40):
        cut_off += bool(session._decoder.fork().end())
        session.feed("a")
        shown += "a" + session.write(length)
    assert cut_off > 3
    assert session.text == shown


def test_a_stop_string_leaves_the_state_behind_it():
    """Stopped in the middle of a chunk, the session goes on from there."""
    model = MODELS["lstm"]
    whole = model.generate(length=200, seed=4).text
    stop = whole[30:33]
    session = model.session(seed=4)
    assert session.write(200, stop=[stop]) == whole[: whole.index(stop)]
    read = whole.index(stop) + len(stop)
    assert session.position == read
    assert session.write(200 - read) == whole[read:]


@pytest.mark.parametrize("samplers", CHAINS)
def test_stopped_in_a_chunk_samplers_have_heard_what_they_did(samplers):
    """Their states may depend on how likely each symbol was when it was drawn."""
    model = MODELS["lstm"]
    samplers = chain(model, samplers)
    whole = model.generate(length=200, seed=4, samplers=samplers).text
    stop = whole[30:34]
    session = model.session(seed=4, samplers=samplers)
    first = session.write(200, stop=[stop])
    assert first + stop + session.write(200 - len(session)) == whole


@pytest.mark.parametrize("samplers", CHAINS)
@pytest.mark.parametrize("name", ["memory", "bytes"])
def test_rewound_it_is_what_it_was(name, samplers):
    """From a state that was kept on the way, or from the beginning, within what was fed too."""
    model = MODELS[name]
    session = model.session(seed=6, samplers=chain(model, samplers))
    session._history.spacing = 30
    session.feed("abc")
    session.write(100)
    session.feed("jig")
    session.write(150)
    assert len(session._history.kept) >= 3
    for back in (1, 100, 150, 152, 200, 256):
        rewound = session.fork()
        rewound.rewind(back)
        expected = model.session(seed=6, samplers=session.settings.samplers)
        for stretch in session._history.stretches(0, 256 - back):
            if stretch.fed:
                expected.feed(session._history.numbers(stretch.first, stretch.last))
            else:
                expected.write(stretch.last - stretch.first)
        same(rewound, expected)
    with pytest.raises(UserError, match="257 symbols"):
        session.rewind(257)


@pytest.mark.parametrize("samplers", ["none", "mirostat", "ngrams"])
@pytest.mark.parametrize("name", MODELS)
def test_what_was_saved_goes_on(name, samplers, tmp_path):
    model = MODELS[name]
    session = model.session(seed=2**64 - 1, top_k=9, min_p=1e-3, samplers=chain(model, samplers))
    session._history.spacing = 30
    for _ in range(3):
        session.save(tmp_path / "one")
        loaded_again = model.load_session(tmp_path / "one")
        same(loaded_again, session)
        assert loaded_again.settings.sampling == session.settings.sampling
        session = loaded_again
        session.feed("ab")
        session.write(77)
        session.change(temperature=session.settings.temperature + 0.1, seed=len(session))
    assert len(session._history.kept) > 3
    session.rewind(100)
    session.save(tmp_path / "one")
    same(model.load_session(tmp_path / "one"), session)


def test_saved_between_a_change_and_the_next_symbol(tmp_path):
    model = MODELS["lstm"]
    session = model.session(seed=1, samplers=["mirostat", "repetition"])
    session.write(50)
    session.change(samplers=("repetition", "mirostat"))
    assert session.write(0) == ""
    session.save(tmp_path / "one")
    same(model.load_session(tmp_path / "one"), session)


def test_a_lost_state_is_found_again(tmp_path):
    """A file may come without the state at its end, or with states of samplers that have others
    now: the text is read again."""
    model = MODELS["lstm"]
    session = model.session(seed=2, samplers=chain(model, "mirostat"))
    session._history.spacing = 30
    session.write(200)
    session.save(tmp_path / "one")
    file = session_file.read(tmp_path / "one")
    assert len(file.history.kept) > 1
    for kept in ([(at, state[1:]) for at, state in file.history.kept], []):
        file.history.kept = kept
        session_file.write(tmp_path / "one", dataclasses.replace(file, end=None))
        same(model.load_session(tmp_path / "one"), session)


def test_what_another_machine_drew_is_read_as_it_is(tmp_path):
    """There the noise may fall on the other side of a boundary between two symbols."""
    model = MODELS["lstm"]
    session = model.session(seed=2, samplers=chain(model, "mirostat"))
    session.write(100)
    session.save(tmp_path / "one")
    file = session_file.read(tmp_path / "one")
    for place in (20, 21, 70):
        file.history.ids[place] = (file.history.ids[place] % (model.vocabulary.size - 1)) + 1
    vocabulary = model.vocabulary
    session_file.write(tmp_path / "one", dataclasses.replace(file, end=None, vocabulary=vocabulary))
    moved = model.load_session(tmp_path / "one")
    fed = model.session(seed=2)
    fed.feed(file.history.numbers())
    np.testing.assert_array_equal(moved.state["layer0.h"], fed.state["layer0.h"])
    assert moved.position == 100
    assert not np.array_equal(moved.state["layer0.h"], session.state["layer0.h"])


def test_settings_may_change_on_the_way():
    """Numbers alone: the samplers keep what they know. Written in parts it is the same text."""
    model = MODELS["lstm"]

    def changing(lengths):
        session = model.session(seed=1, samplers=[("mirostat", {"tau": 1.0})])
        session.feed("ab")
        for length in lengths[0]:
            session.write(length)
        before = packed(session._stand)
        session.change(temperature=1.3, samplers=[("mirostat", {"tau": 2.0})])
        np.testing.assert_array_equal(packed(session._ready()), before)
        for length in lengths[1]:
            session.write(length)
        return session

    one, parts = changing([[50], [60]]), changing([[20, 0, 30], [0, 1, 59]])
    same(one, parts)
    plain = model.session(seed=1, samplers=[("mirostat", {"tau": 1.0})])
    plain.feed("ab")
    plain.write(110)
    assert one.text[:52] == plain.text[:52]
    assert one.text[52:] != plain.text[52:]
    again = one.fork()
    again.rewind(60)  # to the change itself, which stays
    assert again.settings.temperature == 1.3
    again.write(60)
    same(again, one)
    for session in (one, parts):
        session.rewind(85)
        session.write(25)
    same(one, parts)
    assert one.settings.temperature == 0.8


def test_a_new_sampler_has_read_the_text_so_far():
    model = MODELS["lstm"]
    session = model.session(seed=1)
    session.write(60)
    session.change(samplers=["repetition"])
    fed = model.session(seed=1, samplers=["repetition"])
    fed.feed(session._history.numbers())
    np.testing.assert_array_equal(packed(session._ready()), packed(fed._stand))
    session.write(50)
    rewound = session.fork()
    rewound.rewind(20)
    rewound.write(20)
    same(rewound, session)


def test_a_state_is_of_the_samplers_before_a_change():
    """One that is kept where they change: here they change places."""
    model = MODELS["lstm"]
    samplers = (*chain(model, "mirostat"), *chain(model, "both forms"))
    session = model.session(seed=1, samplers=samplers)
    session._history.spacing = 10
    for _ in range(2):
        session.write(60)
        samplers = samplers[::-1]
        session.change(samplers=samplers)
        session.feed("ab")
        session.write(18)
        rewound = session.fork()
        rewound.rewind(15)
        rewound.write(15)
        same(rewound, session)
    assert {60, 140} <= {at for at, _ in session._history.kept}


def test_the_last_of_several_changes_counts():
    model = MODELS["lstm"]
    session, other = model.session(seed=1), model.session(seed=9, samplers=["mirostat"])
    session.change(seed=3, top_k=2)
    session.change(seed=9, top_k=None, samplers=("mirostat",))
    same(session, other)
    session.write(30)
    session.change(temperature=2.0)
    session.change(temperature=0.8)
    assert len(session._history.settings) == 1
    for wrong in ({"seed": -1}, {"temperature": float("nan")}, {"samplers": ("no-such",)}):
        with pytest.raises(UserError):
            session.change(**wrong)
    assert len(session._history.settings) == 1


def test_ended_early_what_was_shown_is_what_it_has():
    """Half a stop string that was held back is shown then."""
    model = MODELS["lstm"]
    whole = model.generate(length=400, seed=4).text
    stop = whole[100:120]  # the third chunk ends within it, at 112
    session = model.session(seed=4)
    asked = []
    shown = "".join(
        chunk.text
        for chunk in session.stream(400, stop=[stop], enough=lambda: asked.append(0) or asked[2:])
    )
    assert shown == session.text == whole[:112]
    assert session.write(288) == whole[112:]


def test_a_sampler_without_a_name_cannot_be_saved(tmp_path):
    model = MODELS["lstm"]
    session = model.session(samplers=chain(model, "both forms"))
    with pytest.raises(UserError, match="Surprised"):
        session.save(tmp_path / "one")
    assert not list(tmp_path.iterdir())


def test_another_model_does_not_load_it(tmp_path):
    session = MODELS["lstm"].session()
    session.save(tmp_path / "one")
    with pytest.raises(UserError, match="another model"):
        MODELS["bytes"].load_session(tmp_path / "one")


def test_a_text_that_ended_is_followed_by_another():
    model = loaded(lstm(documents="lines", seed=3))
    session = model.session(seed=1)
    texts, positions = [], []
    for _ in range(6):
        texts.append(session.write(500))
        positions.append(session.position)
    assert len(set(texts)) > 3
    # each boundary took its noise, so the next text does not begin with the same
    assert positions == [sum(len(text) + 1 for text in texts[: n + 1]) for n in range(6)]


def test_lines_are_rewound_and_kept_too(tmp_path):
    model = loaded(lstm(documents="lines", seed=3))
    session = model.session(seed=1, samplers=["mirostat"])
    texts = [session.write(500) for _ in range(2)]
    assert session.text == "".join(f"{text}\n" for text in texts)
    session.change(temperature=1.2, samplers=[("mirostat", {"tau": 4.0})])
    session.write(500)
    end = len(session)
    for back in range(0, end + 1, 3):
        rewound = session.fork()
        rewound.rewind(back)
        rewound.save(tmp_path / "one")
        same(model.load_session(tmp_path / "one"), rewound)
        if rewound.settings == session.settings:  # else the change was taken back
            while len(rewound) < end:
                rewound.write(500)
            assert rewound.text == session.text


@pytest.mark.parametrize("name", MODELS)
def test_a_sampler_may_end_running_text(name, tmp_path):
    model = MODELS[name]
    short = Short(model.vocabulary, None)
    done = model.generate(samples=3, seed=2, samplers=[short])
    assert set(done.ended) == {"boundary"} and [len(ids) for ids in done.ids] == [2, 2, 2]
    found = model.beam_search(beams=2, samplers=[short])
    assert [text.ended for text in found] == ["boundary"]
    session = model.session(seed=2, samplers=[short])
    session.write()
    assert session.text == model.generate(seed=2, samplers=[short]).text + "\n"
    session.write()
    twice, end = session.text, len(session)
    assert end == 2 * 3  # the boundaries are symbols too
    session.change(samplers=[])
    session.write(40)
    for back in range(41, 40 + end):
        rewound = session.fork()
        rewound.rewind(back)
        while len(rewound) < end:
            rewound.write()
        same(rewound, rewound.fork())
        assert rewound.text == twice
    rewound.change(samplers=[])
    rewound.write(40)
    assert rewound.text == session.text


def test_a_stream_left_early_changes_nothing():
    model = MODELS["lstm"]
    session = model.session(seed=3)
    next(session.stream(400))
    assert session.position == 0
    assert session.write(50) == model.generate(length=50, seed=3).text
