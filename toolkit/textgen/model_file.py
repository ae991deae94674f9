"""The model file: an ONNX graph of one step that tells everything about itself.

The metadata entry ``textgen`` is JSON. The last bytes of the file are one more metadata entry,
``textgen.sha256``, which holds the SHA-256 of all bytes before it: it is checked on the raw bytes
before anything parses them, and finds damage, not malice.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textgen.contracts.errors import TextgenError, UserError
from textgen.contracts.tokenizer import Vocabulary
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
    format: int = FORMAT

    @property
    def ends(self) -> bool:
        """Whether it writes short texts that end, rather than running text."""
        return self.documents not in ("files", "none")

    def to_json(self) -> str:
        """ASCII JSON; a symbol's bytes that are not UTF-8 are lone surrogates (surrogateescape)."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
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
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"The model {path} could not be read: {error.strerror or error}.",
            "textgen models lists those in exported/.",
        ) from None
    return parse(data, path)


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
    version = json.loads(metadata[KEY]).get("format", 0)
    if version > FORMAT:
        raise UserError(f"{name} was written by a newer textgen.", "Install the newer one.")
    info = ModelInfo.from_json(metadata[KEY])
    _check_interface(model, info, name)
    return ModelFile(info, data, digest, path)


def _checked_digest(data: bytes, name: str) -> str:
    head, found = data[-_DIGEST_SIZE:-64], data[-64:]
    if len(data) > _DIGEST_SIZE and head == _DIGEST_HEAD:
        digest = hashlib.sha256(data[:-_DIGEST_SIZE]).hexdigest()
        if digest.encode() == found:
            return digest
    if not data:
        raise UserError(f"{name} is empty.", "Export it again, or fetch it again.")
    if KEY.encode() + b".sha" in data or (b'"cell_distribution"' in data and b"torch" in data):
        raise UserError(
            f"{name} is damaged: its digest does not fit its bytes.",
            "Fetch it again, or export it again from its run: textgen export.",
        )
    raise _not_ours(name)


def _not_ours(name: str) -> UserError:
    return UserError(
        f"{name} is not a model of textgen.",
        "Name an .onnx file that textgen train or export has written.",
    )


def _refuse_foreign_parts(model: onnx.ModelProto, name: str) -> None:
    """Refuses what could reach beyond the file or past its operators."""
    import onnx

    domains = {entry.domain for entry in model.opset_import} | {n.domain for n in model.graph.node}
    if foreign := sorted(domains - {"", "ai.onnx"}):
        raise UserError(f"{name} uses foreign operators: {', '.join(foreign)}.", "Do not trust it.")
    if model.functions:
        raise UserError(f"{name} holds functions, which our models do not.", "Do not trust it.")
    for tensor in model.graph.initializer:
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise UserError(f"{name} refers to other files.", "Do not trust it.")
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs:
                raise UserError(f"{name} holds a graph in a graph.", "Do not trust it.")


def _check_interface(model: onnx.ModelProto, info: ModelInfo, name: str) -> None:
    states = [state.name for state in info.states]
    inputs = [value.name for value in model.graph.input]
    outputs = [value.name for value in model.graph.output]
    expected = ["token", *states], ["logits", *(f"{state}.next" for state in states)]
    if (inputs, outputs) != expected:
        raise UserError(f"{name} does not have the inputs and outputs it describes.", "Fetch anew.")
