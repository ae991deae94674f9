"""``textgen doctor``: what will run on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from textgen.commands.parameters import json_option, with_registry
from textgen.commands.plugins_doctor import failures, reason


@click.command()
@json_option
@with_registry
def command(registry: Any, as_json: bool) -> int:
    """Check versions, devices, providers, the cache and every plugin."""
    from textgen.screen import console, tables

    findings = {**_python(), **_runtime(), **_training(), **_cache()}
    plugins = failures(registry)
    findings["plugins"] = f"{len(plugins)} load"
    failed = {entry: error for entry, error in plugins.items() if error is not None}
    if failed:
        findings["plugins"] = f"{len(plugins) - len(failed)} load, {len(failed)} do not"
    for entry, error in failed.items():
        findings[f"plugin {entry.kind} {entry.name} ({entry.distribution})"] = reason(error)
    if as_json:
        tables.show_json(findings)
        return 1 if failed else 0
    tables.show_details(findings)
    if failed:
        console.show_notice("textgen plugins doctor tells where they fail.")
    return 1 if failed else 0


def _python() -> dict[str, str]:
    import os
    import platform

    import textgen

    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    return {
        "textgen": textgen.__version__,
        "python": f"{platform.python_version()} on {system}",
    }


def _runtime() -> dict[str, str]:
    import importlib.metadata

    import onnx
    import onnxruntime

    from textgen.runtime.sessions import choose_provider

    installed = [
        name
        for name in ("onnxruntime", "onnxruntime-gpu")
        if _has_distribution(importlib.metadata, name)
    ]
    which = " and ".join(installed)
    if len(installed) > 1:
        which += ": they clash, uninstall one"
    return {
        "onnx": onnx.__version__,
        "onnxruntime": f"{onnxruntime.__version__} ({which})",
        "generates on": choose_provider("auto"),
        "CUDA to generate": _usable(choose_provider),
    }


def _usable(choose: Callable[[str], object]) -> str:
    """Whether CUDA can be chosen, or why it cannot."""
    from textgen.contracts.errors import TextgenError

    try:
        choose("cuda")
    except TextgenError as error:
        return error.problem
    return "yes"


def _has_distribution(metadata: Any, name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _training() -> dict[str, str]:
    import importlib.util

    if importlib.util.find_spec("torch") is None:
        return {"torch": 'not installed; to train: pip install "textgen-toolkit[train]"'}
    import torch

    from textgen.training.device import choose_device

    device = str(choose_device("auto"))
    if device != "cpu":
        device = f"{device} ({torch.cuda.get_device_name()})"
    bf16 = "yes" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "emulated, slow"
    return {
        "torch": torch.__version__,
        "trains on": f"{device}, {torch.get_num_threads()} threads",
        "CUDA to train": _usable(choose_device),
        "bfloat16 on the CPU": bf16,
    }


def _cache() -> dict[str, str]:
    from textgen.screen import figures
    from textgen.storage import cache_folder

    folder = cache_folder()
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []
    return {"cache": f"{folder}, {figures.size(sum(path.stat().st_size for path in files))}"}
