"""The other end of a pool: a process that does jobs until its standard input ends."""

from __future__ import annotations

import importlib
import os
import sys
from functools import reduce
from typing import Any

from textgen.contracts.tokenizer import Tokenizer, Vocabulary
from textgen.corpus import wire
from textgen.corpus.encoding import Encoder

BOOT = """
import json, sys
sys.path[:] = json.loads(sys.stdin.buffer.readline())
from textgen.corpus.worker import main
main()
"""
"""The program of such a process; ``multiprocessing`` would run the user's script in it again."""


def describe(encoder: Encoder) -> dict[str, Any]:
    """What ``build`` needs, as JSON values."""
    tokenizer = encoder.tokenizer
    described: dict[str, Any] = {
        "rules": encoder.rewriting.rules,
        "salt": encoder.salt.hex(),
        "joint": encoder.joint.decode("ascii"),
        "tokenizer": None,
    }
    if tokenizer is not None:
        described["tokenizer"] = {
            "module": type(tokenizer).__module__,
            "class": type(tokenizer).__qualname__,
            "symbols": [s.decode("utf-8", "surrogateescape") for s in tokenizer.symbols],
            "boundary": tokenizer.boundary,
            "data": dict(tokenizer.to_json()),
        }
    return described


def build(described: dict[str, Any]) -> Encoder:
    """The encoder that was described, with its tokenizer imported here."""
    tokenizer: Tokenizer | None = None
    about = described["tokenizer"]
    if about is not None:
        made: Any = reduce(
            getattr, about["class"].split("."), importlib.import_module(about["module"])
        )
        symbols = tuple(s.encode("utf-8", "surrogateescape") for s in about["symbols"])
        tokenizer = made.from_json(Vocabulary(symbols, about["boundary"]), about["data"])
    rules = [(pattern, text) for pattern, text in described["rules"]]
    return Encoder(
        tokenizer, rules, bytes.fromhex(described["salt"]), described["joint"].encode("ascii")
    )


def main() -> None:
    """Answers that it is ready, then every job with its result."""
    jobs = sys.stdin.buffer
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a tokenizer prints is no result
    try:
        encoder = build(wire.receive(jobs)[0])
        wire.send(results, "ready")
        while True:
            wire.send_result(results, encoder.run(wire.receive_job(jobs)))
    except (EOFError, BrokenPipeError):
        os._exit(0)  # the packing has ended, or was killed
