"""How much the tests do: enough for every day, or, with TEXTGEN_SOAK=1, all that was promised."""

from __future__ import annotations

import os

SOAK = bool(os.environ.get("TEXTGEN_SOAK"))


def count(short: int, long: int) -> int:
    """``long`` where TEXTGEN_SOAK is set, else ``short``."""
    return long if SOAK else short
