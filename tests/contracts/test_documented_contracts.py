"""docs/plugins.md names every member of every contract, and nothing that is not there."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

from textgen.contracts.hooks import KINDS

PAGE = (Path(__file__).parent.parent.parent / "docs" / "plugins.md").read_text(encoding="utf-8")
MODULES = ("cell", "reader", "tokenizer", "sampler", "optimizer", "tracker")


def contracts() -> dict[str, type]:
    """The public classes of the contracts' modules."""
    modules = [importlib.import_module(f"textgen.contracts.{name}") for name in MODULES]
    return {
        name: found
        for module in modules
        for name, found in inspect.getmembers(module, inspect.isclass)
        if found.__module__ == module.__name__
    }


def members(contract: type) -> set[str]:
    """What its own body declares, and what it is made with."""
    made = inspect.signature(contract).parameters if "__init__" in vars(contract) else {}
    declared = {*vars(contract), *inspect.get_annotations(contract), *made}
    return {name for name in declared - {"args", "kwargs"} if not name.startswith("_")}


def documented() -> dict[str, dict[str, bool]]:
    """By class, the members of the table, and whether each must be written."""
    _, _, table = PAGE.partition("## Every contract")
    found: dict[str, dict[str, bool]] = {}
    named: dict[str, bool] = {}
    for line in table.partition("\n## ")[0].splitlines():
        if line.startswith("| ") and not line.startswith("| class"):
            first, second = (cell.strip() for cell in line.split("|")[1:3])
            named = found.setdefault(first.strip("`"), {}) if first else named
            named |= {name: bool(bold) for bold, name in re.findall(r"(\*\*)?`(\w+)`", second)}
    return found


def test_every_member_stands_in_the_table():
    assert {name: set(named) for name, named in documented().items()} == {
        name: members(contract) for name, contract in contracts().items()
    }


def test_what_must_be_written_is_bold():
    for name, named in documented().items():
        must = {member for member, bold in named.items() if bold}
        assert must == to_be_written(name)


def test_every_kind_has_a_row():
    kinds = {}
    for line in PAGE.partition("## ")[0].splitlines():
        if line.startswith("| ") and not line.startswith("| kind"):
            word, found, contract, written, _ = (cell.strip() for cell in line.split("|")[1:6])
            kinds[word] = found
            name = contract.strip("`").rpartition(".")[2]
            if name in contracts():
                assert set(re.findall(r"`(\w+)`", written)) == to_be_written(name)
    assert kinds == {kind.word: f"`{kind.hook}` `{kind.group}`" for kind in KINDS.values()}


def to_be_written(name: str) -> set[str]:
    return set(getattr(contracts()[name], "__abstractmethods__", ()))
