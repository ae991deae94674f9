"""``textgen plugins doctor``: which plugins do not load, where that began, how to do without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from textgen.commands.parameters import json_option, with_registry

if TYPE_CHECKING:
    from traceback import FrameSummary

_MOST_LINES = 12


@click.command()
@json_option
@with_registry
def doctor(registry: Any, as_json: bool) -> int:
    """Tell which plugins do not load, and where they fail.

    Exit status 1 where one fails.
    """
    from textgen.screen import console, tables

    tried = failures(registry)
    failed = {entry: error for entry, error in tried.items() if error is not None}
    if as_json:
        for entry, error in tried.items():
            tables.show_json(_facts(entry, error))
        return 1 if failed else 0
    for number, (entry, error) in enumerate(failed.items()):
        if number:
            console.write_text("\n")
        tables.show_details(_details(entry, error))
    if failed:
        console.show_notice(_way_without(tried))
    else:
        console.show_notice(f"{len(tried)} plugins load.")
    return 1 if failed else 0


def failures(registry: Any) -> dict[Any, BaseException | None]:
    """What went wrong with each plugin that is not switched off; None where it loads.

    Cells and optimizers are left out where there is no torch: it would be their only fault.
    """
    import importlib.util

    from textgen.contracts.hooks import NEED_TORCH

    trains = importlib.util.find_spec("torch") is not None
    return {
        entry: registry.failure(entry)
        for entry in registry.entries()
        if not registry.disabled(entry) and (trains or entry.kind not in NEED_TORCH)
    }


def reason(error: BaseException) -> str:
    """What was raised, as it was."""
    from textgen.quarantine import PluginFailure

    if isinstance(error, PluginFailure):  # our own words
        return str(error)
    return f"{type(error).__name__}: {error}"


def own_lines(entry: Any, error: BaseException) -> list[FrameSummary]:
    """The traceback's lines that stand in the plugin's own files, the outermost first; of lines
    that call themselves again and again, one."""
    import traceback
    from pathlib import Path

    place = _place(entry)
    if place is None:
        return []
    frames = list(traceback.extract_tb(error.__traceback__))
    if isinstance(error, SyntaxError) and error.filename:
        code = (error.text or "").strip()
        frames.append(traceback.FrameSummary(error.filename, error.lineno or 0, "", line=code))
    own = {
        (frame.filename, frame.lineno): frame
        for frame in frames
        if place in (Path(frame.filename), *Path(frame.filename).parents)
    }
    return list(own.values())[-_MOST_LINES:]


def _place(entry: Any) -> Any:
    """The file or folder of the plugin's modules."""
    import importlib.util
    from pathlib import Path

    if entry.file:
        return entry.file
    try:
        spec = importlib.util.find_spec(entry.module.partition(".")[0])
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin else None


def _details(entry: Any, error: BaseException) -> dict[str, str]:
    from pathlib import Path

    details = {
        "plugin": f"{entry.kind} {entry.name}",
        "from": f"{entry.distribution} {entry.version}".strip(),
        "failed": reason(error),
    }
    lines = own_lines(entry, error)
    for frame in lines:
        where = f" in {frame.name}" if frame.name.isidentifier() else ""
        details[f"{Path(frame.filename).name}:{frame.lineno}{where}"] = frame.line or ""
    return details | ({"file": lines[-1].filename} if lines else {})


def _facts(entry: Any, error: BaseException | None) -> dict[str, Any]:
    facts = {"kind": entry.kind, "name": entry.name, "distribution": entry.distribution}
    facts |= {"version": entry.version, "loads": error is None}
    if error is None:
        return facts
    lines = [
        {"file": f.filename, "line": f.lineno, "in": f.name, "code": f.line}
        for f in own_lines(entry, error)
    ]
    return {**facts, "failed": reason(error), "lines": lines}


def _way_without(tried: dict[Any, BaseException | None]) -> str:
    """How to work until those that fail are mended."""
    import shlex

    broken = {entry.distribution for entry, error in tried.items() if error is not None}
    others = {entry.distribution for entry in tried if not (entry.bundled or entry.file)} - broken
    chosen = shlex.quote(",".join(sorted(others)))
    return (
        "To work without them: --no-plugins, or in the environment TEXTGEN_PLUGINS="
        f"{chosen}, which names those that may load; or pip uninstall what fails."
    )
