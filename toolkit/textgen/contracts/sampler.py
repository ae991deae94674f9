"""The contract of a sampler: a chain of them turns logits into logits, and the core draws.

B streams, V symbols. The draw is the core's own: the first symbol in vocabulary order whose
cumulative probability exceeds the noise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from textgen.contracts.options import NoOptions
from textgen.contracts.tokenizer import Vocabulary

SamplerState = dict[str, np.ndarray]
"""float32 arrays of shape (B, ...), by the names of ``state_shapes``."""


class Sampler(ABC):
    """One link of the chain. ``adjust`` is the only method a sampler must write.

    ``self.options`` is the Options it was made with. The ``options`` that ``adjust`` gets have the
    same names, but numbers are arrays of shape (B, 1), one a stream (float32, or int64 for whole
    numbers): written with numpy's broadcasting, ``logits / options.temperature`` serves both.
    """

    Options: ClassVar[type] = NoOptions
    before_temperature: ClassVar[bool] = False
    """Whether the plain options (temperature, top-k and so on) come after it: true of what
    penalises or forbids symbols, false of what filters a distribution."""
    hears_prompt: ClassVar[bool] = True
    """Whether ``accept`` is also called for symbols that were given: a prompt's, and what a session
    is fed. Where it is not, the state stays as it was until the first symbol is drawn."""
    ends_text: ClassVar[bool] = False
    """Whether it says where a text ends. The boundary, which a model of running text never writes,
    is then left to it there too: drawn, it ends the text."""

    def __init__(self, vocabulary: Vocabulary, options: Any) -> None:
        self.vocabulary = vocabulary
        self.options = options

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each state without B, by name. None unless overridden."""
        return {}

    def initial_state(self, streams: int) -> SamplerState:
        """The state before the first symbol; zeros unless overridden."""
        return {
            name: np.zeros((streams, *shape), np.float32)
            for name, shape in self.state_shapes().items()
        }

    @abstractmethod
    def adjust(self, logits: np.ndarray, state: SamplerState, options: Any) -> np.ndarray:
        """New logits (B, V) float32 from ``logits``; -inf forbids a symbol.

        At least one symbol of every row stays finite. Pure: changes none of its arguments, and
        treats each row by itself.
        """

    def accept(self, ids: np.ndarray, logprobs: np.ndarray, state: SamplerState) -> SamplerState:
        """The state after each stream took its symbol, the prompt's included (``hears_prompt``).

        ``ids`` (B,) int64; ``logprobs`` (B,) float32, natural logarithms under the distribution
        each was drawn from (for a prompt's symbols, the model's own).
        """
        return state

    def accept_graph(
        self,
        graph: Graph,
        ids: str,
        logprobs: str,
        state: Mapping[str, str],
        options: Mapping[str, str],
    ) -> Mapping[str, str]:
        """``accept`` as operators: the names of the next states. Override both or neither."""
        return state


class Graph(Protocol):
    """Writes standard ONNX operators (opset 20); tensors are named by strings."""

    def op(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node with one output and returns the output's name."""

    def ops(self, op_type: str, *inputs: str, outputs: int, **attributes: Any) -> tuple[str, ...]:
        """Adds a node with several outputs and returns their names."""

    def constant(self, value: np.ndarray) -> str:
        """The name of a constant tensor."""


@runtime_checkable
class GraphSampler(Protocol):
    """What a Sampler adds so that it runs inside the loop, without Python for each symbol.

    Same results as the numpy form. ``options`` are tensors (B, 1), float32 or int64; ``state`` are
    float32 tensors (B, ...).
    """

    def adjust_graph(
        self, graph: Graph, logits: str, state: Mapping[str, str], options: Mapping[str, str]
    ) -> str:
        """``adjust`` as operators: the name of the new logits (B, V)."""

    def accept_graph(
        self,
        graph: Graph,
        ids: str,
        logprobs: str,
        state: Mapping[str, str],
        options: Mapping[str, str],
    ) -> Mapping[str, str]:
        """``accept`` as operators: the names of the next states."""
