"""How the kit says that a plugin breaks its contract."""

from __future__ import annotations


class BrokenRuleError(AssertionError):
    """A rule of a contract that a plugin breaks: the rule, what was found, and the usual cause."""

    def __init__(self, rule: str, found: str, cause: str) -> None:
        super().__init__(f"{rule}\n  found: {found}\n  usual cause: {cause}")
        self.rule = rule
        self.found = found
        self.cause = cause


def require(holds: bool, rule: str, found: str, cause: str) -> None:
    """Raises BrokenRuleError unless ``holds``."""
    if not holds:
        raise BrokenRuleError(rule, found, cause)
