"""The check of the archive: whether it can be read from here."""

import asyncio
from collections.abc import Sequence

from phoebe_runtime.counts import counted
from rater_service.archive.listing import ListedFile, list_archived
from rater_service.archive.reading import require_parquet
from rater_service.doctor.access import Access
from rater_service.doctor.findings import Finding, failed, ok, warning
from rater_service.errors import OperatorError


async def check_archive(access: Access) -> Sequence[Finding]:
    """Look for the newest file of each archive. Whether all are whole is what an audit says."""
    newest = {file.archive: file for file in sorted(await list_archived(access.database), key=_age)}
    if not newest:
        return [ok("nothing was archived")]
    return [await asyncio.to_thread(_look_for, file) for file in newest.values()]


def _age(file: ListedFile) -> int:
    return file.id


def _look_for(file: ListedFile) -> Finding:
    try:
        require_parquet()
        from rater_service.archive.place import place_of  # noqa: PLC0415 - an optional extra

        size = place_of(file.archive).size(file.name)
    except OperatorError as error:
        return warning(
            f"the archive {file.archive} can't be read from here: {error}",
            "until it can, events in it can't be explained or audited here: docs/archive.md#buckets",
        )
    if size is not None and size in {file.size, file.next_size}:
        return ok(f"the archive {file.archive} can be read from here")
    found = "is not there" if size is None else f"has {counted(size, 'byte')} instead of {file.size}"
    return failed(
        f"{file.name} of the archive {file.archive} {found}",
        "put it back from a copy; if the archive stands elsewhere now: `phoebe archive move`",
    )
