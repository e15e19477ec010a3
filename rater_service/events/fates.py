"""What becomes of an event that is to be stored."""

from dataclasses import dataclass
from enum import StrEnum


class Fate(StrEnum):
    """What became of an event; the values of EventOutcome without their prefix."""

    STORED = "STORED"
    DUPLICATE = "DUPLICATE"
    CONFLICT = "CONFLICT"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an event, and for a conflict or a rejection why."""

    fate: Fate
    reason: str = ""


STORED = Result(Fate.STORED)
DUPLICATE = Result(Fate.DUPLICATE)
CONFLICT = Result(
    Fate.CONFLICT, "request_id: another event with this id was stored before, with other content"
)
TOO_LATE = Result(
    Fate.REJECTED,
    "event_time: the events of this time were pruned, and this one was not among them by its number",
)
