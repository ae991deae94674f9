"""The chain of samplers between the logits and the draw."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np

from textgen.contracts.errors import PluginError, UserError
from textgen.contracts.options import build_options, describe
from textgen.contracts.sampler import GraphSampler, Sampler, SamplerState
from textgen.contracts.tokenizer import Vocabulary

SamplerChoice = Sampler | str | tuple[str, Mapping[str, Any]]
"""A sampler, its name, or its name and options. An option that is a number may be a list of them,
one a stream."""

Options = list[dict[str, np.ndarray]]
"""The run-time options of a chain's links, (B, 1) each."""

Number = float | Sequence[float]
"""A number, or one a stream."""

Loader = Callable[[str], type[Sampler]]


@dataclass(frozen=True)
class Link:
    """One sampler of a chain, with its run-time options apart from those that shape it."""

    sampler: Sampler
    numbers: tuple[str, ...]
    """Names of the options that are numbers, given at run time as (B, 1) arrays."""
    given: bool = False
    """Whether the sampler is an object of the caller's, which may differ from others of its class
    in more than its options."""
    several: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    """The options that differ between streams."""

    @property
    def in_graph(self) -> bool:
        """Whether it has a graph form that is no older than its numpy form: a subclass that
        overrides ``adjust`` or ``accept`` alone runs by what it overrides."""
        return isinstance(self.sampler, GraphSampler) and all(
            _maker(self.sampler, graph) <= _maker(self.sampler, plain)
            for plain, graph in (("adjust", "adjust_graph"), ("accept", "accept_graph"))
        )

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for links whose graphs are the same."""
        if self.given:
            return (id(self.sampler),)
        options = self.sampler.options
        fixed = [
            (field.name, repr(getattr(options, field.name)))
            for field in dataclasses.fields(options)
            if field.name not in self.numbers
        ]
        return (type(self.sampler), tuple(fixed), tuple(self.sampler.state_shapes().items()))

    def values(self, streams: int) -> dict[str, np.ndarray]:
        """The run-time options of ``streams`` rows, (B, 1) each.

        Raises UserError where an option was given for another number of streams.
        """
        values = {}
        for name, dtype in self.dtypes.items():
            given = self.several.get(name, (getattr(self.sampler.options, name),) * streams)
            if len(given) != streams:
                raise UserError(
                    f"{name} has {len(given)} values for {_counted(streams)}.",
                    "Give one for all, or one for each.",
                )
            values[name] = np.array(given, dtype)[:, None]
        return values

    @cached_property
    def dtypes(self) -> dict[str, Any]:
        """The types of the run-time options."""
        # by what is declared: a float option may hold a whole number
        declared = {info.name: info.type for info in describe(type(self.sampler).Options)}
        return {n: np.int64 if declared[n] is int else np.float32 for n in self.numbers}


def _maker(sampler: Sampler, method: str) -> int:
    """How far up its classes the one stands that defines the method."""
    classes = type(sampler).__mro__
    return next((n for n, owner in enumerate(classes) if method in vars(owner)), len(classes))


class Chain:
    """Samplers in their order, and whether text may end."""

    def __init__(self, links: Sequence[Link], vocabulary: Vocabulary, *, ends: bool) -> None:
        self.links = tuple(links)
        self.vocabulary = vocabulary
        self.ends = ends

    @property
    def in_graph(self) -> bool:
        """Whether every sampler can run inside the loop."""
        return all(link.in_graph for link in self.links)

    def stretches(self) -> list[tuple[int, ...]]:
        """The places of neighbouring samplers that have graph forms, and of others one by one."""
        found: list[tuple[int, ...]] = []
        for number, link in enumerate(self.links):
            if found and link.in_graph and self.links[number - 1].in_graph:
                found[-1] += (number,)
            else:
                found.append((number,))
        return found

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for chains whose graphs are the same."""
        return (self.ends, *(link.key for link in self.links))

    @property
    def differs(self) -> bool:
        """Whether an option differs between streams."""
        return any(link.several for link in self.links)

    def options(self, streams: int) -> Options:
        """The run-time options of ``streams`` rows."""
        return [link.values(streams) for link in self.links]

    def initial_state(self, streams: int) -> list[SamplerState]:
        return [link.sampler.initial_state(streams) for link in self.links]

    def adjust(
        self, logits: np.ndarray, states: list[SamplerState], options: Options
    ) -> np.ndarray:
        """The whole chain in numpy; the boundary is forbidden first where text does not end."""
        logits = self.allowed(logits)
        for number in range(len(self.links)):
            logits = self.adjust_link(number, logits, states, options)
        return logits

    def allowed(self, logits: np.ndarray) -> np.ndarray:
        """The logits that the samplers get: without the boundary where text does not end."""
        if self.ends:
            return logits
        logits = logits.copy()
        logits[:, self.vocabulary.boundary] = -np.inf
        return logits

    def adjust_link(
        self,
        number: int,
        logits: np.ndarray,
        states: list[SamplerState],
        options: Options,
    ) -> np.ndarray:
        """One sampler of the chain, in numpy."""
        sampler = self.links[number].sampler
        fixed = vars(sampler.options) if sampler.options is not None else {}
        given = SimpleNamespace(**{**fixed, **options[number]})
        adjusted = sampler.adjust(logits, states[number], given)
        if not isinstance(adjusted, np.ndarray) or adjusted.shape != logits.shape:
            raise not_as_promised(sampler, "adjust", "logits in the shape of those it got")
        return adjusted

    def accept(
        self, ids: np.ndarray, logprobs: np.ndarray, states: list[SamplerState]
    ) -> list[SamplerState]:
        return [
            self.accept_link(number, ids, logprobs, state) for number, state in enumerate(states)
        ]

    def accept_link(
        self, number: int, ids: np.ndarray, logprobs: np.ndarray, state: SamplerState
    ) -> SamplerState:
        """The next state of one sampler of the chain, in numpy."""
        sampler = self.links[number].sampler
        following = sampler.accept(ids, logprobs, state)
        if not isinstance(following, dict) or following.keys() != state.keys():
            raise not_as_promised(sampler, "accept", "the states that it got, by name")
        return following


def build_chain(
    vocabulary: Vocabulary,
    load: Loader,
    plain: Sequence[SamplerChoice],
    choices: Sequence[SamplerChoice],
    *,
    ends: bool,
) -> Chain:
    """The chain of ``choices`` in their order; those of the ``plain`` options come after the first
    of them that penalise or forbid. Text ``ends`` where the model's does, or a sampler says so.

    Raises UserError for unknown samplers and impossible options.
    """
    between = [_link(vocabulary, load, choice) for choice in plain]
    links = [_link(vocabulary, load, choice) for choice in choices]
    before = list(itertools.takewhile(lambda link: link.sampler.before_temperature, links))
    ends = ends or any(link.sampler.ends_text for link in links)
    return Chain([*before, *between, *links[len(before) :]], vocabulary, ends=ends)


def _link(vocabulary: Vocabulary, load: Loader, choice: SamplerChoice) -> Link:
    if isinstance(choice, Sampler):
        return Link(choice, numbers_of(type(choice).Options), given=True)
    name, given = (choice, {}) if isinstance(choice, str) else choice
    plugin = load(name)
    several = {n: v for n, v in given.items() if isinstance(v, list | tuple)}
    if empty := [option for option, values in several.items() if not values]:
        raise UserError(f"{empty[0]} of the sampler {name!r} is an empty list.", "Give a number.")
    owner = f"sampler {name!r}"
    options = build_options(
        plugin.Options, {**given, **{n: v[0] for n, v in several.items()}}, owner
    )
    numbers = numbers_of(plugin.Options)
    if unfit := sorted(several.keys() - set(numbers)):
        raise UserError(
            f"{unfit[0]} of the {owner} is one for all streams.", "Give one value, not a list."
        )
    checked = {
        option: tuple(
            getattr(build_options(plugin.Options, {option: value}, owner), option)
            for value in values
        )
        for option, values in several.items()
    }
    return Link(plugin(vocabulary, options), numbers, several=checked)


def convenience(
    temperature: Number, top_k: Number | None, top_p: Number | None, min_p: Number | None
) -> list[SamplerChoice]:
    """The samplers of the plain options, in transformers' order. Temperature 0 is greedy."""
    if temperature == 0:
        return ["greedy"]
    for value in temperature if isinstance(temperature, Sequence) else [temperature]:
        if not (value > 0 and np.isfinite(value)):
            raise UserError(
                f"The temperature cannot be {value:g}.",
                "It is 0 or more; 0.8 is usual."
                if temperature is value
                else "Of several, each is above 0; 0 alone is always the likeliest symbol.",
            )
    chosen: list[SamplerChoice] = [("temperature", {"temperature": temperature})]
    if temperature == 1:
        chosen = []
    if top_k is not None:
        chosen.append(("top-k", {"k": top_k}))
    if top_p is not None:
        chosen.append(("top-p", {"p": top_p}))
    if min_p is not None:
        chosen.append(("min-p", {"p": min_p}))
    return chosen


def not_as_promised(sampler: Sampler, method: str, wanted: str) -> PluginError:
    """What a sampler's method returned is not what the contract says."""
    return PluginError(
        f"The sampler {type(sampler).__name__} does not return {wanted}, from {method}.",
        "textgen plugins check tries its rules.",
    )


def _counted(streams: int) -> str:
    return "1 text" if streams == 1 else f"{streams} texts"


def numbers_of(options: type) -> tuple[str, ...]:
    """The options that are numbers, which a graph gets at run time."""
    return tuple(i.name for i in describe(options) if i.type in (int, float) and not i.optional)
