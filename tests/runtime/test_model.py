"""The model: what it reads, what runs it, and what it costs to import."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import onnxruntime
import pytest

from step_models import LETTERS, loaded, lstm, memory, sealed
from textgen.contracts.errors import TextgenError, UserError
from textgen.contracts.tokenizer import Vocabulary
from textgen.runtime.encoding import Decoder, longest_match, made_of_pairs, merged
from textgen.runtime.model import Model
from textgen.runtime.sessions import (
    PacedSession,
    choose_provider,
    default_threads,
    open_session,
)

HAS_CUDA = "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def test_a_step_computes_what_the_file_does():
    """In larger operations, so not to the last bit."""
    made = memory()
    model, file = loaded(made), sealed(made)
    session = onnxruntime.InferenceSession(file.data, providers=["CPUExecutionProvider"])
    state = model.initial_state(3)
    assert {name: value.shape for name, value in state.items()} == {
        "layer0.h": (3, 6),
        "layer0.m": (3, 6, 6),
    }
    token = np.array([1, 2, 3])
    logits, following = model.step(token, state)
    expected = session.run(None, {"token": token, **state})
    for one, other in zip([logits, *following.values()], expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    assert list(following) == list(state)


@pytest.mark.parametrize("wrong", [[-1], [len(LETTERS)], [0, 99]])
def test_ids_outside_the_vocabulary(wrong):
    model = loaded(lstm())
    with pytest.raises(UserError, match="vocabulary"):
        model.step(np.array(wrong), model.initial_state(len(wrong)))


def test_what_is_told():
    model = loaded(lstm())
    assert model.digest == sealed(lstm()).digest
    assert model.vocabulary.symbols == LETTERS
    assert any("not installed" in notice for notice in model.notices)


BYTES = [bytes([byte]) for byte in range(256)]


@pytest.mark.parametrize(
    ("symbols", "pairs"),
    [
        ([*BYTES, b"ab", b"abc"], True),
        ([*BYTES, b"abc", b"ab"], False),
        ([*BYTES, b"ab", b"abcd"], False),
        ([*BYTES[1:], b"ab"], False),
        (BYTES, False),
        ([b"a", b"b", b"ab"], False),
    ],
)
def test_symbols_tell_whether_they_were_merged(symbols, pairs):
    assert made_of_pairs(Vocabulary((b"", *symbols), 0)) is pairs


def test_pairs_are_merged_in_the_order_of_the_vocabulary():
    longer = [b"bc", b"ab", b"abc", b"cc", b"\xc3\xa9", b"\xc3\xa9\xc3\xa9"]
    vocabulary = Vocabulary((b"", *BYTES, *longer), 0)
    assert made_of_pairs(vocabulary)
    for text, expected in {
        "abcab": [b"abc", b"ab"],  # bc is first, and abc is a and bc
        "bcc": [b"bc", b"c"],
        "ccc": [b"cc", b"c"],
        "\u00e9" * 3: [b"\xc3\xa9" * 2, b"\xc3\xa9"],
        "": [],
        "a\ud800b": [b"ab"],
    }.items():
        ids, unknown = merged(text, vocabulary)
        assert [vocabulary.symbols[i] for i in ids] == expected
        assert unknown == [c for c in text if c == "\ud800"]
        assert ids.dtype == np.int64


def test_longest_match_takes_the_longest():
    vocabulary = Vocabulary((b"", b"a", b"ab", b"abc", b"\xc3", b"\xa9", b"d"), 0)
    ids, unknown = longest_match("abcabad\u00e9x\u2603x", vocabulary)
    assert ids.tolist() == [3, 2, 1, 6, 4, 5]
    assert unknown == ["x", "\u2603"]
    assert longest_match("", vocabulary)[0].dtype == np.int64


def test_a_decoder_forks():
    vocabulary = Vocabulary((b"", b"\xe2", b"\x98", b"\x83", b"!"), 0)
    decoder = Decoder(vocabulary)
    assert decoder.feed(np.array([4, 1, 2])) == "!"
    twin = decoder.fork()
    assert decoder.feed(np.array([3])) == "\u2603"
    assert twin.end() == "\ufffd"
    assert decoder.end() == ""


def test_auto_falls_back_and_says_what_runs():
    model = loaded(lstm(), provider="auto")
    assert model.provider in ("cpu", "cuda")
    assert loaded(lstm(), provider="cpu").provider == "cpu"
    if not HAS_CUDA:
        assert model.provider == "cpu"


@pytest.mark.skipif(HAS_CUDA, reason="this onnxruntime has CUDA")
def test_cuda_that_cannot_run_is_refused():
    with pytest.raises(TextgenError, match=r"CUDA cannot be used: .*built without"):
        loaded(lstm(), provider="cuda")


def test_unknown_providers_and_threads():
    with pytest.raises(UserError, match="no provider"):
        choose_provider("tpu")
    for threads in (0, -1, 10**6):
        with pytest.raises(UserError, match="threads"):
            loaded(lstm(), threads=threads)


def test_small_models_run_on_one_thread_but_for_many_rows():
    assert default_threads(100_000) == default_threads(100_000, rows=4) == 1
    most = default_threads(100_000_000)
    assert 1 <= most <= 8
    assert default_threads(100_000, rows=128) == most


def test_few_rows_and_many_have_their_own_number_of_threads():
    model, size = loaded(lstm()), 100_000
    session = PacedSession(sealed(lstm()).data, "cpu", None, size)
    fixed = PacedSession(sealed(lstm()).data, "cpu", 1, size)
    for rows in (1, 128, 1, 100, 2):
        feed = {"token": np.zeros(rows, np.int64), **model.initial_state(rows)}
        expected = fixed.run(None, feed, 1, rows)
        assert all(map(np.array_equal, session.run(None, feed, 1, rows), expected))
        assert session.threads.startswith(f"{default_threads(size, rows)} of ")
        assert fixed.threads == "1 of 1 threads"


def test_a_graph_that_cannot_run_prints_nothing_to_stdout(capfd):
    with pytest.raises(TextgenError, match="cannot run this model"):
        open_session(b"\x08\x0anonsense", "cpu", 1)
    assert capfd.readouterr().out == ""


def test_threads_share_a_model():
    model = loaded(lstm(layers=2))
    expected = [model.generate(seed=seed, length=120).text for seed in range(8)]
    shared, found = loaded(lstm(layers=2)), [""] * 8

    def write(seed):
        found[seed] = shared.generate(seed=seed, length=120).text

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


def test_what_is_imported_and_when():
    """The module is light; what it loads never includes torch, and prints nothing."""
    program = (
        "import sys\n"
        "import textgen.runtime.model\n"
        "heavy = {'onnx', 'onnxruntime', 'torch'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from step_models import loaded, lstm\n"
        "assert len(loaded(lstm()).generate('a', length=20, seed=1).text) == 20\n"
        "print('torch' in sys.modules)\n"
    )
    here = str(__import__("pathlib").Path(__file__).parents[1])
    run = [sys.executable, "-c", program, here]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\nFalse\n"
    assert done.stderr == ""


def test_every_name_in_the_loop_that_is_ours_has_our_prefix():
    """So none can meet a name of the step, whatever an exporter calls things."""
    from textgen.runtime.loop_graph import reading_loop, writing_loop

    file = sealed(lstm(layers=2))
    model = Model(file, None, lambda name: pytest.fail(name))
    states, step = file.info.states, file.graph().graph
    of_step = {n for node in step.node for n in (*node.input, *node.output)}
    of_step |= {value.name for value in (*step.input, *step.output, *step.initializer)}
    for graph in (
        writing_loop(file.graph(), states, model.chain()),
        reading_loop(file.graph(), states),
    ):
        (loop,) = graph.graph.node
        (body,) = (a.g for a in loop.attribute if a.name == "body")
        ours = {n for node in (loop, *body.node) for n in node.output} - of_step
        ours |= {value.name for value in (*graph.graph.input, *graph.graph.output)}
        assert ours and all(name.startswith("textgen/") for name in ours)


def test_what_penalises_comes_before_the_plain_options_and_what_filters_after():
    model = loaded(lstm())
    chain = model.chain(0.5, 3, samplers=["repetition", "typical", "presence"])
    order = [type(link.sampler).__name__ for link in chain.links]
    assert order == ["Repetition", "Temperature", "TopK", "Typical", "Presence"]
    written = model.chain(1.0, samplers=["typical", "repetition"])
    order = [type(link.sampler).__name__ for link in written.links]
    assert order == ["Typical", "Repetition"]  # alone they stay as they are written


def test_states_are_told_apart_by_name_not_by_order():
    model = loaded(lstm())
    state = model.initial_state(2)
    turned = dict(reversed(state.items()))
    ids = np.array([1, 2])
    _, expected = model.step(ids, state)
    _, found = model.step(ids, turned)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def test_a_subclass_that_changes_the_numpy_form_alone_runs_by_it():
    from textgen_samplers.temperature import Options, Temperature

    class OnlyB(Temperature):
        def adjust(self, logits, state, options):
            kept = np.full_like(logits, -np.inf)
            kept[:, 2] = 0
            return kept

    model = loaded(lstm())
    sampler = OnlyB(model.vocabulary, Options())
    assert set(model.generate(length=20, samplers=[sampler], temperature=1.0).text) == {"b"}
