"""A year of events goes to the archive: a rollup of its first day is explained, and all of it is audited.

What it measures is in docs/archive.md: bytes an event, and how long things take.
"""

import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.database.database import Pool
from rater_service.events.partitions import make_partitions
from rater_service.events.patterns import Patterns
from rater_service.events.producer_status import StatusRow
from rater_service.events.store import Fate, store_events
from rater_service.rating.rating import rate_window
from rater_service.rating.run import Mode, RateRequest
from rater_service.views.terminal import write
from rater_service.wire_time import to_timestamp as timestamp
from tests.harness.archives import Capture, answers, phoebe, said
from tests.harness.ledger import Ledger, make_event
from tests.harness.old_events import timed_id

pytestmark = [pytest.mark.scale, pytest.mark.one_postgres]

EVENTS = 36_500
HOURS = (9,)  # of each day: an audit takes its time for each hour that has events
YEAR = datetime(2025, 1, 1, tzinfo=UTC)
END = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BATCH_EVENTS = 100
MODELS = ("meta/base-a", "meta/base-b", "ft:declared", "ft:own", "free/free")


async def test_a_year_is_archived_explained_and_audited(
    ledger: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    pool, took = ledger.pool, Took()
    await ledger.load(at=YEAR - DAY)
    async with pool.acquire() as connection:
        await make_partitions(connection, END, YEAR)
    await store_year(pool)
    took.note("storing")
    for month in range(12):
        start = datetime(2025, month + 1, 1, tzinfo=UTC)
        end = END if month == 11 else datetime(2025, month + 2, 1, tzinfo=UTC)
        await rate_window(pool, RateRequest(start, end, "a test", Mode.BACKFILL), END + 3 * DAY)
    took.note("rating")
    asked = await questions(pool)
    before = await answers(database_url, capsys, asked)
    took.note("asking before")
    _, audited = await said(database_url, capsys, "audit")
    assert audited["proven"]
    took.note("auditing before")

    archive = str(tmp_path / "archive")
    assert (
        await phoebe(database_url, "prune", "--before", "2026-01-05T00:00Z", "--archive", archive, "--yes")
        == 0
    )

    shown = capsys.readouterr().out
    took.note("pruning")
    assert f"dropped {EVENTS} events of 53 partitions" in shown
    assert await pool.fetchval("SELECT count(*) FROM stored_event") == 0
    after = await answers(database_url, capsys, asked)
    assert after == before
    took.note("asking after")
    _, audit = await said(database_url, capsys, "audit")
    assert (audit["proven"], audit["archived_events"], audit["pruned_events"]) == (True, EVENTS, 0)
    assert summary(audit) == summary(audited)
    took.note("auditing after")
    rollup = asked[0]
    assert (await said(database_url, capsys, *rollup))[1]["event_sums"]["pruned_at"] is None
    took.note("explaining one rollup of the first day")
    size = sum(path.stat().st_size for path in (tmp_path / "archive").rglob("*.parquet"))
    with capsys.disabled():
        write(f"{EVENTS} events, {size} bytes, {size / EVENTS:.1f} an event; {took}")
    # Small weeks compress worse than large ones.
    assert size / EVENTS < 110


def summary(audit: Any) -> dict[str, Any]:
    """Give what an audit counted, wherever it read the events."""
    left_out = {"audited_at", "archived_events", "producers", "pruned_events"}
    return {name: value for name, value in audit.items() if name not in left_out}


class Took:
    """How long steps took."""

    def __init__(self) -> None:
        self._since, self._steps = time.monotonic(), list[str]()

    def note(self, step: str) -> None:
        now = time.monotonic()
        self._steps.append(f"{step} {now - self._since:.1f} s")
        self._since = now

    def __str__(self) -> str:
        return ", ".join(self._steps)


async def store_year(pool: Pool) -> None:
    """Store events of all hours, as addons send them, and the word of their producer that it has no more."""
    drawn = random.Random(16)
    patterns = Patterns()
    for first in range(0, EVENTS, BATCH_EVENTS):
        numbers = range(first, first + BATCH_EVENTS)
        batch = [event_at(moment_of(number), number + 1, drawn) for number in numbers]
        ended = moment_of(numbers[-1]) + timedelta(seconds=2)
        results = await store_events(pool, batch, ended, patterns=patterns)
        assert {result.fate for result in results} == {Fate.STORED}
    said_last = StatusRow("spool-1", EVENTS, 0, 0, END + 2 * DAY, stopped=True, lost_rows=0)
    await store_events(pool, [], END + 2 * DAY, said_last)


def moment_of(number: int) -> datetime:
    """Say when the event with a number ends: they are spread evenly over the hours of all days."""
    place = number / EVENTS * 365 * len(HOURS)
    day, hour = divmod(int(place), len(HOURS))
    return YEAR + day * DAY + timedelta(hours=HOURS[hour], seconds=(place % 1) * 3590)


def event_at(at: datetime, number: int, drawn: random.Random) -> MeteringEvent:
    """Make an event of some customer, with numbers and times as engines have them."""
    prompt, completion = drawn.randrange(20, 4000), drawn.randrange(1, 1500)
    at = at.replace(microsecond=drawn.randrange(1_000_000))
    began = at - timedelta(microseconds=drawn.randrange(100_000, 20_000_000))
    first_byte = began + timedelta(microseconds=drawn.randrange(20_000, 90_000))
    request_id = timed_id(began.replace(microsecond=began.microsecond // 1000 * 1000), number)
    return make_event(
        at,
        request_id=request_id[:19] + f"8{drawn.randrange(16**3):03x}-{drawn.randrange(16**12):012x}",
        producer_seq=number,
        auth_id=f"customer-{drawn.randrange(20)}",
        resource_id=f"deployment-{drawn.randrange(3)}",
        model_id=drawn.choice(MODELS),
        user_id=f"user-{drawn.randrange(500)}",
        prompt_tokens=prompt,
        cached_tokens=prompt // 4 * drawn.randrange(2),
        completion_tokens=completion,
        streamed=bool(drawn.randrange(2)),
        finish_reason="stop",
        answer_bytes=completion * 7,
        start_time=timestamp(began),
        first_byte_time=timestamp(first_byte),
        usage_raw=f'{{"prompt_tokens":{prompt},"total_tokens":{prompt + completion},'
        f'"completion_tokens":{completion},"prompt_tokens_details":null}}',
    )


async def questions(pool: Pool) -> list[Sequence[str]]:
    """Ask of rollups of the first day and of others, of some events, and for the audit."""
    first = await pool.fetch("SELECT id FROM rated_usage ORDER BY window_start, id LIMIT 5")
    others = await pool.fetch("SELECT id FROM rated_usage WHERE id % 5000 = 7 ORDER BY id LIMIT 5")
    events = await pool.fetch("SELECT request_id FROM stored_event WHERE producer_seq % 5000 = 1")
    return [
        *(("explain", str(row["id"]), "--events") for row in (*first, *others)),
        *(("event", str(row["request_id"])) for row in events),
        ("events", "--since", "2025-01-01T00:00Z", "--until", "2025-01-03T00:00Z", "--user", "user-7"),
    ]
