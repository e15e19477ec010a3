"""The installation that the documented commands are run in: a database with a bill, and a toy engine."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from uuid import uuid4

from rater_service.database.database import open_pool
from rater_service.database.schema import migrate
from rater_service.events.partitions import make_partitions
from rater_service.events.producer_status import StatusRow
from rater_service.events.store import store_events
from rater_service.hours import utc_text
from rig.postgres import execute
from rig.processes import start
from rig.programs import PROJECT, environment_of_parts, module
from tests.harness.ledger import ONE_HOUR, Ledger
from tests.harness.old_events import timed_event
from tests.harness.own_postgres import binaries_of
from tests.harness.postgres import embedded_server

WEEK = timedelta(days=7)
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
PRODUCER = "0190f3a2-7d1e-7000-8000-000000000001"


@dataclass(frozen=True, slots=True)
class Installation:
    """server: URL of the PostgreSQL server; programs: where its programs are. variables: for comments."""

    server: str
    programs: Path
    engine_port: int
    variables: Mapping[str, str]

    @contextmanager
    def database(self) -> Iterator[str]:
        """Give the URL of a copy of the database; it is there as long as the context lasts."""
        name = f"page_{uuid4().hex}"
        asyncio.run(execute(self.server, f"CREATE DATABASE {name} TEMPLATE documented STRATEGY FILE_COPY"))
        try:
            yield _url_of(self.server, name)
        finally:
            asyncio.run(execute(self.server, f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def installation(folder: Path) -> Iterator[Installation]:
    """Start the server and the engine, and make the bill; both end with the context."""
    engine = start(
        "engine",
        module("demo.engine"),
        folder / "engine.log",
        folder=PROJECT,
        environment=environment_of_parts({}),
    )
    try:
        with embedded_server() as server:
            variables = asyncio.run(_fill(server))
            port = int(engine.wait_until_says(r"running on http://127\.0\.0\.1:(\d+)"))
            yield Installation(server, binaries_of(server), port, variables)
    finally:
        engine.kill()


async def _fill(server: str) -> dict[str, str]:
    """Make the database `documented`: two weeks that are over, rated, and a rejected event."""
    url = _url_of(server, "documented")
    await execute(server, "CREATE DATABASE documented")
    await migrate(url)
    now = datetime.now(UTC)
    monday = (now - timedelta(days=now.weekday()) - 3 * WEEK).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    numbers = count(1)
    names = {"producer_id": PRODUCER, "resource_id": "llama-blue", "model_id": LLAMA}
    events = [
        timed_event(
            monday + day * timedelta(days=1) + timedelta(hours=day % 24),
            next(numbers),
            **names,
            auth_id=customer,
            user_id="ada@example.org",
            client_request_id="4711",
            prompt_tokens=1000 + day,
            cached_tokens=400,
            completion_tokens=500,
        )
        for day in range(14)
        for customer in ("acme", "globex")
    ]
    refused = timed_event(monday + WEEK, next(numbers), **names, outcome="no such outcome")
    async with open_pool(url) as pool:
        async with pool.acquire() as connection:
            await make_partitions(connection, monday)
        ledger = Ledger(pool)
        await ledger.load((PROJECT / "prices" / "example.yaml").read_bytes(), monday - ONE_HOUR)
        status = StatusRow(PRODUCER, len(events) + 1, 0, 0, now, stopped=True, lost_rows=0)
        # A run knows surely what was stored a while before it.
        await store_events(pool, [*events, refused], now - ONE_HOUR, status)
        await ledger.rate(monday, monday + 2 * WEEK, now=datetime.now(UTC))
        rollup = await pool.fetchval("SELECT min(id) FROM rated_usage")
        book = await pool.fetchval("SELECT left(min(content_hash), 12) FROM price_book")
        rejected = await pool.fetchval("SELECT min(id) FROM rejected_event")
    iso = monday.isocalendar()
    return {
        "PRODUCER": PRODUCER,
        "REQUEST": events[0].request_id,
        "BOOK": book,
        "ROLLUP": str(rollup),
        "REJECTED": str(rejected),
        "DATE": f"{monday:%Y-%m-%d}",
        "DAY": utc_text(monday),
        "NEXT_DATE": f"{monday + timedelta(days=1):%Y-%m-%d}",
        "NEXT_DAY": utc_text(monday + timedelta(days=1)),
        "OLD": utc_text(monday + WEEK),
        "MONTH": f"{monday:%Y-%m}",
        "PARTITION": f"billing_event_{iso.year}w{iso.week:02}",
        "INSTALLATION": str(uuid4()),
    }


def _url_of(server: str, database: str) -> str:
    return server.replace("/postgres?", f"/{database}?")
