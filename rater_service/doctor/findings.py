"""What the doctor says: for each check one finding or several, and what follows from all of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """How a check came out, the worst first."""

    FAILED = "failed"
    """Something is broken: money, events or service are being lost, or whoever should not gets in."""
    WARNING = "warning"
    """It works, and something needs a human soon."""
    UNCHECKED = "not_checked"
    """It could not be looked at, or nobody said where it is."""
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one thing, in a line, and what to do about it; None: nothing.

    subject: which of several things of a kind, a proxy for example; None: there is one.
    """

    result: Result
    message: str
    advice: str | None = None
    subject: str | None = None

    def of(self, subject: str) -> "Finding":
        """Say of which of several things it is."""
        return Finding(self.result, self.message, self.advice, subject)


def ok(message: str) -> Finding:
    """Make a finding that all is well."""
    return Finding(Result.OK, message)


def warning(message: str, advice: str) -> Finding:
    """Make a finding that something needs a human soon."""
    return Finding(Result.WARNING, message, advice)


def failed(message: str, advice: str) -> Finding:
    """Make a finding that something is broken."""
    return Finding(Result.FAILED, message, advice)


def unchecked(message: str, advice: str) -> Finding:
    """Make a finding that something could not be looked at, with what would let it be."""
    return Finding(Result.UNCHECKED, message, advice)


@dataclass(frozen=True, slots=True)
class Checked:
    """A check that was made, by its name, and what it found: one finding at least."""

    name: str
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found, in the order of the checks."""

    checks: Sequence[Checked]

    def count(self, result: Result) -> int:
        """Say how many findings have a result."""
        return Counter(finding.result for check in self.checks for finding in check.findings)[result]

    @property
    def nothing_checked(self) -> bool:
        """Whether nothing at all could be looked at."""
        return not any(self.count(result) for result in Result if result is not Result.UNCHECKED)
