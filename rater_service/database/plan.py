"""What a migration is going to do: which revisions, which locks, and about how long others wait for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from phoebe_runtime.durations import in_words
from rater_service.database.database import Connection
from rater_service.database.revisions import Revision
from rater_service.statements import bound

# As slow as the slowest disks that anybody has complained of; what is said is never too short by much.
READ_ROWS_A_SECOND = 200_000
PREPARE_ROWS_A_SECOND = 50_000
# A change of the catalog alone, which has to be written to disk as every commit.
LOCKED_AT_LEAST = timedelta(seconds=0.1)


class Lock(StrEnum):
    """A lock that a revision takes on a table that is there already, by PostgreSQL's name for it."""

    SHARE = "SHARE"
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"
    EXCLUSIVE = "EXCLUSIVE"
    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"

    @property
    def who_waits(self) -> str:
        """Who waits while it is held."""
        return "all who use it" if self is Lock.ACCESS_EXCLUSIVE else "all who write to it"


@dataclass(frozen=True, slots=True)
class PlannedLock:
    """A lock of a revision. rows, size_bytes: of the table, as far as it is known without counting.

    is_read: all of its rows are read while the lock is held, as for an index.
    """

    table: str
    lock: Lock
    rows: int
    size_bytes: int
    is_read: bool


@dataclass(frozen=True, slots=True)
class PlannedRevision:
    """A revision that is to come. locked: about how long its locks are held.

    prepared: about how long it works beforehand, in steps that nobody waits for; None: it does not.
    """

    revision: Revision
    locks: tuple[PlannedLock, ...]
    locked: timedelta
    prepared: timedelta | None

    def describe(self) -> str:
        """Say in one line what it locks, and for how long."""
        parts = [
            f"locks {lock.table} ({lock.lock}: {lock.lock.who_waits} wait, {about(self.locked)})"
            for lock in self.locks
        ] or ["locks nothing that anybody waits for"]
        if self.prepared is not None:
            parts.insert(0, f"first works {about(self.prepared)} on what nobody waits for")
        return "; ".join(parts)


async def plan_revisions(connection: Connection, revisions: Sequence[Revision]) -> list[PlannedRevision]:
    """Find out what revisions that follow each other will do to the tables as they are now."""
    rows = await connection.fetch(*bound("database/table_sizes"))
    sizes = {row["name"]: (row["rows"], row["bytes"]) for row in rows}
    coming = []
    for revision in revisions:
        coming.append(planned(revision, sizes))
        # Those that follow know the table by its later name.
        sizes = {revision.renames.get(table, table): size for table, size in sizes.items()}
    return coming


def planned(revision: Revision, sizes: Mapping[str, tuple[int, int]]) -> PlannedRevision:
    """Say what a revision will do to tables of these rows and bytes; a table that is not there has none."""

    def rows_of(table: str) -> int:
        return sizes.get(table, (0, 0))[0]

    read_rows = sum(map(rows_of, revision.reads))
    return PlannedRevision(
        revision,
        tuple(
            PlannedLock(table, Lock(lock), *sizes[table], is_read=table in revision.reads)
            for table, lock in sorted(revision.locks.items())
            # On an empty database all tables are new.
            if table in sizes
        ),
        LOCKED_AT_LEAST + timedelta(seconds=read_rows / READ_ROWS_A_SECOND),
        timedelta(seconds=sum(map(rows_of, revision.prepares)) / PREPARE_ROWS_A_SECOND)
        if revision.prepare
        else None,
    )


def about(span: timedelta) -> str:
    """Say an estimate in words."""
    return "under a second" if span < timedelta(seconds=1) else f"about {in_words(span)}"
