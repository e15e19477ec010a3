"""What becomes of an answer whose client goes away before its end.

Most engines report usage last. A client that leaves as soon as it has every word would have them for nothing,
if its engine were cut off at once. Cutting off is right as long as the engine still works, and wrong as soon
as nothing but its report is outstanding.
"""

from dataclasses import dataclass
from enum import StrEnum


class Abort(StrEnum):
    """The option `phoebe_abort`."""

    FINISH = "finish"  # once the engine has said that it has finished, the rest is read without the client
    DRAIN = "drain"  # every answer that has begun is read to its end
    CUT = "cut"  # the engine is cut off at once


@dataclass(frozen=True, slots=True)
class AbortRules:
    """How much of an answer is read without its client: for so many seconds, and so many bytes."""

    policy: Abort
    timeout_s: float
    bytes_max: int
