"""Audits the numbers of producers' events: which are here, which are still on the way, which are lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from phoebe_runtime.counts import counted
from rater_service.audit.findings import DIFFERENCES_MAX, AuditedProducer, Finding, Findings
from rater_service.database.database import Connection
from rater_service.database.long_statements import fetch, fetch_one, fetch_value
from rater_service.hours import utc_text

# Some tenths of a second and some megabytes in the database.
STRETCH_EVENTS = 200_000


@dataclass(frozen=True, slots=True)
class NumberWindow:
    """Which numbers to audit: those of the window [start, end); UTC-aware, None: no such bound.

    Numbers have no times, but they are given when exchanges end. A number that is missing belongs to the
    window of the next one that is here or, if there is none, of the moment when its producer was last heard
    of. So every number belongs to one window.
    """

    start: datetime | None
    end: datetime | None


@dataclass(frozen=True, slots=True)
class _Tally:
    """Numbers from `first` to `last`, if any: how many are stored, kept aside only, repeated.

    pruned: how many of the stored ones are of events that were pruned since.
    """

    first: int
    last: int
    stored: int = 0
    rejected: int = 0
    repeated: int = 0
    pruned: int = 0

    @property
    def absent(self) -> int:
        return max(self.last - self.first + 1, 0) - self.stored - self.rejected


async def audit_producer(
    connection: Connection,
    producer_id: str,
    window: NumberWindow,
    complete_until: datetime | None,
    findings: Findings,
) -> None:
    """Audit the numbers of one producer that belong to the window.

    complete_until: the end of the window's hours that must be complete; None: there are none.
    """
    said = await fetch_one(connection, "audit/producer", producer_id=producer_id)
    first, last = await _bounds(connection, producer_id, said, window)
    reports = said["last_seen"] is not None
    last_said = said["last_seq"] if reports else last
    # Numbers above what it said last are those it gave since; the ones that lack there may still come.
    known = await _tally(connection, producer_id, first, min(last, last_said))
    since = await _tally(connection, producer_id, max(first, last_said + 1), last)
    lost = await _lost(connection, producer_id, said, known, last) if known.absent else 0
    producer = AuditedProducer(
        producer_id=producer_id,
        first_seq=first,
        last_seq=max(last, first - 1),
        stored=known.stored + since.stored,
        rejected=known.rejected + since.rejected,
        spooled=known.absent - lost + since.absent,
        lost=lost,
        repeated=known.repeated + since.repeated,
        pruned=known.pruned + since.pruned,
        open_exchanges=said["open_exchanges"] or 0,
        lost_rows=said["lost_rows"] or 0,
        complete_until=said["complete_until"],
        last_seen=said["last_seen"],
        stopped=bool(said["stopped"]),
        retired=bool(said["retired"]),
        name=said["name"],
        version=said["version"],
    )
    findings.add_producer(producer)
    await _note_lost(connection, producer, known, findings)
    if producer.repeated:
        ranges = await _ranges(connection, "audit/repeated", producer_id, first, producer.last_seq)
        findings.differ(Finding.REPEATED_NUMBERS, _subjects(producer, ranges), producer.repeated)
    _note_what_it_said(producer, complete_until, findings)


async def _bounds(
    connection: Connection, producer_id: str, said: asyncpg.Record, window: NumberWindow
) -> tuple[int, int]:
    """Return the first and the last number that belong to the window."""
    highest: int = said["highest"]
    top = max(highest, said["last_seq"] or 0)

    async def begin(moment: datetime) -> int:
        """Return the first number from a moment on."""
        lowest = await fetch_value(connection, "audit/lowest_number", producer_id=producer_id, moment=moment)
        if lowest is None:
            return (top if said["last_seen"] is None or said["last_seen"] < moment else highest) + 1
        before = await fetch_value(connection, "audit/number_before", producer_id=producer_id, number=lowest)
        assert isinstance(before, int)
        return before + 1

    first = 1 if window.start is None else await begin(window.start)
    last = top if window.end is None else await begin(window.end) - 1
    return first, last


async def _tally(connection: Connection, producer_id: str, first: int, last: int) -> _Tally:
    stored = rejected = repeated = pruned = 0
    after = first - 1
    while after < last:
        row = await fetch_one(
            connection,
            "audit/numbers",
            producer_id=producer_id,
            after=after,
            up_to=last,
            limit=STRETCH_EVENTS,
        )
        stored += row["stored"]
        rejected += row["present"] - row["stored"]
        repeated += row["repeated"]
        pruned += row["pruned"]
        after = row["stretch_end"]
    return _Tally(first, last, stored, rejected, repeated, pruned)


async def _lost(
    connection: Connection, producer_id: str, said: asyncpg.Record, known: _Tally, last: int
) -> int:
    """Say how many of the absent numbers are lost.

    A spool sends its oldest event first, so it still holds the highest numbers. Absent numbers beyond as many
    as it holds are lost.
    """
    if said["last_seen"] is None or said["retired"]:
        return known.absent
    later = await _tally(connection, producer_id, last + 1, said["last_seq"])
    still_here: int = max(said["spooled_events"] - later.absent, 0)
    return max(known.absent - still_here, 0)


async def _note_lost(
    connection: Connection, producer: AuditedProducer, known: _Tally, findings: Findings
) -> None:
    if not producer.lost:
        return
    ranges = await _ranges(connection, "audit/gaps", producer.producer_id, known.first, known.last)
    kind = Finding.UNEXPLAINED_GAP if producer.last_seen is None else Finding.LOST_EVENTS
    findings.differ(kind, _subjects(producer, _first_numbers(ranges, producer.lost)), producer.lost)


async def _ranges(
    connection: Connection, name: str, producer_id: str, first: int, last: int
) -> list[tuple[int, int]]:
    rows = await fetch(
        connection, name, producer_id=producer_id, after=first - 1, up_to=last, limit=DIFFERENCES_MAX
    )
    return [(int(row["first"]), int(row["last"])) for row in rows]


def _first_numbers(ranges: Sequence[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """Cut ranges down to so many numbers."""
    cut = []
    for first, last in ranges:
        if count <= 0:
            break
        cut.append((first, min(last, first + count - 1)))
        count -= last - first + 1
    return cut


def _subjects(producer: AuditedProducer, ranges: Sequence[tuple[int, int]]) -> list[tuple[str, str]]:
    return [
        (producer.subject, f"number {first}" if first == last else f"numbers {first} to {last}")
        for first, last in ranges
    ]


def _note_what_it_said(
    producer: AuditedProducer, complete_until: datetime | None, findings: Findings
) -> None:
    subject = producer.subject
    if producer.lost_rows:
        detail = f"its spool can't read {counted(producer.lost_rows, 'event')} any more"
        findings.differ(Finding.LOST_SPOOL_ROWS, [(subject, detail)], producer.lost_rows)
    if complete_until is None or producer.last_seen is None or producer.stopped or producer.retired:
        return
    if producer.complete_until is None or producer.complete_until < complete_until:
        said = "never said" if producer.complete_until is None else utc_text(producer.complete_until)
        detail = f"complete until {said}, last heard of {utc_text(producer.last_seen)}"
        findings.differ(Finding.INCOMPLETE_PRODUCER, [(subject, detail)])
