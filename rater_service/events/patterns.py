"""What many events have in common, kept once under a number: names, outcome, and the form of the usage.

A combination gets a number once so many events had it that its own row costs less than it saves them. So a
client that invents names makes no rows, and one that uses each invented name some times makes smaller
ones than its events would be.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

import asyncpg

from phoebe_runtime.counts import counted
from rater_service.database.database import Connection, DatabaseUnavailableError
from rater_service.events.columns import EventColumns
from rater_service.events.patterned import SHARED, Patterned
from rater_service.events.usage_form import split_usages
from rater_service.statements import bound

logger = logging.getLogger(__name__)

EVENTS_MIN = 8
"""Events that a combination must have had in this process before it gets a number."""
# Some 20 MB. Who comes back after it was forgotten is counted again, and found in the database.
KNOWN_MAX = 20_000
# Some 5 MB.
COUNTED_MAX = 50_000

type _Pattern = tuple[str, ...]
"""SHARED and the form of the usage; "" for none."""


class _Known(NamedTuple):
    number: int
    digest: bytes


class PatternsLost(DatabaseUnavailableError):  # noqa: N818 - nothing failed
    """The database lacks patterns that events rely on, or has others under their numbers. Such events must
    not be committed. A database that was put back to an earlier state, or a standby that took over, may lack
    the last ones. count: how many.
    """

    def __init__(self, count: int) -> None:
        super().__init__(f"the database lacks {counted(count, 'pattern')} of events")
        self.count = count


class Patterns:
    """The patterns that this process knows. events_min: 1 or more."""

    def __init__(self, events_min: int = EVENTS_MIN) -> None:
        self._events_min = events_min
        self._known: dict[_Pattern, _Known] = {}
        self._counted: dict[bytes, int] = {}
        self._is_full = False

    async def find(self, connection: Connection, events: EventColumns) -> Patterned:
        """Find the patterns of a batch, and make those that are due.

        To be called outside of the transaction that stores the events: other batches would wait for it.
        """
        usages = split_usages(events.texts("usage_raw"))
        patterns: list[_Pattern] = list(
            zip(*(events.texts(name) for name in SHARED), usages.forms, strict=True)
        )
        found = list(map(self._known.get, patterns))
        if None in found:
            missing = Counter(pattern for pattern, known in zip(patterns, found, strict=True) if not known)
            if due := self._count(missing):
                await self._keep(connection, due)
                found = list(map(self._known.get, patterns))
        # Many events share theirs: whether it is the same one is seen faster than whether it is equal.
        used = dict(zip(map(id, found), found, strict=True)).values()
        return Patterned(
            [known and known.number for known in found],
            usages.numbers
            if None not in found
            else [numbers if known else "" for numbers, known in zip(usages.numbers, found, strict=True)],
            dict(known for known in used if known),
        )

    def forget(self, lost: "PatternsLost") -> None:
        """Know of none any more: the database lacks some."""
        self._known.clear()
        logger.warning(
            "the database lacks %s of events that it had: it is in an earlier state, perhaps on a "
            "standby that took over; the events are stored without them",
            counted(lost.count, "pattern"),
        )

    def _count(self, missing: Mapping[_Pattern, int]) -> dict[bytes, _Pattern]:
        """Count events; return the patterns that have had enough of them."""
        due = {}
        for pattern, more in missing.items():
            digest = _digest(pattern)
            events = self._counted.pop(digest, 0) + more
            if events >= self._events_min:
                due[digest] = pattern
            self._counted[digest] = events
        _shorten(self._counted, COUNTED_MAX)
        return {} if self._is_full else due

    async def _keep(self, connection: Connection, due: Mapping[bytes, _Pattern]) -> None:
        texts = zip(*([text or None for text in pattern] for pattern in due.values()), strict=True)
        columns = dict(zip((*SHARED, "usage_form"), map(list, texts), strict=True))
        try:
            rows = await connection.fetch(*bound("events/keep_patterns", digests=[*due], **columns))
        except asyncpg.SequenceGeneratorLimitExceededError:
            self._is_full = True
            logger.warning("event_pattern is full: what else events have in common is kept in each of them")
            return
        for row in rows:
            self._known[due[row["digest"]]] = _Known(row["number"], row["digest"])
            self._counted.pop(row["digest"], None)
        _shorten(self._known, KNOWN_MAX)


def _digest(pattern: _Pattern) -> bytes:
    return hashlib.sha256(json.dumps(pattern).encode()).digest()


def _shorten(entries: dict[bytes, int] | dict[_Pattern, _Known], most: int) -> None:
    """Forget those that came first."""
    if len(entries) > most:
        surplus: Collection[object] = list(entries)[: len(entries) - most]
        for key in surplus:
            del entries[key]  # type: ignore[arg-type] # it is a key of it
