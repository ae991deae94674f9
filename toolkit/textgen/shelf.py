"""Where models stand: the folder exported/, in which a model is found by its name."""

from __future__ import annotations

from pathlib import Path

from textgen.contracts.errors import UserError, unknown_name

EXPORTED = Path("exported")
NEWEST = "model.onnx"
"""Always a copy of the newest model."""


def models(folder: Path = EXPORTED) -> list[Path]:
    """The model files in ``folder``, newest first; the copy ``model.onnx`` is left out."""
    files = [path for path in folder.glob("*.onnx") if path.name != NEWEST]
    return sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)


def find(name: str | None, folder: Path = EXPORTED) -> Path:
    """The file that ``name`` means: a path as given, then in ``folder``, with or without ending.

    None means the newest. Raises UserError where there is none, listing what there is.
    """
    if name is None:
        newest = folder / NEWEST
        if not newest.exists():
            raise UserError(
                f"There is no model in {folder}/ yet.", "Train one first: textgen train --cell lstm"
            )
        return newest
    for candidate in (Path(name), folder / name, folder / f"{name}.onnx"):
        if candidate.is_file():
            return candidate
    if Path(name).is_dir():
        raise UserError(f"{name} is a folder, not a model.", "Name the .onnx file in it.")
    known = [path.name for path in models(folder)]
    if known:
        raise unknown_name("model", name, known)
    raise UserError(f"There is no model {name}.", "Train one first: textgen train --cell lstm")
