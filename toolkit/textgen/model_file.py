"""The model file: an ONNX graph of one step that tells everything about itself.

The metadata entry ``textgen`` is JSON. The last bytes of the file are one more metadata entry,
``textgen.sha256``, which holds the SHA-256 of all bytes before it: it is checked on the raw bytes
before anything parses them, and finds damage, not malice.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textgen.contracts.errors import TextgenError, UserError
from textgen.contracts.tokenizer import Vocabulary
from textgen.known_texts import KnownTexts
from textgen.rewriting import Rewriting, Rule
from textgen.storage import write_bytes

if TYPE_CHECKING:
    import onnx

FORMAT = 1
KEY = "textgen"
DIGEST_KEY = b"textgen.sha256"
OPSET = 20
LARGEST = 1_900_000_000
"""Bytes; protobuf ends at two gigabytes."""

# ModelProto.metadata_props is field 14: tag, length, then key (field 1) and value (field 2)
_DIGEST_HEAD = bytes([14 << 3 | 2, 4 + len(DIGEST_KEY) + 64, 1 << 3 | 2, len(DIGEST_KEY)])
_DIGEST_HEAD += DIGEST_KEY + bytes([2 << 3 | 2, 64])
_DIGEST_SIZE = len(_DIGEST_HEAD) + 64

_IR_VERSION_TAG = b"\x08"
"""ModelProto's field 1: what an ONNX file begins with."""
_PRODUCER = b"\x12\x07textgen"
"""ModelProto's field 2, right after it: that textgen wrote the file, however damaged the rest."""

_ABSOLUTE = re.compile(r"^(/|~|\\\\|[A-Za-z]:[/\\])")


@dataclass(frozen=True)
class StateInfo:
    """One state of the step: its name, its shape without B, and what it is at first."""

    name: str
    shape: tuple[int, ...]
    initial: float | list[Any] = 0.0
    """A number that fills it, or its values as nested lists where they were learnt."""

    def array(self, batch: int) -> np.ndarray:
        """The initial state of ``batch`` rows, (B, ...) float32."""
        values = np.broadcast_to(np.asarray(self.initial, np.float32), self.shape)
        return np.ascontiguousarray(np.broadcast_to(values, (batch, *self.shape)))


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says of itself. Base names only: no path, user or host."""

    cell: str
    cell_distribution: str
    cell_options: Mapping[str, Any]
    input: str
    """``embedding`` or ``one-hot``."""
    embedding_size: int
    hidden_size: int
    layers: int
    states: tuple[StateInfo, ...]
    vocabulary: Vocabulary
    tokenizer: str
    tokenizer_distribution: str
    tokenizer_data: Mapping[str, Any]
    documents: str
    """``lines``, ``files``, ``none``, or the separator of the documents it was trained on."""
    split: Mapping[str, Any]
    corpus: Mapping[str, str]
    losses: Mapping[str, Any]
    training: Mapping[str, Any]
    toolkit: str
    percentiles: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Bits a symbol of the held-out documents, by percentile (``p50``), where text ends."""
    weights: str = "float32"
    """``float32``, ``int8``, or ``int4``, which are int8 once they are loaded."""
    template: str = ""
    """Of the records it was trained on, such as ``{school}|{name}``; empty where there was none."""
    fields: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    """What the fields of the template may be, of those that have few values."""
    tokenizer_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What its tokenizer was learnt with."""
    known: Mapping[str, Any] | None = None
    """The documents of the corpus as a filter (see ``known_texts``), where texts end."""
    replacements: tuple[Rule, ...] = ()
    """By which the text it has learnt was rewritten, and so is what it reads."""
    format: int = FORMAT

    @property
    def ends(self) -> bool:
        """Whether it writes short texts that end, rather than running text."""
        return self.documents not in ("files", "none")

    def to_json(self) -> str:
        """ASCII JSON; a symbol's bytes that are not UTF-8 are lone surrogates (surrogateescape).

        Absolute paths in what is told of corpus, split, training and options lose all but their
        last part.
        """
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        options = ("cell_options", "tokenizer_options")
        for name in ("corpus", "split", "training", "tokenizer_data", *options):
            fields[name] = _without_paths(fields[name])
        fields["states"] = [dataclasses.asdict(state) for state in self.states]
        fields["vocabulary"] = {
            "symbols": [s.decode("utf-8", "surrogateescape") for s in self.vocabulary.symbols],
            "boundary": self.vocabulary.boundary,
        }
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelInfo:
        """What ``to_json`` wrote; fields it does not know are left out."""
        data = json.loads(text)
        known = {field.name for field in dataclasses.fields(cls)}
        fields = {name: value for name, value in data.items() if name in known}
        fields["states"] = tuple(
            StateInfo(state["name"], tuple(state["shape"]), state["initial"])
            for state in data["states"]
        )
        symbols = (s.encode("utf-8", "surrogateescape") for s in data["vocabulary"]["symbols"])
        fields["vocabulary"] = Vocabulary(tuple(symbols), data["vocabulary"]["boundary"])
        rules = data.get("replacements", ())
        fields["replacements"] = tuple((pattern, text) for pattern, text in rules)
        return cls(**fields)


@dataclass(frozen=True)
class ModelFile:
    """A model file's bytes, checked, and what they say of themselves."""

    info: ModelInfo
    data: bytes
    digest: str
    path: Path | None = None

    def graph(self) -> onnx.ModelProto:
        """The step graph, parsed anew."""
        import onnx

        return onnx.load_from_string(self.data)


def seal(model: onnx.ModelProto, info: ModelInfo) -> bytes:
    """The file's bytes: the graph, its metadata, and last the digest."""
    sealed = type(model)()
    sealed.CopyFrom(model)
    del sealed.metadata_props[:]
    sealed.producer_name = "textgen"
    sealed.metadata_props.add(key=KEY, value=info.to_json())
    data: bytes = sealed.SerializeToString(deterministic=True)
    if len(data) > LARGEST:
        raise TextgenError(
            f"The model has {len(data):,} bytes; one file can hold {LARGEST:,}.",
            "Train a smaller one.",
        )
    return data + _DIGEST_HEAD + hashlib.sha256(data).hexdigest().encode()


def write(path: Path, data: bytes) -> ModelFile:
    """Puts sealed bytes in the place of ``path``, whole or not at all."""
    file = parse(data, path)
    write_bytes(path, data)
    return file


def read(path: Path) -> ModelFile:
    """The model in ``path``.

    Raises UserError where the file is missing, damaged, no ONNX file, or not one of ours.
    """
    remedy = "textgen models lists those in exported/."
    try:
        # a device or a pipe may never end
        if path.exists() and not path.is_file():
            raise UserError(f"The model {path} is not a file.", remedy)
        if path.stat().st_size > LARGEST:
            raise UserError(f"The model {path} is larger than any that textgen writes.", remedy)
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"The model {path} could not be read: {reason}.", remedy) from None
    return parse(data, path)


def claimed_digest(path: Path) -> str | None:
    """The digest that ``path`` ends with, not checked; None where it is no model of ours."""
    try:
        with path.open("rb") as file:
            file.seek(-_DIGEST_SIZE, os.SEEK_END)
            tail = file.read()
    except OSError:
        return None
    return tail[-64:].decode("ascii", "replace") if tail[:-64] == _DIGEST_HEAD else None


def parse(data: bytes, path: Path | None = None) -> ModelFile:
    """Checks the bytes of a model file, the digest first, and reads what it says."""
    name = path.name if path else "The model"
    digest = _checked_digest(data, name)
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_from_string(data)
    except DecodeError:
        raise _not_ours(name) from None
    _refuse_foreign_parts(model, name)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if KEY not in metadata:
        raise _not_ours(name)
    info = _read_info(metadata[KEY], name)
    _check_interface(model, info, name)
    return ModelFile(info, data, digest, path)


def _checked_digest(data: bytes, name: str) -> str:
    if not data:
        raise UserError(f"{name} is empty.", "Export it again, or fetch it again.")
    head, found = data[-_DIGEST_SIZE:-64], data[-64:]
    if len(data) > _DIGEST_SIZE and head == _DIGEST_HEAD:
        digest = hashlib.sha256(data[:-_DIGEST_SIZE]).hexdigest()
        if digest.encode() == found:
            return digest
    if _PRODUCER in data[:32] or DIGEST_KEY in data:
        raise UserError(
            f"{name} is damaged: its digest does not fit its bytes.",
            "Fetch it again, or export it again from its run: textgen export.",
        )
    raise _not_ours(name, onnx=data.startswith(_IR_VERSION_TAG))


def _not_ours(name: str, *, onnx: bool = True) -> UserError:
    what = "not a model of textgen" if onnx else "not an ONNX file"
    return UserError(
        f"{name} is {what}.", "Name an .onnx file that textgen train or export has written."
    )


def _read_info(text: str, name: str) -> ModelInfo:
    try:
        version = json.loads(text)["format"]
        if version > FORMAT:
            raise UserError(f"{name} was written by a newer textgen.", "Install the newer one.")
        info = ModelInfo.from_json(text)
        if info.vocabulary.symbols[info.vocabulary.boundary] != b"":
            raise ValueError("the boundary has text")
        for state in info.states:
            state.array(1)
        if info.known is not None:
            KnownTexts.from_json(info.known)
        Rewriting(info.replacements)
        return info
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(
            f"What {name} says of itself cannot be read: {type(error).__name__} {error}.",
            "Export it again from its run: textgen export.",
        ) from None


def _refuse_foreign_parts(model: onnx.ModelProto, name: str) -> None:
    """Refuses what could reach beyond the file or past its operators."""
    import onnx

    attributes = [attribute for node in model.graph.node for attribute in node.attribute]
    domains = {entry.domain for entry in model.opset_import} | {n.domain for n in model.graph.node}
    if foreign := sorted(domains - {"", "ai.onnx"}):
        raise UserError(f"{name} uses foreign operators: {', '.join(foreign)}.", "Do not trust it.")
    if model.functions or model.training_info:
        raise UserError(f"{name} holds functions, which our models do not.", "Do not trust it.")
    if any(attribute.HasField("g") or attribute.graphs for attribute in attributes):
        raise UserError(f"{name} holds a graph in a graph.", "Do not trust it.")
    for tensor in _tensors(model.graph, attributes):
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise UserError(f"{name} refers to other files.", "Do not trust it.")


def _tensors(
    graph: onnx.GraphProto, attributes: list[onnx.AttributeProto]
) -> Iterator[onnx.TensorProto]:
    """Every tensor that the graph holds, those in the attributes of its nodes included."""
    yield from graph.initializer
    sparse = list(graph.sparse_initializer)
    for attribute in attributes:
        yield attribute.t
        yield from attribute.tensors
        sparse += [attribute.sparse_tensor, *attribute.sparse_tensors]
    for tensor in sparse:
        yield tensor.values
        yield tensor.indices


def _check_interface(model: onnx.ModelProto, info: ModelInfo, name: str) -> None:
    """Refuses a graph whose inputs and outputs are not those its metadata describes.

    An output may leave its shape out, but not contradict.
    """
    import onnx

    int64, float32 = onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
    states = [(state.name, float32, state.shape) for state in info.states]
    following = [(f"{state.name}.next", float32, state.shape) for state in info.states]
    sides = [
        (model.graph.input, [("token", int64, ()), *states]),
        (model.graph.output, [("logits", float32, (info.vocabulary.size,)), *following]),
    ]
    for values, expected in sides:
        fits = [value.name for value in values] == [name for name, _, _ in expected] and all(
            _fits(value, kind, shape)
            for value, (_, kind, shape) in zip(values, expected, strict=True)
        )
        if not fits:
            raise UserError(
                f"{name} does not have the inputs and outputs it describes.",
                "Export it again from its run: textgen export.",
            )


def _fits(value: onnx.ValueInfoProto, kind: int, shape: tuple[int, ...]) -> bool:
    """Whether ``value`` is a tensor of ``kind`` and shape (B, *shape), B free."""
    tensor = value.type.tensor_type
    if tensor.elem_type != kind:
        return False
    if not tensor.HasField("shape"):
        return True
    first, *rest = tensor.shape.dim or [None]
    return (
        first is not None
        and not first.HasField("dim_value")
        and len(rest) == len(shape)
        and all(
            not dimension.HasField("dim_value") or dimension.dim_value == size
            for dimension, size in zip(rest, shape, strict=True)
        )
    )


def _without_paths(value: Any) -> Any:
    """``value`` with the base name in the place of each absolute path."""
    if isinstance(value, Mapping):
        return {key: _without_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_paths(item) for item in value]
    if isinstance(value, str) and _ABSOLUTE.match(value):
        return re.split(r"[/\\]", value.rstrip("/\\"))[-1]
    return value
