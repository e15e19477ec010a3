"""Which files of events there are, as the database knows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from rater_service.database.database import Connection, Pool
from rater_service.statements import bound


@dataclass(frozen=True, slots=True)
class FileState:
    """What is in a file: the SHA-256 in hexadecimal, and how many bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class ArchivedEvents:
    """A file of events that was just written: the URL of its archive, its name, what is in it."""

    archive: str
    name: str
    state: FileState
    event_count: int

    @property
    def path(self) -> str:
        """Where it is, for people."""
        return f"{self.archive}/{self.name}"

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file, in hexadecimal."""
        return self.state.sha256


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A file of events that were dropped; times are UTC-aware.

    archive: the URL of its place. next_sha256, next_size: of the file that takes its place, while that is
    being done; otherwise None. range_id: what `pruned_event_range` knows of the events. The ids of a
    partition are from lower_id up to, but not, upper_id; of the default one both are None. [window_start,
    window_end): the whole hours that hold all of its events.
    """

    id: int
    archive: str
    name: str
    sha256: str
    size: int
    next_sha256: str | None
    next_size: int | None
    archived_at: datetime
    archived_by: str
    range_id: int
    partition_name: str
    lower_id: UUID | None
    upper_id: UUID | None
    event_count: int
    first_event_time: datetime
    last_event_time: datetime
    window_start: datetime
    window_end: datetime
    pruned_at: datetime

    @property
    def states(self) -> tuple[FileState, ...]:
        """What may be in the file."""
        now = FileState(self.sha256, self.size)
        if self.next_sha256 is None or self.next_size is None:
            return (now,)
        return now, FileState(self.next_sha256, self.next_size)

    @property
    def place_text(self) -> str:
        """Where it is, for people."""
        return f"{self.archive}/{self.name}"


@dataclass(frozen=True, slots=True)
class ErasedFiles:
    """How many archived events have something of a person, or had, and the files that they are in."""

    events: int = 0
    files: tuple[str, ...] = ()


NO_FILES = ErasedFiles()


async def list_exports(pool: Pool) -> Sequence[str]:
    """Read to which files events were exported, of which nothing more is known."""
    return [row["export_path"] for row in await pool.fetch(*bound("archive/exports"))]


async def list_files(
    connection: Connection,
    start: datetime | None = None,
    end: datetime | None = None,
    request_id: UUID | None = None,
) -> Sequence[ArchivedFile]:
    """Read which files have events of the hours [start, end), and could have one with an id; None: any."""
    rows = await connection.fetch(
        *bound("archive/files", window_start=start, window_end=end, request_id=request_id)
    )
    return [ArchivedFile(**row) for row in rows]


async def is_name_taken(connection: Connection, archive: str, name: str) -> bool:
    """Tell whether a file of an archive has a name."""
    return bool(await connection.fetchval(*bound("archive/name_taken", archive=archive, name=name)))


async def record_file(
    connection: Connection, range_id: object, file: ArchivedEvents, archived_by: str, now: datetime
) -> None:
    """Keep where the events of a range are that is dropped in the same transaction."""
    await connection.execute(
        *bound(
            "archive/record_file",
            range_id=range_id,
            archive=file.archive,
            name=file.name,
            sha256=file.state.sha256,
            size=file.state.size,
            archived_by=archived_by,
            archived_at=now,
        )
    )


async def unarchived_since(connection: Connection, hour: datetime) -> datetime | None:
    """Say when events of an hour were dropped last that are not in the archive; None: there are none."""
    moment: datetime | None = await connection.fetchval(*bound("archive/unarchived", hour=hour))
    return moment
