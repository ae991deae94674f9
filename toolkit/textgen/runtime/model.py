"""A model that is loaded: it steps, generates and scores. No torch."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textgen.contracts.errors import UserError
from textgen.contracts.tokenizer import Tokenizer, Vocabulary
from textgen.known_texts import LARGEST, KnownTexts
from textgen.model_file import ModelFile, ModelInfo
from textgen.runtime.chain import (
    Chain,
    Loader,
    Number,
    Options,
    SamplerChoice,
    build_chain,
    convenience,
)
from textgen.runtime.encoding import Encoder
from textgen.runtime.engine import Cursor, Engine, start
from textgen.runtime.engines import Engines
from textgen.runtime.generation import (
    Collector,
    Generation,
    build_streams,
    check_seeds,
    how_many,
    stops_of,
    write,
)
from textgen.runtime.history import Settings
from textgen.runtime.scoring import CarriedReading, Nats, Score, WindowReading
from textgen.runtime.session import Session
from textgen.runtime.tries import Judge, write_wanted
from textgen.runtime.wanted import ANYTHING, Wanted
from textgen.runtime.writer import Chunk, Limits, Stream, Writer, read_prompt
from textgen.template import beginning

if TYPE_CHECKING:
    from textgen.runtime.beam_search import Hypothesis

SEVERAL = ("seed", "temperature", "top_k", "top_p", "min_p")
"""Options that may be lists of one a sample."""


class Model:
    """A model file, ready to run.

    ``samplers`` finds a sampler class by name. Where ``tokenizer`` is None its plugin is missing,
    and prompts are cut as the symbols suggest. Graphs are built when they are first
    needed, and kept.
    """

    def __init__(
        self,
        file: ModelFile,
        tokenizer: Tokenizer | None,
        samplers: Loader,
        *,
        provider: str = "auto",
        threads: int | None = None,
    ) -> None:
        from textgen.runtime.sessions import check_threads, choose_provider

        self._file = file
        self.encoder = Encoder(tokenizer, file.info.vocabulary, file.info.replacements)
        """Text into ids, as the model reads it."""
        self._samplers = samplers
        self._engines = Engines(file, choose_provider(provider), check_threads(threads))
        self.notices: list[str] = []
        """What should be said once."""
        if tokenizer is None:
            pairs = "by joining pairs of symbols, nearly as it would"
            how = pairs if self.encoder.in_pairs else "into the longest symbols that fit"
            self.notices.append(
                f"The tokenizer {file.info.tokenizer!r} of {file.info.tokenizer_distribution} is "
                f"not installed, or fails; texts are cut {how}."
            )

    @property
    def info(self) -> ModelInfo:
        return self._file.info

    @property
    def vocabulary(self) -> Vocabulary:
        return self._file.info.vocabulary

    @property
    def name(self) -> str:
        """The base name of its file; empty where it came from none."""
        return self._file.path.name if self._file.path else ""

    @property
    def provider(self) -> str:
        """What runs it: ``cpu`` or ``cuda``."""
        return self._engines.provider

    @property
    def digest(self) -> str:
        """SHA-256 of the model file's content."""
        return self._file.digest

    def encode(self, text: str) -> tuple[np.ndarray, list[str]]:
        """The ids of ``text``, rewritten as the text was that the model has learnt, and what it has
        no symbol for, which is left out."""
        return self.encoder.encode(text)

    def characters(self, ids: np.ndarray) -> int:
        """How many characters ``ids`` spell; each counts where its first byte is."""
        return int(self._characters[ids].sum())

    @cached_property
    def _characters(self) -> np.ndarray:
        """How many characters begin in each symbol (V,)."""
        symbols = self.vocabulary.symbols
        return np.array([sum(byte & 0xC0 != 0x80 for byte in symbol) for symbol in symbols])

    @property
    def closing(self) -> np.ndarray:
        """The ids that close a text: the boundary, where the model's texts end."""
        return np.array([self.vocabulary.boundary] if self.info.ends else [], np.int64)

    def initial_state(self, batch: int = 1) -> dict[str, np.ndarray]:
        """The states before the first symbol, (B, ...) float32 each."""
        return {state.name: state.array(batch) for state in self.info.states}

    def step(
        self, ids: np.ndarray, state: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """One step of ``ids`` (B,) int64: logits (B, V) and the states after.

        Raises UserError where an id is no symbol of the vocabulary.
        """
        token = self.check_ids(ids)
        logits, *following = self._engines.step.run(None, {"token": token, **state})
        names_in_order = (info.name for info in self.info.states)
        return logits, dict(zip(names_in_order, following, strict=True))

    def generate(self, prompt: str = "", **options: Any) -> Generation:
        """New text that goes on from ``prompt``; the options are those of ``stream``."""
        several = (options.get(name) for name in SEVERAL)
        samples = how_many(options.pop("samples", None), *several)
        seed = check_seeds(options.pop("seed", None), samples)
        unknown = tuple(self.encode(prompt)[1])
        collector = Collector(samples, seed, prompt, unknown)
        return collector.collect(self.stream(prompt, samples=samples, seed=seed, **options))

    def stream(
        self,
        prompt: str = "",
        *,
        length: int = 500,
        samples: int | None = None,
        temperature: Number = 0.8,
        top_k: Number | None = None,
        top_p: Number | None = None,
        min_p: Number | None = None,
        seed: int | Sequence[int] | None = None,
        stop: Sequence[str] | Sequence[Sequence[str]] = (),
        samplers: Sequence[SamplerChoice] = (),
        wanted: Wanted = ANYTHING,
        given: Mapping[str, str] | None = None,
    ) -> Iterator[Chunk]:
        """The text as it comes, ``samples`` of them side by side; sample n is stream n of the seed.

        Temperature, top_k, top_p, min_p, the samplers' numbers and the seed may be lists of one a
        sample; a sample with a seed of its own is stream 0 of that seed. ``stop`` may be a list of
        lists. A model of lines or records ends its text at the boundary; one of running text never
        writes the boundary and goes on to ``length`` symbols, unless a sampler ends its text. Texts
        that are not as ``wanted`` are refused and tried again, and come whole. ``given`` fields of
        the template stand before the prompt and are no part of the text. Raises UserError for
        impossible options.
        """
        samples = how_many(samples, seed, temperature, top_k, top_p, min_p)
        chain = self.chain(temperature, top_k, top_p, min_p, samplers)
        longest = length if wanted.max_length is None else min(length, wanted.max_length + 1)
        limits = [Limits(longest, own, chain.ends) for own in stops_of(stop, samples)]
        options = chain.options(samples) if chain.differs else None
        seeds = check_seeds(seed, samples)
        streams = build_streams(samples, seeds, limits, options, self.vocabulary)
        before = beginning(self.info.template, self.info.fields, given) if given else ""
        ids, _ = self.encode(before + prompt)
        judge = Judge(wanted, chain.ends, prompt, ids, self._known if wanted.new else None)
        return self._stream(chain, streams, options, judge)

    def _stream(
        self, chain: Chain, streams: Sequence[Stream], options: Options | None, judge: Judge
    ) -> Iterator[Chunk]:
        engine = self.engine(chain)
        # one row reads the prompt for all, unless they read it in different ways
        origin = self.start(chain, len(streams) if options else 1)
        origin = read_prompt(engine, chain, origin, judge.before, options)
        writer = Writer(engine, chain, self.vocabulary, briefly=chain.ends)
        if judge.wanted.anything:
            yield from write(writer, origin, streams)
        else:
            yield from write_wanted(writer, origin, streams, judge)

    @cached_property
    def _known(self) -> KnownTexts:
        """The documents of the corpus. Raises UserError where the model does not hold them."""
        if not self.info.ends:
            raise UserError(
                "The model writes running text, of which no text is a whole document.",
                "--new is for models of lines or records.",
            )
        if self.info.known is None:
            raise UserError(
                "The model does not hold the texts of its corpus: they were too many.",
                f"--new is for corpora of up to {LARGEST:,} texts.",
            )
        return KnownTexts.from_json(self.info.known)

    def session(
        self,
        *,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        seed: int | None = None,
        samplers: Sequence[SamplerChoice] = (),
    ) -> Session:
        """A text to be written in parts; the same options as ``stream``."""
        seed = secrets.randbelow(1 << 32) if seed is None else seed
        settings = Settings(seed, temperature, top_k, top_p, min_p, tuple(samplers))
        return Session.begin(self, settings)

    def load_session(self, path: str | Path) -> Session:
        """The session that ``Session.save`` put into the file ``path``.

        Raises UserError where the file is missing, damaged, no session, or of another model.
        """
        return Session.load(self, Path(path))

    def beam_search(
        self,
        prompt: str = "",
        *,
        beams: int = 5,
        best: int = 1,
        length: int = 500,
        length_penalty: float = 0.0,
        stop: Sequence[str] = (),
        samplers: Sequence[SamplerChoice] = (),
    ) -> list[Hypothesis]:
        """The ``best`` likeliest texts that ``beams`` beams find to go on from ``prompt``.

        Texts end as those of ``stream`` do. ``samplers`` may penalise and forbid. With a
        ``length_penalty`` long texts rank higher (see ``Search``). Raises UserError for impossible
        options.
        """
        from textgen.runtime.beam_search import Search, search

        chain, wanted = self.chain(samplers=samplers), Search(beams, best, length_penalty)
        limits = Limits(length, tuple(stop), boundary=chain.ends)
        cursor, ids = self.start(chain, 1), self.encode(prompt)[0]
        if ids.size:
            cursor = read_prompt(self.engine(chain), chain, cursor, ids)
        return search(self.step, cursor, chain, limits, wanted)

    def score(self, text: str) -> Score:
        """How well the model predicts ``text``, read from the boundary."""
        return self.score_all([text])[0]

    def score_all(self, texts: Iterable[str]) -> list[Score]:
        """The scores of several texts, read side by side."""
        encoded = [self.encode(text) for text in texts]
        nats = self.score_ids([np.concatenate([ids, self.closing]) for ids, _ in encoded])
        return [
            Score(float(n.sum(dtype=np.float64)), len(n), self.characters(ids), tuple(unknown), n)
            for n, (ids, unknown) in zip(nats, encoded, strict=True)
        ]

    def score_ids(self, texts: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The nats of every symbol of texts given as ids, each read from the boundary."""
        return [nats.chosen for nats in self.read_ids(texts)]

    def read_ids(self, texts: Sequence[np.ndarray]) -> list[Nats]:
        """The same, and what the least likely symbol would have cost in each place."""
        return self._engines.reader.texts([self.check_ids(ids) for ids in texts])

    def reading(self, windows: int | None = None) -> CarriedReading | WindowReading:
        """A text whose ids come in parts, for what they cost; in cold ``windows``, if given."""
        if windows is None:
            return CarriedReading(self._engines.reader)
        return WindowReading(self._engines.reader, windows)

    def chain(
        self,
        temperature: Number = 1.0,
        top_k: Number | None = None,
        top_p: Number | None = None,
        min_p: Number | None = None,
        samplers: Sequence[SamplerChoice] = (),
    ) -> Chain:
        """The chain of ``samplers`` in their order; the plain options stand before the first that
        neither penalises nor forbids."""
        plain = convenience(temperature, top_k, top_p, min_p)
        return build_chain(self.vocabulary, self._samplers, plain, samplers, ends=self.info.ends)

    def start(self, chain: Chain, streams: int) -> Cursor:
        """Where ``streams`` texts begin."""
        return start(self._file, chain, streams)

    def engine(self, chain: Chain, *, stepwise: bool = False) -> Engine:
        """What runs ``chain``: the loop, or steps where a sampler has no graph form."""
        return self._engines.engine(chain, stepwise=stepwise)

    def way(self, chain: Chain) -> str:
        """How texts are made with ``chain``, for people."""
        links = ", ".join(type(link.sampler).__name__ for link in chain.links) or "no samplers"
        engine = self.engine(chain)
        return f"{engine.path}; {links}; {self.info.weights} on {self.provider}, {engine.threads}"

    def check_ids(self, ids: np.ndarray) -> np.ndarray:
        """``ids`` as int64. Raises UserError where one is no symbol of the vocabulary."""
        token = np.ascontiguousarray(ids, np.int64)
        if token.size and not (token.min() >= 0 and token.max() < self.vocabulary.size):
            raise UserError(
                "An id is not in the model's vocabulary.",
                f"Ids are from 0 to {self.vocabulary.size - 1}.",
            )
        return token
