"""Distributes a migrated database over the servers of a Citus cluster."""

from collections.abc import Callable

from rater_service.database.database import Connection, Pool
from rater_service.database.long_statements import STATEMENT_TIMEOUT_S
from rater_service.errors import OperatorError
from rater_service.events.slots import merge_hours, warm_all_hours
from rater_service.statements import bound, source, statement

WITHOUT_PRODUCER_MAX = 1_000
_TELL_OF_WORKERS = "tell the coordinator of the workers: SELECT citus_add_node('HOST', PORT)"
_SLOT = "0::smallint AS slot"
_KEY = "GROUP BY 1, 2, 3, 4, 5, 6, 7, 8"

type Tell = Callable[[str], None]


async def distribute(pool: Pool, tell: Tell) -> bool:
    """Distribute events and sums by producer, in one transaction; return whether there was anything to do.

    The services must be stopped: sessions that are open go on as with a database that is not distributed. All
    events are copied to the workers. Raises OperatorError where the database is not the coordinator of a
    cluster with workers, and where events have no producer.
    """
    async with pool.acquire() as connection:
        if await _is_distributed(connection):
            return False
        await _refuse_events_without_producer(connection)
    tell("merging the sums of all hours")
    await merge_hours(pool, None)
    tell("copying events and sums to the workers; nothing can be stored meanwhile")
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE stored_event, hourly_usage IN ACCESS EXCLUSIVE MODE")
        await warm_all_hours(connection)
        functions = {
            "of_events": await _by_producer(connection, "hourly_usage_of_events(timestamptz, timestamptz)"),
            "of_ids": await _by_producer(connection, "hourly_usage_of_ids(uuid[])"),
        }
        await connection.execute(source("distributed/distribute"), timeout=STATEMENT_TIMEOUT_S)
        await connection.execute(statement("distributed/sums_of_events", **functions).text)
    return True


async def _is_distributed(connection: Connection) -> bool:
    """Tell whether it is done already. Raises OperatorError where it can't be done."""
    if not await connection.fetchval("SELECT to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL"):
        raise OperatorError(
            "this database has no Citus: install it on all servers, run CREATE EXTENSION citus in this "
            f"database on each of them, and {_TELL_OF_WORKERS}"
        )
    cluster = await connection.fetchrow(*bound("distributed/cluster"))
    assert cluster is not None
    if not cluster["is_coordinator"]:
        raise OperatorError(
            "this server is a worker of a Citus cluster: DATABASE_URL must name the coordinator"
        )
    if not cluster["workers"]:
        raise OperatorError(f"the Citus cluster has no worker: {_TELL_OF_WORKERS}")
    return bool(cluster["is_distributed"])


async def _refuse_events_without_producer(connection: Connection) -> None:
    events = await connection.fetchval(
        *bound("distributed/without_producer", limit=WITHOUT_PRODUCER_MAX), timeout=STATEMENT_TIMEOUT_S
    )
    if events:
        count = f"{events} or more" if events == WITHOUT_PRODUCER_MAX else str(events)
        raise OperatorError(
            f"events without a producer_id, by which events are distributed: {count}; nothing was changed. "
            "Give them one, of your choice, in stored_event, or prune them"
        )


async def _by_producer(connection: Connection, function: str) -> str:
    """Give the statement of a function that makes sums of events, by producer as well."""
    text: str | None = await connection.fetchval(*bound("distributed/sums_source", function=function))
    assert text is not None
    assert (text.count(_SLOT), text.count(_KEY)) == (1, 1)
    with_producer = text.replace(_SLOT, f"{_SLOT}, producer_id").replace(_KEY, f"{_KEY}, producer_id")
    return with_producer.strip()
