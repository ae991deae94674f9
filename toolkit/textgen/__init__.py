"""Recurrent text generation: learn a text, leave one model.onnx, write new text anywhere.

    import textgen
    run = textgen.train("shakespeare", cell="lstm", minutes=1)
    model = textgen.load("model.onnx")
    print(model.generate("ROMEO:", length=200).text)

Nothing heavy is imported until it is used, and what runs a model never imports torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textgen.api import (
        compare,
        export_run,
        export_weights,
        load,
        open_corpus,
        resume,
        score_split,
        sweep,
        train,
        verify_resume,
    )
    from textgen.runs import Run
    from textgen.runtime.wanted import Wanted

__all__ = [
    "Run",
    "Wanted",
    "compare",
    "export_run",
    "export_weights",
    "load",
    "open_corpus",
    "resume",
    "score_split",
    "sweep",
    "train",
    "verify_resume",
]


def __getattr__(name: str) -> Any:
    if name == "Run":
        from textgen.runs import Run

        return Run
    if name == "Wanted":
        from textgen.runtime.wanted import Wanted

        return Wanted
    if name in __all__:
        from textgen import api

        return getattr(api, name)
    if name == "__version__":
        import importlib.metadata

        return importlib.metadata.version("textgen-toolkit")
    raise AttributeError(f"module 'textgen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
