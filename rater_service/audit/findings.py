"""What an audit finds: counts, and differences with what to do about them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from rater_service.events.proxy_names import proxy_in_words
from rater_service.hours import LATE_MAX

# Of each kind: enough to see what is going on; the counts tell how bad it is.
DIFFERENCES_MAX = 10
PRODUCERS_MAX = 100


class Finding(StrEnum):
    """Kinds of differences."""

    LOST_EVENTS = "LOST_EVENTS"
    UNEXPLAINED_GAP = "UNEXPLAINED_GAP"
    REPEATED_NUMBERS = "REPEATED_NUMBERS"
    LOST_SPOOL_ROWS = "LOST_SPOOL_ROWS"
    INCOMPLETE_PRODUCER = "INCOMPLETE_PRODUCER"
    REPEATED_ID = "REPEATED_ID"
    PART_WITHOUT_EVENT = "PART_WITHOUT_EVENT"
    PARTS_DIFFER = "PARTS_DIFFER"
    SUMS_DIFFER = "SUMS_DIFFER"
    COST_NOT_EXPLAINED = "COST_NOT_EXPLAINED"
    ROLLUP_WITHOUT_EVENTS = "ROLLUP_WITHOUT_EVENTS"
    ROLLUP_DIFFERS_FROM_EVENTS = "ROLLUP_DIFFERS_FROM_EVENTS"
    ROLLUP_WITHOUT_RUN = "ROLLUP_WITHOUT_RUN"
    ROLLUP_MISSING = "ROLLUP_MISSING"
    DAY_SUMS_DIFFER = "DAY_SUMS_DIFFER"
    RUN_DIFFERS_FROM_ROLLUPS = "RUN_DIFFERS_FROM_ROLLUPS"
    ARCHIVE_DIFFERS = "ARCHIVE_DIFFERS"
    LATE_USAGE = "LATE_USAGE"
    OUT_OF_TIME = "OUT_OF_TIME"


_RATE_AGAIN = "rate the hour again; phoebe rate --dry-run --since … --until … shows what would change"
_TAMPERED = "something other than Phoebe wrote to the tables: compare with a backup, then rate again"
_PARTS = (
    "an addon writes the events of an exchange at once: look whether one was refused (phoebe rejected "
    "list), or whether something other than Phoebe wrote to the tables"
)
ADVICE = {
    Finding.LOST_EVENTS: "look for the spool folder of this producer: a copy or backup of it can be sent "
    "again; otherwise these exchanges will never be billed",
    Finding.UNEXPLAINED_GAP: "the producer sends no status, so its spool may still hold these: look "
    "there, and renew the addon",
    Finding.REPEATED_NUMBERS: "two spools have one producer id, one of them a copy or a restored backup: "
    "give one a new folder; a loss among these numbers would not show",
    Finding.LOST_SPOOL_ROWS: "the spool's file was damaged: replace the disk; the addon's log has the rows",
    Finding.INCOMPLETE_PRODUCER: "look whether the addon runs and reaches the rater; if it never comes back: "
    "phoebe producers retire ID",
    Finding.REPEATED_ID: "the exchange is billed once for each of these producers: look which of them is a "
    "copy, delete its event from stored_event, phoebe sums rebuild over the hour, and rate it again",
    Finding.PART_WITHOUT_EVENT: _PARTS,
    Finding.PARTS_DIFFER: _PARTS,
    Finding.SUMS_DIFFER: "something other than Phoebe wrote to the tables: phoebe sums rebuild --since … "
    "--until … makes the hourly sums again from the events; then rate the hour again",
    Finding.COST_NOT_EXPLAINED: _TAMPERED,
    Finding.ROLLUP_WITHOUT_EVENTS: _TAMPERED,
    Finding.ROLLUP_DIFFERS_FROM_EVENTS: _RATE_AGAIN,
    Finding.ROLLUP_WITHOUT_RUN: _TAMPERED,
    Finding.ROLLUP_MISSING: _RATE_AGAIN,
    Finding.DAY_SUMS_DIFFER: "the console shows wrong sums; bills are right: phoebe sums rebuild-days",
    Finding.RUN_DIFFERS_FROM_ROLLUPS: _TAMPERED,
    Finding.ARCHIVE_DIFFERS: "put the file back from a copy; of an archive that stands elsewhere now: phoebe "
    "archive move; until then its events are known by their sums only",
    Finding.LATE_USAGE: f"rate the hour; a routine run does so by itself up to {LATE_MAX.days} days back",
    Finding.OUT_OF_TIME: "set the clock of that machine right, by NTP; an hour is rated by itself once it "
    "has come, and to bill one as it is: phoebe rate --since … --until … (--ahead if it has not come)",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that was found wrong. subject: which one; detail: what was found and what was expected."""

    kind: Finding
    subject: str
    detail: str

    @property
    def advice(self) -> str:
        """What to do about it."""
        return ADVICE[self.kind]


@dataclass(frozen=True, slots=True)
class AuditedProducer:
    """The numbers of one producer that belong to the window: first_seq to last_seq.

    last_seq - first_seq + 1 = stored + rejected + spooled + lost. stored: numbers of stored events, of which
    pruned: those of events that were dropped since; rejected: of events that are only kept aside; spooled:
    not here, and still in its spool by its last word or given since; lost: not here and not in its spool, or,
    for one that sends no status (last_seen is None), just not here. repeated: numbers that several events
    have. The other fields are what it said last.
    """

    producer_id: str
    first_seq: int
    last_seq: int
    stored: int
    rejected: int
    spooled: int
    lost: int
    repeated: int
    open_exchanges: int = 0
    lost_rows: int = 0
    complete_until: datetime | None = None
    last_seen: datetime | None = None
    stopped: bool = False
    retired: bool = False
    pruned: int = 0
    name: str | None = None
    version: str | None = None

    @property
    def subject(self) -> str:
        """Who it is, in words."""
        return proxy_in_words(self.producer_id, self.name)


@dataclass(slots=True)
class Findings:
    """What has been found so far. Bounded: of everything that can be many, the first or worst, and the count.

    part_events: parts of exchanges, which are among the events; the others are one for each exchange.
    late_events: came after the last run over their hour, which a routine run will rate again. unrated_hours:
    complete hours with events that no run has rated. pruned_events: dropped since they were stored, together
    with those of the window; there, sums of theirs are compared, which stay. archived_events: dropped as
    well, and read in the archive.
    """

    events: int = 0
    unnumbered_events: int = 0
    part_events: int = 0
    rollups: int = 0
    billed_events: int = 0
    total_cost: Decimal = Decimal(0)
    runs: int = 0
    late_events: int = 0
    unrated_hours: int = 0
    pruned_events: int = 0
    archived_events: int = 0
    producer_count: int = 0
    producers: list[AuditedProducer] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    difference_counts: dict[Finding, int] = field(default_factory=dict)

    def differ(self, kind: Finding, examples: Iterable[tuple[str, str]], count: int | None = None) -> None:
        """Note differences of a kind: the first as (subject, detail), and how many there are in all."""
        found = list(examples)
        noted = sum(difference.kind is kind for difference in self.differences)
        self.differences += [Difference(kind, *example) for example in found[: DIFFERENCES_MAX - noted]]
        counted = len(found) if count is None else count
        self.difference_counts[kind] = self.difference_counts.get(kind, 0) + counted

    def add_producer(self, producer: AuditedProducer) -> None:
        """Note a producer; of more than are kept, those that lost most are."""
        self.producer_count += 1
        self.producers.append(producer)
        if len(self.producers) > PRODUCERS_MAX:
            self.producers.remove(min(self.producers, key=lambda known: (known.lost, known.repeated)))


@dataclass(frozen=True, slots=True)
class AuditResult:
    """What was checked, [window_start, window_end), UTC-aware (None: there was nothing), and what was found.

    audited_at: when the snapshot was taken, by the database's clock; of a standby the moment until which it
    has everything.
    """

    audited_at: datetime
    window_start: datetime | None
    window_end: datetime | None
    findings: Findings

    @property
    def proven(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings.difference_counts
