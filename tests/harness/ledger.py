"""What tests of rating work on: a database with prices, events to store, and windows to rate."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import cast
from uuid import UUID

import asyncpg

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.database.clock import Clock, ClockReading
from rater_service.database.database import Connection, Pool
from rater_service.events.hourly_usage import rebuild
from rater_service.events.store import Fate, store_events, store_rows
from rater_service.events.validation import EventRow, validate
from rater_service.hours import utc_text
from rater_service.money import decimal_text
from rater_service.prices.load import Loaded, load_price_file
from rater_service.prices.pricebook import Allowed
from rater_service.rating.rating import rate_window
from rater_service.rating.run import Mode, RateRequest, RateResult
from rater_service.wire_time import to_timestamp

HOUR = datetime(2026, 11, 20, 10, tzinfo=UTC)
"""The hour in which events end unless a test says otherwise."""
ONE_HOUR = timedelta(hours=1)
PRICES = b"""
version: 1
base_models:
  "meta/base-a": { prompt: "0.000000200", cached: "0.000000050", completion: "0.000000600" }
  "meta/base-b": { prompt: "0.000000400", cached: "0.000000100", completion: "0.000001200" }
  "tiny/nano": { prompt: "0.000000001", cached: "0", completion: "0" }
  "tiny/half": { prompt: "0.0000000005", cached: "0", completion: "0" }
  "free/free": { prompt: "0", cached: "0", completion: "0" }
fine_tune_premium: { policy: multiplier, factor: "1.5" }
fine_tunes:
  "ft:declared": { derived_from: "meta/base-a" }
  "ft:own": { rate: { prompt: "0.000000300", cached: "0.000000300", completion: "0.000000300" } }
"""

_made = 0


def make_event(at: datetime = HOUR, /, **fields: object) -> MeteringEvent:
    """Make a valid event with an id of its own; keyword arguments replace fields, None clears one.

    Without usage it has no token counts unless they are given.
    """
    global _made  # noqa: PLW0603 - ids must differ within a test run, and be the same in the next
    _made += 1
    usual: dict[str, object] = {
        "request_id": str(UUID(int=_made)),
        "producer_id": "spool-1",
        "producer_seq": _made,
        "auth_id": "alice",
        "resource_id": "deployment-1",
        "model_id": "meta/base-a",
        "api": "openai.chat",
        "usage_found": True,
        "outcome": "completed",
        "status_code": 200,
        "event_time": to_timestamp(at),
        "start_time": to_timestamp(at),
    }
    if fields.get("usage_found", True):
        usual |= {"prompt_tokens": 100, "cached_tokens": 20, "completion_tokens": 10}
    given = {name: value for name, value in (usual | fields).items() if value is not None}
    return MeteringEvent(**given)  # type: ignore[arg-type] # tests name the fields


class _Anything(frozenset[str]):
    """The names of all models: tests draw prices of any size."""

    def __contains__(self, _: object) -> bool:
        return True

    def __ror__(self, _: object) -> "_Anything":
        return self

    def __sub__(self, _: object) -> frozenset[str]:
        return frozenset()


ANYTHING = Allowed(_Anything(), _Anything())


def clock_at(moment: datetime) -> Clock:
    """Make a clock of the database that stands still."""

    async def clock(_: Connection) -> ClockReading:
        return ClockReading(moment, timedelta(0))

    return clock


@dataclass(frozen=True, slots=True)
class Ledger:
    """A database with price books, and what is done with it."""

    pool: Pool

    async def load(self, content: bytes = PRICES, at: datetime = HOUR - 24 * ONE_HOUR) -> Loaded:
        """Load a price file at a moment."""
        async with self.pool.acquire() as connection:
            return await load_price_file(connection, content, "prices.yaml", "a test", ANYTHING, clock_at(at))

    async def forget_prices(self) -> None:
        """Take away all price books and loadings, and bills that refer to them."""
        await self.force("TRUNCATE price_book CASCADE")

    async def store(self, *events: MeteringEvent) -> None:
        """Store events, all of them new."""
        results = await store_events(self.pool, events, HOUR)
        assert [result.fate for result in results] == [Fate.STORED] * len(events)

    async def rate(
        self,
        start: datetime = HOUR,
        end: datetime | None = None,
        *,
        now: datetime = HOUR + 2 * ONE_HOUR,
        mode: Mode = Mode.ROUTINE,
        dry_run: bool = False,
        reprice: bool = False,
        by: str = "a test",
    ) -> RateResult:
        """Rate a window, by default of one hour, and see that the run is kept as it answered."""
        request = RateRequest(start, end or start + ONE_HOUR, by, mode, dry_run, reprice)
        result = await rate_window(self.pool, request, now)
        assert await self.run(result.run_id) == answered(request, result, now)
        return result

    async def run(self, run_id: int) -> dict[str, object]:
        """Read all that is kept of a run."""
        row = await self.pool.fetchrow("SELECT * FROM rating_run WHERE id = $1", run_id)
        assert row is not None
        in_json = ("anomalies", "incomplete_producers", "unbilled_output_by_auth")
        return {name: json.loads(value) if name in in_json else value for name, value in row.items()}

    async def rollups(self) -> list[asyncpg.Record]:
        """Read all of rated_usage in its order."""
        return await self.pool.fetch(
            "SELECT * FROM rated_usage ORDER BY window_start, auth_id, resource_id, model_id"
        )

    async def changes(self) -> list[asyncpg.Record]:
        """Read all of rated_usage_change in the order in which runs made them."""
        return await self.pool.fetch("SELECT * FROM rated_usage_change ORDER BY id")

    async def correct(self, statement: str, *arguments: object) -> None:
        """Change events by hand, and then bring the sums in line with them, as an operator does."""
        await self.pool.execute(statement, *arguments)
        await rebuild(self.pool, None, None)

    async def force(self, statements: str) -> None:
        """Execute what triggers would refuse or act on. Checks still hold, references do not."""
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(statements)

    async def forget(self) -> None:
        """Take away all events, bills and runs; prices stay."""
        # By the triggers of Citus, where the database is distributed.
        await self.pool.execute("TRUNCATE stored_event, hourly_usage, touched_hour")
        await self.force(
            "TRUNCATE rated_hour, rated_usage, rated_usage_change,"
            " rated_day, rated_month, rated_model_day, rating_run"
        )


async def store_within(connection: Connection, *events: MeteringEvent) -> None:
    """Store events, all of them new, within a transaction that stays open, as a batch under way does."""
    rows = [row for row in map(validate, events) if isinstance(row, EventRow)]
    results = await store_rows(connection, rows, HOUR)
    assert [result.fate for result in results] == [Fate.STORED] * len(events)


def answered(request: RateRequest, result: RateResult, now: datetime) -> dict[str, object]:
    """Give what must be kept of a run, by the columns of rating_run."""
    told = asdict(result)
    del told["run_id"], told["changes"], told["late_runs"]
    return {
        **told,
        "id": result.run_id,
        "mode": request.mode,
        "dry_run": request.dry_run,
        "reprice": request.reprice,
        "requested_by": request.requested_by,
        "started_at": now,
        "price_books": list(result.price_books),
        "anomalies": _as_json(told["anomalies"]),
        "incomplete_producers": _as_json(told["incomplete_producers"]),
        "unbilled_output_by_auth": _as_json(told["unbilled_output_by_auth"]),
    }


def _as_json(value: object) -> object:
    def write(one: object) -> str:
        return utc_text(one) if isinstance(one, datetime) else decimal_text(cast("Decimal", one))

    return json.loads(json.dumps(value, default=write))


def nonzero(result: RateResult) -> dict[str, int]:
    """Return the counts of events that are not 0, after checking that they add up."""
    counts = {
        "rated": result.events_rated,
        "unpriced": result.unpriced_events,
        "unattributable": result.unattributable_events,
        "ambiguous_base": result.ambiguous_base_events,
        "missing_usage": result.missing_usage_events,
        "zero_charge": result.zero_charge_events,
    }
    assert sum(counts.values()) == result.events_in_window
    return {name: count for name, count in counts.items() if count}
