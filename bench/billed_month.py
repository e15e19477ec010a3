"""A month of bills of many customers in a database, as runs leave them: rollups and the sums by the day.

Each customer has three pairs of resource and model, and uses them twelve hours a day. Of the last hours there
is usage that no run has rated. Of the hours before there are no events: pages need none to make a sum.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from bench.errors import BenchError
from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.database.database import Connection, Pool, open_pool
from rater_service.events.store import store_events
from rater_service.hours import HOUR, hour_of
from rater_service.prices.load import load_price_file
from rater_service.prices.pricebook import NOTHING_ALLOWED
from rater_service.rating.day_sums import DAY, compare_coarser, day_of, month_of, next_month
from rater_service.rating.rating import rate_window
from rater_service.rating.run import Mode, RateRequest
from rater_service.statements import bound
from rater_service.wire_time import to_timestamp

CUSTOMERS = 2_000
DAYS = 31
PAIRS = 3
RESOURCES = 300
MODELS = 40
HOURS_OF_A_DAY = 12
UNRATED_HOURS = 3
BATCH_EVENTS = 1_000
# A statement over millions of rows, on a machine that does other things.
TIMEOUT_S = 900.0

# The rollups of a day: $1 is its beginning, $2 its number, $3 how many customers, $4 before which hour.
ROLLUPS = """
INSERT INTO rated_usage
    (auth_id, resource_id, model_id, window_start, window_end, prompt_tokens, cached_tokens,
     completion_tokens, billable_prompt_tokens, cost, applied_prompt_rate, applied_cached_rate,
     applied_completion_rate, event_count, price_book, run, rated_at)
SELECT
    'customer-' || customer, 'deployment-' || (customer * 7 + pair * 101) % {resources},
    'model-' || (customer * 3 + pair * 13) % {models}, hour_start, hour_start + interval '1 hour',
    prompt, prompt / 4, completion, prompt - prompt / 4,
    (prompt - prompt / 4) * 0.0000002 + prompt / 4 * 0.00000005 + completion * 0.0000006,
    0.0000002, 0.00000005, 0.0000006, 40, (SELECT min(content_hash) FROM price_book),
    (SELECT min(id) FROM rating_run), hour_start + interval '2 hours'
FROM (
    SELECT
        customer, pair, $1::timestamptz + make_interval(hours => (customer + hour) % 24) AS hour_start,
        1000 + (customer * 7919::bigint + pair * 104729 + hour * 1299709 + $2::int) % 90000 AS prompt,
        100 + (customer * 31::bigint + pair * 17 + hour * 13 + $2) % 9000 AS completion
    FROM
        generate_series(1, $3::int) AS customer, generate_series(0, {pairs} - 1) AS pair,
        generate_series(0, {hours} - 1) AS hour
) AS made
WHERE hour_start < $4
ORDER BY hour_start, customer, pair
"""


@dataclass(frozen=True, slots=True)
class BilledMonth:
    """A month up to a moment, UTC-aware, in a migrated database."""

    url: str
    now: datetime
    customers: int = CUSTOMERS
    days: int = DAYS

    @property
    def start(self) -> datetime:
        """Its first day: the last one is the running day."""
        return day_of(self.now) - (self.days - 1) * DAY

    @property
    def unrated_from(self) -> datetime:
        """The first hour that no run has rated."""
        return hour_of(self.now) - (UNRATED_HOURS - 1) * HOUR

    async def load(self) -> int:
        """Store all of it; gives how many rollups there are."""
        async with open_pool(self.url, connections_max=2) as pool:
            await self._prepare(pool)
            async with pool.acquire() as connection:
                await connection.execute("ALTER TABLE rated_usage DISABLE TRIGGER USER")
                for day in range(self.days):
                    await connection.execute(
                        ROLLUPS.format(resources=RESOURCES, models=MODELS, pairs=PAIRS, hours=HOURS_OF_A_DAY),
                        *(self.start + day * DAY, day, self.customers, self.unrated_from),
                        timeout=TIMEOUT_S,
                    )
                await connection.execute("ALTER TABLE rated_usage ENABLE TRIGGER USER")
                await self._sum(connection)
            await self._store_unrated(pool)
            async with pool.acquire() as connection:
                await connection.execute("VACUUM ANALYZE", timeout=TIMEOUT_S)
                count: int = await connection.fetchval("SELECT count(*) FROM rated_usage")
        return count

    async def _prepare(self, pool: Pool) -> None:
        """Load prices, and keep a run that the rollups can name."""
        rates = '{ prompt: "0.000000200", cached: "0.000000050", completion: "0.000000600" }'
        models = "\n".join(f'  "model-{number}": {rates}' for number in range(MODELS))
        book = f"version: 1\nbase_models:\n{models}\nfine_tune_premium: {{ policy: identity }}\n"
        async with pool.acquire() as connection:
            await load_price_file(connection, book.encode(), "bench.yaml", "bench", NOTHING_ALLOWED)
        window = RateRequest(self.start - HOUR, self.start, "bench", Mode.BACKFILL)
        await rate_window(pool, window, self.now)

    async def _sum(self, connection: Connection) -> None:
        """Make the sums by the day and the coarser ones, by the statements of `phoebe sums rebuild-days`."""
        async with connection.transaction():
            await connection.execute("SET LOCAL phoebe.makes_day_sums = 'on'")
            for day in range(self.days):
                add_up = bound("rating/day_sums_insert", day=self.start + day * DAY)
                await connection.execute(*add_up, timeout=TIMEOUT_S)
            span = {"first_month": month_of(self.start), "end_month": next_month(month_of(self.now))}
            for name in ("rating/month_sums_insert", "rating/model_day_sums_insert"):
                await connection.execute(*bound(name, **span), timeout=TIMEOUT_S)
        differing, _ = await compare_coarser(connection, self.start, day_of(self.now) + DAY, limit=1)
        if differing:
            raise BenchError(f"{differing} sums of the month are not those of its days")

    async def _store_unrated(self, pool: Pool) -> None:
        events = [
            MeteringEvent(
                request_id=str(UUID(int=number + 1)),
                producer_id="bench",
                producer_seq=number + 1,
                auth_id=f"customer-{customer}",
                resource_id=f"deployment-{(customer * 7 + pair * 101) % RESOURCES}",
                model_id=f"model-{(customer * 3 + pair * 13) % MODELS}",
                api="openai.chat",
                usage_found=True,
                prompt_tokens=9_000,
                cached_tokens=3_000,
                completion_tokens=800,
                outcome="completed",
                status_code=200,
                event_time=to_timestamp(self.unrated_from + hour * HOUR),
                start_time=to_timestamp(self.unrated_from + hour * HOUR),
            )
            for number, (hour, customer, pair) in enumerate(
                (hour, customer, pair)
                for hour in range(UNRATED_HOURS)
                for customer in range(1, self.customers + 1)
                for pair in range(PAIRS)
            )
        ]
        for first in range(0, len(events), BATCH_EVENTS):
            await store_events(pool, events[first : first + BATCH_EVENTS], self.now)
