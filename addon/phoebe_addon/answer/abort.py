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


# What a finished engine still has to say is under way; one that still works may take as long as it likes.
TIMEOUT_S = {Abort.FINISH: 60.0, Abort.DRAIN: 3600.0, Abort.CUT: 60.0}
"""For how long an answer is read without its client, where nothing is said of it."""

DEFAULT_RULES = AbortRules(Abort.FINISH, TIMEOUT_S[Abort.FINISH], bytes_max=256 * 1024 * 1024)
