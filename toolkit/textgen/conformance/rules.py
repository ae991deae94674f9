"""How the kit tells what it found, rule by rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from textgen.contracts.errors import UserError


@dataclass(frozen=True)
class Finding:
    """A rule of a contract that was tried."""

    holds: bool
    rule: str
    found: str
    """The numbers."""
    cause: str = ""
    """What usually breaks the rule."""
    promise: bool = False
    """Whether it is a promise beyond the contract, which a plugin may do without."""
    error: BaseException | None = None
    """What the plugin raised, if that is what broke the rule."""

    @property
    def broken(self) -> bool:
        return not (self.holds or self.promise)


Findings = Iterator[Finding]


class BrokenRuleError(AssertionError):
    """A rule of a contract that a plugin breaks: the rule, what was found, and the usual cause."""

    def __init__(self, rule: str, found: str, cause: str) -> None:
        super().__init__(f"{rule}\n  found: {found}\n  usual cause: {cause}")
        self.rule = rule
        self.found = found
        self.cause = cause


def enforce(findings: Iterable[Finding]) -> None:
    """Raises BrokenRuleError for the first rule that is broken."""
    for finding in findings:
        if finding.broken:
            raise BrokenRuleError(finding.rule, finding.found, finding.cause) from finding.error


def in_turn(parts: Iterable[Findings]) -> Findings:
    """What the parts of an examination find, each rule of a part once: where it was tried several
    times, the first time it was broken, else the last.

    A plugin that raises breaks a rule too, unless one was broken before: then that is why. A
    UserError goes through: it tells of options or a source that will not do.
    """
    trying = iter(parts)
    broken = False
    while True:
        tried: dict[str, Finding] = {}
        try:
            for finding in next(trying):
                broken = broken or finding.broken
                if not (finding.rule in tried and tried[finding.rule].broken):
                    tried[finding.rule] = finding
        except StopIteration:
            return
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            if not broken:
                broken, raised = True, _raised(error)
                tried[raised.rule] = raised
        yield from tried.values()


def _raised(error: BaseException) -> Finding:
    if isinstance(error, BrokenRuleError):
        return Finding(False, error.rule, error.found, error.cause)
    text = " ".join(str(error).split())
    return Finding(
        False,
        "nothing is raised where the contract asks for a result",
        f"{type(error).__name__}: {text}",
        "a shape, type or name that is not what the contract says",
        error=error,
    )
