"""onnxruntime sessions: what runs a graph, and with how many threads."""

from __future__ import annotations

import functools
import os
import threading
import time
from typing import Any

import onnxruntime

from textgen.contracts.errors import TextgenError, UserError
from textgen.thread_choice import ThreadChoice

PROVIDERS = ("auto", "cpu", "cuda")
_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"

_ONE_THREAD_BYTES = 1 << 20
"""Models smaller than this begin with one thread: a step is too short to share. On two quiet cores
two threads were slower at 0.5 MB, 1.17 times as fast at 1 MB, 1.4 times from 1.4 MB on."""

_ROWS = 8
"""Rows that take about twice as long as one: the weights are read once for all of them."""

_FIRST_TRIAL = 0.5
"""Seconds of work before another number of threads is tried."""

_ERRORS, _SILENCE = 3, 4
"""onnxruntime's levels of logging. What goes wrong is raised; its warnings are noise."""

onnxruntime.set_default_logger_severity(_ERRORS)


def choose_provider(wanted: str) -> str:
    """``cpu`` or ``cuda``: what will run. ``auto`` is CUDA where this onnxruntime has it and a
    device answers.

    Raises UserError for an unknown word, TextgenError where CUDA is asked for and cannot run.
    """
    if wanted not in PROVIDERS:
        raise UserError(f"There is no provider {wanted!r}.", f"Known: {', '.join(PROVIDERS)}.")
    if wanted == "cpu":
        return "cpu"
    reason = _why_no_cuda()
    if reason is None:
        return "cuda"
    if wanted == "cuda":
        raise TextgenError(f"CUDA cannot be used: {reason}.", "Use --provider auto, or cpu.")
    return "cpu"


def open_session(data: bytes, provider: str, threads: int) -> onnxruntime.InferenceSession:
    """A session of the graph in ``data`` on ``provider`` (``cpu`` or ``cuda``), with ``threads`` of
    the CPU. Raises TextgenError where another provider than the one asked for would run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS
    # threads that wait for work spin while a call runs, which at 2 x 512 is 1.4 times faster than
    # waking them (measured), and stop with it: idle ones would burn cores (onnxruntime#11841)
    options.add_session_config_entry("session.force_spinning_stop", "1")
    names = [_CUDA, _CPU] if provider == "cuda" else [_CPU]
    try:
        # its own fallback would print a banner to stdout
        session = onnxruntime.InferenceSession(data, options, providers=names, enable_fallback=0)
    except Exception as error:  # its errors have no common class
        reason = str(error).strip().partition("\n")[0]
        raise TextgenError(
            f"onnxruntime cannot run this model: {reason}", "textgen doctor says what runs here."
        ) from error
    if session.get_providers()[0] != names[0]:
        raise TextgenError(f"onnxruntime did not start {names[0]}.", "Use --provider cpu.")
    return session


class PacedSession:
    """Sessions of one graph that differ in their threads, of which the fastest runs: for few rows
    another than for many.

    ``threads`` fixes their number; ``model_bytes`` are those of the model's file. All give the same
    numbers, whichever runs.
    """

    def __init__(self, data: bytes, provider: str, threads: int | None, model_bytes: int) -> None:
        self._data = data
        self._provider = provider
        self._threads = threads
        self._bytes = model_bytes
        self._choices: dict[int, ThreadChoice] = {}
        self._sessions: dict[int, onnxruntime.InferenceSession] = {}
        self._lock = threading.Lock()  # several threads of Python may share a model
        self._choice = self._choice_for(1)
        self.outputs = [output.name for output in self._session(self._choice).get_outputs()]

    @property
    def threads(self) -> str:
        """How many threads run it, or ran it when it was last called; for people."""
        tried = " as found by trying" if len(self._choice.choices) > 1 else ""
        return f"{self._choice.count} of {max(self._choice.choices)} threads{tried}"

    def run(
        self, names: list[str] | None, feed: dict[str, Any], turns: int, rows: int
    ) -> list[Any]:
        """Runs the graph, which takes so many ``turns`` of ``rows`` side by side."""
        with self._lock:
            choice = self._choice = self._choice_for(rows)
            session = self._session(choice)
        began = time.perf_counter()
        results: list[Any] = session.run(names, feed)
        seconds = time.perf_counter() - began
        with self._lock:
            choice.took(seconds, turns * rows)
        return results

    def _choice_for(self, rows: int) -> ThreadChoice:
        """The choice for about so many rows: half of them or twice as many have their own."""
        size = rows.bit_length()
        if size not in self._choices:
            count = self._threads or default_threads(self._bytes, rows)
            fixed = self._threads is not None or self._provider != "cpu"
            choices = {count} if fixed else {1, _most_threads()}
            self._choices[size] = ThreadChoice(choices, count, first=_FIRST_TRIAL)
        return self._choices[size]

    def _session(self, choice: ThreadChoice) -> onnxruntime.InferenceSession:
        count = choice.current
        if count not in self._sessions:
            self._sessions[count] = open_session(self._data, self._provider, count)
        return self._sessions[count]


def default_threads(model_bytes: int, rows: int = 1) -> int:
    """Threads for a model of this size that computes so many rows at once."""
    work = model_bytes * (1 + rows / _ROWS)
    return 1 if work < _ONE_THREAD_BYTES else _most_threads()


def _most_threads() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(8, cores)


def check_threads(threads: int | None) -> int | None:
    """The number of threads, if it can be one. Raises UserError."""
    if threads is not None and not 1 <= threads <= 1024:
        raise UserError(f"The number of threads cannot be {threads}.", "It is from 1 to 1024.")
    return threads


@functools.cache
def _why_no_cuda() -> str | None:
    if _CUDA not in onnxruntime.get_available_providers():
        return "this onnxruntime was built without it"
    import ctypes

    name = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return "there is no NVIDIA driver"
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or not count:
        return "the NVIDIA driver finds no device"
    preload = getattr(onnxruntime, "preload_dlls", None)
    if preload is not None:
        preload()  # torch's own copies of CUDA and cuDNN serve, where they are installed
    onnxruntime.set_default_logger_severity(_SILENCE)
    try:
        return _why_cuda_does_not_start()
    finally:
        onnxruntime.set_default_logger_severity(_ERRORS)


def _why_cuda_does_not_start() -> str | None:
    """Runs a product on the device: a driver alone does not mean that CUDA's libraries are there,
    and onnxruntime goes on without them."""
    import numpy as np
    from onnx import TensorProto, helper

    square = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 2])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 2])
    product = helper.make_node("MatMul", ["x", "x"], ["y"])
    graph = helper.make_graph([product], "probe", [square], [result])
    opsets = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SILENCE
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=[_CUDA, _CPU], enable_fallback=0
        )
        if session.get_providers()[0] != _CUDA:
            return "onnxruntime does not find the libraries of CUDA and cuDNN that it needs"
        session.run(None, {"x": np.eye(2, dtype=np.float32)})
    except Exception as error:  # its errors have no common class
        return str(error).strip().partition("\n")[0]
    return None
