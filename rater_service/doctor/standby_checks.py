"""Checks of a standby that bills are read from: that it follows the primary, and how far it is behind."""

from collections.abc import Sequence
from datetime import timedelta

from rater_service.database.database import OPERATOR_ERRORS, explained_connection_errors
from rater_service.database.freshness import READ_DATABASE_URL, PrimaryMark, read_freshness, read_mark
from rater_service.database.schema import known_revisions, read_fitting_schema
from rater_service.database.sessions import ReadOnlySession, connect
from rater_service.doctor.access import Access
from rater_service.doctor.findings import Finding, ok, warning

BEHIND_WARNED = timedelta(minutes=1)
"""Streaming takes milliseconds; a standby that lets long reads finish is behind for as long."""


async def check_standby(access: Access) -> Sequence[Finding]:
    """Say whether it is a standby of this database, and how far it is behind."""
    url = access.targets.read_database_url
    assert url is not None
    mark = await _mark(access)
    with explained_connection_errors(READ_DATABASE_URL):
        session = await connect(
            url, writes=False, variable=READ_DATABASE_URL, connection_class=ReadOnlySession
        )
    try:
        freshness = await read_freshness(session, mark)
        await read_fitting_schema(session, known_revisions())
    finally:
        await session.close()
    if not freshness.is_standby:
        return [warning(freshness.in_words(), "name a standby, or leave it out")]
    if freshness.behind > BEHIND_WARNED:
        return [
            warning(
                freshness.in_words(),
                "see whether it replays (pg_is_wal_replay_paused, pg_stat_replication of the primary), and "
                "whether long reads hold it up (max_standby_streaming_delay)",
            )
        ]
    unproven = "" if mark else "; whether it follows the primary is not known, as that can't be asked"
    return [ok(freshness.in_words() + unproven)]


async def _mark(access: Access) -> PrimaryMark | None:
    if access.pool is None:
        return None
    try:
        async with access.pool.acquire() as connection:
            return await read_mark(connection)
    except OPERATOR_ERRORS:
        return None  # database.connection says why
