"""Prints the imports here that plugins may not have, and fails where there is one.

    python plugins/extra/imports.py [FOLDER]

Of ours a plugin imports ``textgen.contracts`` and its own package. Its tests may import the
conformance kit, too, what ``import textgen`` offers to everyone and what those functions take, and
what finds plugins and runs commands.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import textgen

PLUGIN = ("textgen.contracts",)
TESTS = (
    *PLUGIN,
    *(f"textgen.{name}" for name in textgen.__all__),
    *("textgen.conformance", "textgen.registry", "textgen.sources", "textgen.cli"),
    "textgen.training.observer",
)


def broken(distribution: Path) -> Iterator[str]:
    """Each forbidden import of a distribution's folder, with its place."""
    own = tuple(path.stem for path in distribution.glob("textgen_*"))
    for file in sorted(distribution.rglob("*.py")):
        tested = "tests" in file.relative_to(distribution).parts
        allowed = own + (TESTS if tested else PLUGIN)
        for line, name in imports(ast.parse(file.read_text(encoding="utf-8"))):
            ours = name.partition(".")[0]
            if (ours != "textgen" and not ours.startswith("textgen_")) or (
                tested and name == "textgen"
            ):
                continue
            if not any(f"{name}.".startswith(f"{prefix}.") for prefix in allowed):
                yield f"{file}:{line}: {name} is not for plugins to import"


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The lines and full names of all that is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent
    found = [line for project in folder.glob("*/pyproject.toml") for line in broken(project.parent)]
    print("\n".join(found), end="\n" if found else "")
    sys.exit(bool(found))
