"""How it is shown which files archives have."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict

from phoebe_runtime.counts import counted
from rater_service.archive.listing import ListedFile
from rater_service.hours import utc_text
from rater_service.views.documents import Kind
from rater_service.views.terminal import write, write_table


class ArchivedFileJson(TypedDict):
    """A file of an archive. rows: events, or rows of the books of a year. bytes: its size."""

    archive: str
    name: str
    kind: str
    year: int | None
    rows: int
    bytes: int
    sha256: str
    first_event_time: datetime | None
    last_event_time: datetime | None
    archived_at: datetime
    archived_by: str


class ArchiveJson(TypedDict):
    """The files of archives."""

    files: Sequence[ArchivedFileJson]


ARCHIVE = Kind("archive", ArchiveJson)


def archive_json(files: Sequence[ListedFile]) -> ArchiveJson:
    """Return what is written of files as JSON."""
    return {"files": [_file_json(file) for file in files]}


def _file_json(file: ListedFile) -> ArchivedFileJson:
    return {
        "archive": file.archive,
        "name": file.name,
        "kind": file.kind,
        "year": file.year,
        "rows": file.row_count,
        "bytes": file.size,
        "sha256": file.sha256,
        "first_event_time": file.first_event_time,
        "last_event_time": file.last_event_time,
        "archived_at": file.archived_at,
        "archived_by": file.archived_by,
    }


def show_archive(files: Sequence[ListedFile]) -> None:
    """Show the files, and how large they are."""
    if not files:
        write("nothing was archived; see `phoebe prune --archive` and `phoebe archive books`")
        return
    write_table(
        counted(len(files), "file"),
        ("archive", "file", "rows", "bytes", "bytes a row", "first", "last"),
        (
            (
                file.archive,
                file.name,
                file.row_count,
                file.size,
                file.size // file.row_count if file.row_count else None,
                None if file.first_event_time is None else utc_text(file.first_event_time),
                None if file.last_event_time is None else utc_text(file.last_event_time),
            )
            for file in files
        ),
    )
