"""What was found out about an engine: a finding for each check, and what follows from all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """How a check came out.

    FAILED: something would be billed wrongly or not at all. UNCHECKED: it could not be found out.
    """

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: a sentence, and what to do about it, None: nothing.

    api: of which API family; None: of the engine as a whole.
    """

    name: str
    result: Result
    message: str
    hint: str | None = None
    api: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """All findings. engine: its name; None: it is not known. detected_by: how it is known."""

    engine: str | None
    version: str | None
    detected_by: str | None
    findings: Sequence[Finding]

    @property
    def conforms(self) -> bool | None:
        """Whether everything is billed, and rightly; None: that could not be found out."""
        results = {finding.result for finding in self.findings}
        if Result.FAILED in results:
            return False
        return None if Result.UNCHECKED in results else True


class UncheckedError(Exception):
    """A check could not be made. The message is complete and holds no secrets.

    hint: what to do. everywhere: no other check could be made either.
    """

    def __init__(self, message: str, hint: str | None = None, *, everywhere: bool = False) -> None:
        super().__init__(message)
        self.hint = hint
        self.everywhere = everywhere
