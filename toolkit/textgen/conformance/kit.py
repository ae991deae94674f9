"""The kit by kinds of plugins."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from textgen.conformance.rules import Findings
from textgen.contracts.errors import UserError

EXAMINED = ("cell", "reader", "tokenizer", "sampler", "optimizer", "tracker", "command")
"""The kinds that there are rules for: ``check_KIND`` holds them."""


def examine(
    kind: str, plugin: Any, options: Mapping[str, str], source: str | None = None
) -> Findings:
    """Tries what a plugin of the ``kind`` promises, rule by rule. Imports what that takes.

    ``source`` is what a reader reads. Raises UserError for options that the plugin does not have,
    for a reader without a source, and for a kind that has no rules.
    """
    if kind not in EXAMINED:
        raise UserError(
            f"There are no rules to check a {kind} by.", "textgen plugins show tells what it is."
        )
    if kind == "reader" and source is None:
        raise UserError(
            "A reader is checked by what it reads.", "Name a file of a few documents: --source FILE"
        )
    if kind != "reader" and source is not None:
        raise UserError(f"A {kind} reads no source.", "Leave out --source.")
    module = importlib.import_module(f"textgen.conformance.check_{kind}")
    given = (plugin, options) if source is None else (plugin, source, options)
    findings: Findings = getattr(module, f"examine_{kind}")(*given)
    return findings
