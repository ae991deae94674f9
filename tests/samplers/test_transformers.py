"""Samplers and beam search beside those of transformers, where it is installed.

It is not among what tests need, for it is large. To run these:

    pip install transformers
    pytest tests/samplers/test_transformers.py
"""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from sampler_forms import (
    REGISTRY,
    STATELESS,
    STREAMS,
    both_forms,
    chances,
    histories,
    is_decided,
    letters,
    rows_of_many_kinds,
    rows_to_penalise,
)

from step_models import loaded, lstm, memory

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
    from transformers.generation import logits_process as processors
    from transformers.modeling_outputs import CausalLMOutput

SIZES = [2, 3, 13, 60]
FILTERS = {
    "temperature": processors.TemperatureLogitsWarper,
    "top-k": processors.TopKLogitsWarper,
    "top-p": processors.TopPLogitsWarper,
    "min-p": processors.MinPLogitsWarper,
    "typical": processors.TypicalLogitsWarper,
    "epsilon": processors.EpsilonLogitsWarper,
    "eta": processors.EtaLogitsWarper,
}
OPTIONS = {
    "temperature": [{"temperature": t} for t in (0.1, 0.5, 1.7, 100.0)],
    "top-k": [{"k": k} for k in (1, 2, 5, 10**6)],
    "top-p": [{"p": p} for p in (1e-6, 0.3, 0.75, 0.9, 1)],
    "min-p": [{"p": p} for p in (1e-9, 0.02, 0.3, 1)],
    # of 1 transformers has no such thing
    **{n: [o for o in STATELESS[n] if 1 not in o.values()] for n in ("typical", "epsilon", "eta")},
}
OF_HISTORY = {"repetition", "no-repeat-ngram", "forbid", "only", "begin"}
WITHOUT = {
    "greedy",  # no processor, but it is how they write without one
    "presence",
    "frequency",
    "mirostat",
}


def test_every_sampler_is_compared_or_has_no_counterpart():
    bundled = {entry.name for entry in REGISTRY.entries("sampler") if entry.bundled}
    assert {*FILTERS, *OF_HISTORY, *WITHOUT} == bundled


def is_at_edge(name, option, row):
    """Whether float32 and float64 may part, as the threshold is as near as that to a symbol."""
    finite = np.asarray(row)[np.isfinite(row)]
    shares = np.sort(chances(finite))[::-1]
    if name == "top-p":
        return bool((np.abs(np.cumsum(shares) - option) < 1e-6).any() and option < 1)
    if name == "min-p":
        beside = np.log(shares / shares[0])
        return bool((np.abs(beside[beside < 0] - np.log(option)) < 1e-5).any())
    return name in STATELESS and not is_decided(name, option, row)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("name", "options"), [(n, o) for n in FILTERS for o in OPTIONS[n]])
def test_filters_keep_what_theirs_keep(name, options, size):
    """But that of exactly equal symbols ours keep all or none, where their top-p keeps some."""
    (option,) = options.values()
    theirs = FILTERS[name](option)
    logits = rows_of_many_kinds(100 + size, size)
    if name == "eta":  # its threshold is of float32 whatever the logits
        theirs.epsilon = theirs.epsilon.double()
    expected = theirs(None, torch.tensor(logits).double()).numpy()
    compared = 0
    for found in both_forms(logits, (name, options)):
        for row, kept, wanted in zip(logits, found, expected, strict=True):
            if is_at_edge(name, option, row):
                continue
            if name == "top-p":
                wanted = np.where(row >= wanted[np.isfinite(wanted)].min(), row, -np.inf)
            compared += 1
            np.testing.assert_allclose(kept, wanted, rtol=1e-6 if name == "temperature" else 0)
    assert compared > 0.7 * 2 * len(logits)


@pytest.mark.parametrize("length", [1, 2, 7, 60])
@pytest.mark.parametrize("penalty", [0.7, 1.0, 1.3, 5.0])
def test_repetition(penalty, length):
    random = np.random.default_rng(length)
    logits, history = rows_to_penalise(random, STREAMS, 30), histories(random, length, 30)
    theirs = processors.RepetitionPenaltyLogitsProcessor(penalty)
    expected = theirs(torch.tensor(history.T.copy()), torch.tensor(logits)).numpy()
    for found in both_forms(logits, ("repetition", {"penalty": penalty}), history=history):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("length", [1, 2, 7, 60])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_no_repeat_ngram(size, length):
    """But that ours leave the likeliest where theirs leave nothing."""
    random = np.random.default_rng(length)
    logits, history = rows_to_penalise(random, STREAMS, 6), histories(random, length, 6)
    theirs = processors.NoRepeatNGramLogitsProcessor(size)
    expected = theirs(torch.tensor(history.T.copy()), torch.tensor(logits)).numpy()
    check_masked(logits, expected, ("no-repeat-ngram", {"size": size}), history=history)


LETTERS = letters(9)  # the boundary, then a to h


@pytest.mark.parametrize("text", ["a", "bdh", "abcdefg"])
def test_forbidden_and_allowed_characters(text):
    random = np.random.default_rng(len(text))
    logits = rows_to_penalise(random, STREAMS, 9)
    ids = [LETTERS.symbols.index(character.encode()) for character in text]
    theirs = processors.NoBadWordsLogitsProcessor([[i] for i in ids], eos_token_id=0)
    read = torch.zeros((STREAMS, 1), dtype=torch.long)
    expected = theirs(read, torch.tensor(logits)).numpy()
    check_masked(logits, expected, ("forbid", {"text": text}), vocabulary=LETTERS)
    others = [i for i in range(1, 9) if i not in ids]
    theirs = processors.SuppressTokensLogitsProcessor(others)
    expected = theirs(read, torch.tensor(logits)).numpy()
    check_masked(logits, expected, ("only", {"text": text}), vocabulary=LETTERS)


@pytest.mark.parametrize("symbol", [1, 5, 8])
def test_a_forced_first_symbol(symbol):
    """Theirs makes its logit 0, ours leaves it as it is: the symbol is certain either way."""
    random = np.random.default_rng(symbol)
    logits = random.standard_normal((STREAMS, 9)).astype(np.float32)
    theirs = processors.ForcedBOSTokenLogitsProcessor(symbol)
    text = LETTERS.symbols[symbol].decode()
    for written in ([], [symbol]):
        read = torch.tensor([[0, *written]] * STREAMS)
        expected = theirs(read, torch.tensor(logits)).numpy()
        history = np.array([written] * STREAMS, np.int64).T
        choice = ("begin", {"text": text})
        for found in both_forms(logits, choice, history=history, vocabulary=LETTERS):
            np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))


def check_masked(logits, expected, choice, **given):
    """Both forms leave what is expected; the likeliest where that is nothing."""
    some = np.isfinite(expected).any(axis=1)
    for found in both_forms(logits, choice, **given):
        np.testing.assert_array_equal(found[some], expected[some])
        likeliest = logits[~some] == logits[~some].max(axis=1, keepdims=True)
        np.testing.assert_array_equal(np.isfinite(found[~some]), likeliest)


class Theirs(PreTrainedModel, GenerationMixin):
    """A model of ours that transformers generates with. The boundary begins and ends its texts."""

    config_class = PretrainedConfig
    main_input_name = "input_ids"

    def __init__(self, model):
        ends = 0 if model.info.ends else None
        size = model.vocabulary.size
        super().__init__(PretrainedConfig(vocab_size=size, eos_token_id=ends, pad_token_id=0))
        self.ours = model
        self.placed = torch.nn.Parameter(torch.zeros(1))  # which tells it the device

    def prepare_inputs_for_generation(self, input_ids, **_):
        return {"input_ids": input_ids}

    def forward(self, input_ids, **_):
        state, logits = self.ours.initial_state(len(input_ids)), []
        for ids in input_ids.T.numpy():
            found, state = self.ours.step(ids, state)
            logits.append(found)
        return CausalLMOutput(logits=torch.tensor(np.stack(logits, axis=1)))

    def write(self, prompt, length, **options):
        """What generate makes of the prompt's ids: the ids after them, and all that it tells."""
        if not self.ours.info.ends:
            options["suppress_tokens"] = [0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            told = self.generate(
                torch.tensor([[0, *prompt]]),
                max_new_tokens=length,
                use_cache=False,
                return_dict_in_generate=True,
                output_scores=True,
                output_logits=True,
                **options,
            )
        return told.sequences[:, 1 + len(prompt) :].numpy(), told


def test_a_whole_chain_in_their_order():
    """What they draw from, symbol after symbol, beside what ours makes of the same logits."""
    model = loaded(lstm(seed=3))
    prompt = [3, 1, 4, 1, 5]
    torch.manual_seed(0)
    (ids,), told = Theirs(model).write(
        prompt,
        40,
        do_sample=True,
        repetition_penalty=1.3,
        no_repeat_ngram_size=3,
        bad_words_ids=[[2], [7]],
        temperature=0.7,
        top_k=8,
        top_p=0.93,
        min_p=0.02,
        typical_p=0.9,
    )
    before = [("repetition", {"penalty": 1.3}), ("no-repeat-ngram", {"size": 3})]
    forbidden = ("forbid", {"text": "bg"})
    chain = model.chain(0.7, 8, 0.93, 0.02, [*before, forbidden, ("typical", {"mass": 0.9})])
    state, options = chain.initial_state(1), chain.options(1)
    nothing = np.zeros(1, np.float32)
    for symbol in prompt:
        state = chain.accept(np.array([symbol]), nothing, state)
    for symbol, logits, scores in zip(ids, told.logits, told.scores, strict=True):
        found = chain.adjust(logits.numpy(), state, options)
        np.testing.assert_allclose(found, scores.numpy(), rtol=1e-5, atol=1e-6)
        state = chain.accept(np.array([symbol]), nothing, state)


@pytest.mark.parametrize(
    ("beams", "best", "length"), [(2, 1, 12), (3, 3, 12), (5, 2, 25), (9, 9, 8)]
)
@pytest.mark.parametrize("documents", ["lines", "files"])
@pytest.mark.parametrize("made", [lstm, memory])
def test_beam_search(made, documents, beams, best, length):
    """The same texts in the same order, but for those of equal scores."""
    for seed, prompt in enumerate([[], [1], [2, 1], [3, 1, 4]]):
        model = loaded(made(documents=documents, seed=seed))
        sequences, told = Theirs(model).write(
            prompt,
            length,
            do_sample=False,
            num_beams=beams,
            num_return_sequences=best,
            length_penalty=0.0,
            early_stopping="never",  # the search as it is defined, in their words
        )
        text = b"".join(model.vocabulary.symbols[i] for i in prompt).decode()
        found = model.beam_search(text, beams=beams, best=best, length=length)
        scores = [hypothesis.score for hypothesis in found]
        np.testing.assert_allclose(scores, told.sequences_scores.numpy(), rtol=1e-5)
        expected = [tuple(itertools.takewhile(bool, ids.tolist())) for ids in sequences]
        for place, hypothesis in enumerate(found):
            equals = np.isclose(scores, scores[place], rtol=1e-5)
            assert hypothesis.ids in itertools.compress(expected, equals) or equals[-1]


@pytest.mark.parametrize("documents", ["lines", "files"])
def test_greedy(documents):
    model = loaded(lstm(documents=documents, seed=3))
    sequences, _ = Theirs(model).write([1, 2], 60, do_sample=False)
    (ids,) = model.generate("ab", length=60, temperature=0).ids
    assert ids == tuple(itertools.takewhile(bool, sequences[0].tolist()))
