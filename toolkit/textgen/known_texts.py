"""Which texts a corpus holds, in little room: a filter that travels in the model file.

Bloom, Space/Time Trade-offs in Hash Coding with Allowable Errors (1970), with two hashes for all
(Kirsch and Mitzenmacher, Less Hashing, Same Performance, 2006). A text of the corpus is always
known; of others 0.8 % are taken for known.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

LARGEST = 1_000_000
"""Texts that a filter holds at most: 1.25 MB."""

_BITS, _HASHES = 10, 7
"""Bits a text, and how many of them each sets."""


class KnownTexts:
    """A set of texts, given as ids."""

    def __init__(self, bits: np.ndarray, count: int) -> None:
        self._bits = bits
        """(n,) uint8: eight bits a byte."""
        self._count = count

    @classmethod
    def of(cls, texts: Iterable[np.ndarray], count: int) -> KnownTexts:
        """The filter of ``count`` texts."""
        known = cls(np.zeros(max(1, -(-_BITS * count // 8)), np.uint8), count)
        places = known._places(b"".join(map(_hash, texts)))
        np.bitwise_or.at(known._bits, places >> 3, _bit(places))
        return known

    def __contains__(self, ids: np.ndarray) -> bool:
        places = self._places(_hash(ids))
        return bool((self._bits[places >> 3] & _bit(places)).all())

    def _places(self, hashes: bytes) -> np.ndarray:
        """Which bits stand for texts of these hashes, (texts, _HASHES)."""
        first, second = np.frombuffer(hashes, "<u8").reshape(-1, 2).T
        places = first[:, None] + np.arange(_HASHES, dtype=np.uint64) * second[:, None]
        bits: np.ndarray = (places % np.uint64(8 * len(self._bits))).astype(np.int64)
        return bits

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        bits = base64.b85encode(self._bits.tobytes()).decode("ascii")
        return {"texts": self._count, "hashes": _HASHES, "bits": bits}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> KnownTexts:
        """What ``to_json`` gave. Raises ValueError where it cannot be that."""
        bits = np.frombuffer(base64.b85decode(data["bits"]), np.uint8)
        if data["hashes"] != _HASHES or not len(bits):
            raise ValueError("the known texts are written in another way")
        return cls(bits, int(data["texts"]))


def _hash(ids: np.ndarray) -> bytes:
    return hashlib.blake2b(np.asarray(ids, "<i4").tobytes(), digest_size=16).digest()


def _bit(places: np.ndarray) -> np.ndarray:
    """The bit of each place within its byte."""
    bits: np.ndarray = np.left_shift(1, places & 7).astype(np.uint8)
    return bits
