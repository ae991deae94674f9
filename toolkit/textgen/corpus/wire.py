"""Messages between two processes: a line of JSON that tells what follows, then bytes.

Nothing is pickled. A message cut short is an EOFError, and so is the end.
"""

from __future__ import annotations

import json
from typing import IO, Any

import numpy as np

from textgen.corpus.encoding import Job, Result

_ARRAYS = ("ids", "ends", "keys", "counts", "seen")


def send(stream: IO[bytes], header: Any, *parts: Any) -> None:
    """``header`` as JSON, and ``parts``: bytes or arrays."""
    views = [memoryview(part).cast("B") if len(part) else memoryview(b"") for part in parts]
    line = json.dumps([header, [len(view) for view in views]])  # ASCII: any text can be told
    stream.write(line.encode("ascii") + b"\n")
    for view in views:
        stream.write(view)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[Any, list[bytes]]:
    """What ``send`` sent. Raises EOFError."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    header, sizes = json.loads(line)
    parts = [stream.read(size) for size in sizes]
    if [len(part) for part in parts] != sizes:
        raise EOFError
    return header, parts


def send_job(stream: IO[bytes], job: Job) -> None:
    header = {
        "kind": job.kind,
        "lengths": [len(text) for text in job.texts],
        "separator": job.separator,
    }
    send(stream, header, "".join(job.texts).encode("utf-8", "surrogatepass"))


def receive_job(stream: IO[bytes]) -> Job:
    """Raises EOFError when there are no more."""
    header, (data,) = receive(stream)
    whole = data.decode("utf-8", "surrogatepass")
    texts, start = [], 0
    for length in header["lengths"]:
        texts.append(whole[start : start + length])
        start += length
    return Job(header["kind"], texts, header["separator"])


def send_result(stream: IO[bytes], result: Result) -> None:
    arrays = [np.ascontiguousarray(getattr(result, name)) for name in _ARRAYS]
    header = {
        "types": [array.dtype.str for array in arrays],
        "unknown": list(result.unknown),
        "characters": result.characters,
        "changed": list(result.changed),
    }
    send(stream, header, *arrays, result.data)


def receive_result(stream: IO[bytes]) -> Result:
    """Raises EOFError where the other process has ended."""
    header, parts = receive(stream)
    *arrays, data = parts
    ids, ends, keys, counts, seen = (
        np.frombuffer(array, kind) for array, kind in zip(arrays, header["types"], strict=True)
    )
    return Result(
        ids,
        ends,
        keys,
        counts,
        seen,
        data,
        header["unknown"],
        header["characters"],
        header["changed"],
    )
