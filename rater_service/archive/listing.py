"""Lists the files of archives, checks them, and says that an archive stands elsewhere now."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from rater_service.archive.files import FileState
from rater_service.database.database import Pool
from rater_service.errors import OperatorError
from rater_service.statements import bound

if TYPE_CHECKING:
    from rater_service.archive.place import Place

type OnProgress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file of an archive; times are UTC-aware. year: of books.

    first_event_time, last_event_time: of events. row_count: how many events, sums or other rows it has.
    """

    id: int
    kind: str
    year: int | None
    archive: str
    name: str
    sha256: str
    size: int
    next_sha256: str | None
    next_size: int | None
    row_count: int
    archived_at: datetime
    archived_by: str
    first_event_time: datetime | None
    last_event_time: datetime | None

    def may_be(self, found: FileState) -> bool:
        """Tell whether it is what was archived, or what an erasure put in its place."""
        return (found.sha256, found.size) in {
            (self.sha256, self.size),
            (self.next_sha256, self.next_size),
        }


async def list_archived(pool: Pool) -> Sequence[ListedFile]:
    """Read all files of archives."""
    return [ListedFile(**row) for row in await pool.fetch(*bound("archive/all_files"))]


async def move_archive(pool: Pool, old: str, new: str, on_progress: OnProgress) -> Sequence[ListedFile]:
    """Say that an archive stands elsewhere now, once each of its files was read there.

    Returns the files. Raises OperatorError if there is no such archive, or a file is not there as it should
    be; then nothing is changed.
    """
    from rater_service.archive.place import place_of  # noqa: PLC0415 - an optional extra

    place = await asyncio.to_thread(place_of, new)
    url = old if old.startswith("s3:") else (await asyncio.to_thread(place_of, old)).url
    files = [file for file in await list_archived(pool) if file.archive in {old, url.rstrip("/")}]
    if not files:
        known = sorted({file.archive for file in await list_archived(pool)})
        raise OperatorError(f"nothing was archived in {old}; there is {', '.join(known) or 'no archive'}")
    for number, file in enumerate(files):
        on_progress(f"reading file {number + 1} of {len(files)}: {file.name}")
        await asyncio.to_thread(_require, place, file)
    ids = [file.id for file in files]
    await pool.execute(*bound("archive/move_files", ids=ids, archive=place.url))
    return files


def _require(place: "Place", file: ListedFile) -> None:
    from rater_service.archive.place import state_of  # noqa: PLC0415 - an optional extra

    if not file.may_be(state_of(place, file.name)):
        raise OperatorError(
            f"{file.name} of {place.url} is not the file that was archived: copy it again; nothing was "
            "changed"
        )
