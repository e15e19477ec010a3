"""The events of a batch without what they have in common with others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SHARED = (
    "auth_id",
    "group_id",
    "resource_id",
    "resource_type",
    "base_model",
    "model_id",
    "requested_model",
    "api",
    "outcome",
    "finish_reason",
)
"""The columns of an event that a pattern has in its place."""


@dataclass(frozen=True, slots=True)
class Patterned:
    """What is kept of a batch's events besides their own columns.

    numbers: of each event its pattern's number; None: it has all in its own columns. usage_numbers: of each
    with a pattern the numbers of its usage; "" : the usage is in its own column, or there is none. used: the
    patterns that it relies on, by number.
    """

    numbers: Sequence[int | None]
    usage_numbers: Sequence[str]
    used: Mapping[int, bytes]
