"""onnxruntime sessions: what runs a graph, and with how many threads."""

from __future__ import annotations

import os

import onnxruntime

from textgen.contracts.errors import TextgenError, UserError

PROVIDERS = ("auto", "cpu", "cuda")
_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"

_ONE_THREAD_BYTES = 4 << 20
"""Models smaller than this run faster on one thread: a step is too short to share."""

onnxruntime.set_default_logger_severity(3)  # what goes wrong is raised; its warnings are noise


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


def open_session(
    data: bytes, provider: str, threads: int | None, *, model_bytes: int
) -> onnxruntime.InferenceSession:
    """A session of the graph in ``data`` on ``provider`` (``cpu`` or ``cuda``).

    ``threads`` of the CPU are chosen by the model's size when None. Raises TextgenError where
    another provider than the one asked for would run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or default_threads(model_bytes)
    options.inter_op_num_threads = 1
    # spinning threads burn cores between symbols (onnxruntime#11841)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    names = [_CUDA, _CPU] if provider == "cuda" else [_CPU]
    session = onnxruntime.InferenceSession(data, options, providers=names, enable_fallback=0)
    if session.get_providers()[0] != names[0]:
        raise TextgenError(f"onnxruntime did not start {names[0]}.", "Use --provider cpu.")
    return session


def default_threads(model_bytes: int) -> int:
    """Threads for a model of this size."""
    return 1 if model_bytes < _ONE_THREAD_BYTES else max(1, min(8, os.cpu_count() or 1))


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
    return None
