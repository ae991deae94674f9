"""Distributions written to a folder as pip would leave them, for tests of the registry."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import dedent

MINIMAL_SAMPLER = """
    from textgen.contracts.hooks import hookimpl
    from textgen.contracts.sampler import Sampler

    TEXTGEN_CONTRACT = 1

    class Same(Sampler):
        '''Leaves the logits alone.'''

        def adjust(self, logits, state, options):
            return logits

    @hookimpl
    def textgen_samplers():
        return {"NAME": Same}
"""


def install(
    folder: Path,
    distribution: str,
    source: str,
    entry_points: Mapping[str, str],
    version: str = "1.0",
) -> None:
    """Puts a module of ``source`` and its metadata into ``folder``, which is on ``sys.path``.

    ``entry_points`` map ``group:name`` to a module; the module of the distribution is its name with
    underscores.
    """
    module = distribution.replace("-", "_")
    (folder / f"{module}.py").write_text(dedent(source), encoding="utf-8")
    points = [(*key.split(":", 1), target) for key, target in entry_points.items()]
    write_metadata(folder, distribution, points, version)


def write_metadata(
    folder: Path, distribution: str, points: Iterable[tuple[str, str, str]], version: str
) -> None:
    """What pip leaves of a distribution beside its modules; ``points`` are group, name, module."""
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n", encoding="utf-8"
    )
    lines = []
    for group, name, target in points:
        lines += [f"[{group}]", f"{name} = {target}"]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def install_project(folder: Path) -> None:
    """Puts the metadata of the project in ``folder`` beside its modules, as an editable install."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    points = [
        (group, name, module)
        for group, named in project["entry-points"].items()
        for name, module in named.items()
    ]
    write_metadata(folder, project["name"], points, project["version"])


def install_sampler(folder: Path, distribution: str, name: str, source: str | None = None) -> None:
    """A distribution that promises one sampler, made by ``source`` (by default a working one)."""
    text = MINIMAL_SAMPLER.replace("NAME", name) if source is None else source
    install(
        folder, distribution, text, {f"textgen.samplers:{name}": distribution.replace("-", "_")}
    )


BROKEN_SAMPLERS: Mapping[str, tuple[str, str]] = {
    # name: (source of the module, what the message quotes)
    "import-error": ("import no_such_module_anywhere", "no_such_module_anywhere"),
    "syntax-error": ("def broken(:", "SyntaxError"),
    "system-exit": ("raise SystemExit(3)", "SystemExit: 3"),
    "wrong-signature": (
        """
        from textgen.contracts.hooks import hookimpl
        TEXTGEN_CONTRACT = 1
        @hookimpl
        def textgen_samplers(surprise):
            return {}
        """,
        "surprise",
    ),
    "misspelt-hook": (
        """
        from textgen.contracts.hooks import hookimpl
        TEXTGEN_CONTRACT = 1
        @hookimpl
        def textgen_sampler():
            return {}
        """,
        "textgen_sampler",
    ),
    "wrong-contract": ("TEXTGEN_CONTRACT = 99", "contract 99"),
    "no-contract": ("x = 1", "TEXTGEN_CONTRACT = 1"),
    "prints": (
        "print('hello from a plugin')\nraise ValueError('after printing')",
        "after printing",
    ),
    "recursion": ("def again():\n    again()\nagain()", "RecursionError"),
    "promise-broken": (
        """
        from textgen.contracts.hooks import hookimpl
        TEXTGEN_CONTRACT = 1
        @hookimpl
        def textgen_samplers():
            return {"other": object}
        """,
        "does not return 'promise-broken'",
    ),
    "not-a-class": (
        """
        from textgen.contracts.hooks import hookimpl
        TEXTGEN_CONTRACT = 1
        @hookimpl
        def textgen_samplers():
            return {"not-a-class": 42}
        """,
        "not a subclass",
    ),
    "slow-and-broken": ("import time\ntime.sleep(0.5)\nraise OSError('slow')", "slow"),
}
