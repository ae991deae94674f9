"""``textgen plugins check``: whether a plugin keeps the rules of its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from textgen.commands.parameters import assignments, json_option, with_registry
from textgen.commands.plugins_doctor import own_lines
from textgen.commands.plugins_show import kind_option, kinds_of

if TYPE_CHECKING:
    from textgen.conformance.rules import Finding


@click.command()
@click.argument("name")
@kind_option
@click.option("--option", multiple=True, metavar="NAME=VALUE", help="Of the plugin. Repeatable.")
@click.option("--source", metavar="FILE", help="What a reader reads: a few documents.")
@json_option
@with_registry
def check(
    registry: Any,
    name: str,
    kind: str | None,
    option: tuple[str, ...],
    source: str | None,
    as_json: bool,
) -> int:
    """Try what the plugin NAME promises, rule by rule.

    A line a rule, with the numbers; exit status 1 where one is broken.
    """
    from textgen.conformance.kit import examine

    broken = tried = 0
    for word in kinds_of(registry, name, kind):
        entry, plugin = registry.find(word, name), registry.load(word, name)
        findings = examine(word, plugin, assignments(option, "--option"), source)
        _introduce(entry)
        for finding in findings:
            _show(entry, finding, as_json)
            broken += finding.broken
            tried += not finding.promise
    _sum_up(broken, tried)
    return 1 if broken else 0


def _introduce(entry: Any) -> None:
    from textgen.screen import console

    origin = f"{entry.distribution} {entry.version}".strip()
    console.show_notice(f"{entry.kind} {entry.name}, from {origin}")


def _show(entry: Any, finding: Finding, as_json: bool) -> None:
    from textgen.screen import rules_view, tables

    found = finding.found + (_where(entry, finding.error) if finding.error else "")
    if not as_json:
        rules_view.show_rule(
            finding.rule,
            found,
            "" if finding.holds else finding.cause,
            holds=finding.holds,
            promise=finding.promise,
        )
        return
    told = {"rule": finding.rule, "found": found, "usual_cause": finding.cause}
    facts = {"promise": finding.promise, "holds": finding.holds}
    tables.show_json({"kind": entry.kind, "name": entry.name, **facts, **told})


def _where(entry: Any, error: BaseException) -> str:
    """The plugin's own line at which it raised."""
    from pathlib import Path

    lines = own_lines(entry, error)
    if not lines:
        return ""
    return f" ({Path(lines[-1].filename).name}:{lines[-1].lineno}: {lines[-1].line})"


def _sum_up(broken: int, tried: int) -> None:
    from textgen.screen import console

    if broken:
        console.show_warning(f"{broken} of {tried} rules are broken.")
    else:
        console.show_notice(f"All {tried} rules hold.")
