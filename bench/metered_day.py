"""A day of metered events in a database, and what each of them costs, added up event by event.

Ten customers use five models, two base models and three fine-tunes, in every hour: fifty rollups an hour.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import asyncpg

HOURS = 24
CUSTOMERS = 10
# By the demo's price file: prompt, cached and completion in USD per token.
MODELS = (
    ("meta-llama/Llama-3.1-8B-Instruct", None, "0.000000200", "0.000000050", "0.000000600"),
    ("Qwen/Qwen2.5-7B-Instruct", None, "0.000000150", "0.000000030", "0.000000450"),
    ("ft:support", "meta-llama/Llama-3.1-8B-Instruct", "0.000000300", "0.000000075", "0.000000900"),
    ("ft:sales", "meta-llama/Llama-3.1-8B-Instruct", "0.000000300", "0.000000075", "0.000000900"),
    ("ft:legal", "Qwen/Qwen2.5-7B-Instruct", "0.000000225", "0.000000045", "0.000000675"),
)
ROLLUPS = HOURS * CUSTOMERS * len(MODELS)
# A statement over millions of events, on a machine that does other things.
TIMEOUT_S = 600.0

RATES = """
CREATE TABLE model_rate (
    model_id text PRIMARY KEY, base_model text, prompt numeric, cached numeric, completion numeric
)
"""

# As events that have all in their own columns, so that SQL finds it there without a join.
# The events of one hour, in the order in which they end; like Phoebe's, the ids are UUIDs that sort by time.
# $1: the hour, $2: events of each rollup.
EVENTS = """
INSERT INTO stored_event
    (request_id, producer_id, producer_seq, auth_id, resource_id, base_model, model_id, requested_model, api,
     prompt_tokens, cached_tokens, completion_tokens, usage_found, model_untrusted, outcome, status_code,
     finish_reason, streamed, event_time, start_time, stored_at)
SELECT
    encode(substring(int8send((extract(epoch FROM ended) * 1000)::bigint) FROM 3) || '\\x7000'
           || substring(uuid_send(gen_random_uuid()) FROM 9), 'hex')::uuid,
    'bench', 1000000000::bigint * extract(hour FROM $1::timestamptz AT TIME ZONE 'UTC')::bigint + number + 1,
    'customer-' || customer, 'deployment-' || customer, base_model, model_id, model_id, 'openai.chat',
    100 + number % 4000, CASE WHEN number % 3 = 0 THEN number % 100 END, 1 + number % 700,
    true, false, 'completed', 200, 'stop', number % 2 = 0,
    ended, ended - interval '2 seconds', ended + interval '1 second'
FROM (
    SELECT
        number, number % {customers} AS customer, model_id, base_model,
        $1::timestamptz + number / ({rollups} * $2::float8) * interval '1 hour' AS ended
    FROM generate_series(0, $2::bigint * {rollups} - 1) AS number
    JOIN (SELECT row_number() OVER (ORDER BY model_id) - 1 AS place, * FROM model_rate) AS model
        ON place = number / {customers} % {models}
) AS made
ORDER BY number
"""

SUMS = """
INSERT INTO hourly_usage SELECT * FROM hourly_usage_of_events($1, $1::timestamptz + interval '1 hour')
"""

# The whole job without Phoebe: every event of the day joined with its rate, and the rows of the bill.
BILL = """
SELECT
    auth_id, resource_id, event.model_id, date_trunc('hour', event_time, 'UTC') AS window_start,
    sum(prompt_tokens) AS prompt_tokens,
    sum(least(coalesce(cached_tokens, 0), prompt_tokens)) AS cached_tokens,
    sum(completion_tokens) AS completion_tokens,
    sum(greatest(prompt_tokens - coalesce(cached_tokens, 0), 0)) AS billable_prompt_tokens,
    sum(greatest(prompt_tokens - coalesce(cached_tokens, 0), 0) * rate.prompt
        + least(coalesce(cached_tokens, 0), prompt_tokens) * rate.cached
        + completion_tokens * rate.completion) AS cost,
    count(*) AS event_count
FROM stored_event AS event
JOIN model_rate AS rate USING (model_id)
WHERE event_time >= $1 AND event_time < $2
GROUP BY auth_id, resource_id, event.model_id, date_trunc('hour', event_time, 'UTC')
ORDER BY window_start, auth_id, resource_id, model_id
"""

BILLED = """
SELECT
    auth_id, resource_id, model_id, window_start, prompt_tokens, cached_tokens, completion_tokens,
    billable_prompt_tokens, cost, event_count
FROM rated_usage
WHERE window_start >= $1 AND window_start < $2
ORDER BY window_start, auth_id, resource_id, model_id
"""


@dataclass(frozen=True, slots=True)
class MeteredDay:
    """A database with a day of events, from `start` on, UTC-aware. events_per_rollup: how many."""

    url: str
    start: datetime
    events_per_rollup: int

    @property
    def end(self) -> datetime:
        """When the day ends."""
        return self.start + timedelta(hours=HOURS)

    @property
    def events(self) -> int:
        """How many there are."""
        return ROLLUPS * self.events_per_rollup

    async def load(self) -> None:
        """Stores the events, hour by hour, over two connections, and the sums that they make."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(RATES)
            for name, base_model, *rates in MODELS:
                await connection.execute(
                    "INSERT INTO model_rate VALUES ($1, $2, $3, $4, $5)",
                    name,
                    base_model,
                    *map(Decimal, rates),
                )
            # It refuses what nobody sums.
            await connection.execute("ALTER TABLE stored_event DISABLE TRIGGER billing_event_unsummed")
            await asyncio.gather(self._load(range(HOURS // 2)), self._load(range(HOURS // 2, HOURS)))
            await connection.execute("ALTER TABLE stored_event ENABLE TRIGGER billing_event_unsummed")
            await connection.execute("VACUUM ANALYZE", timeout=TIMEOUT_S)
        finally:
            await connection.close()

    async def _load(self, hours: Iterable[int]) -> None:
        counts = {"rollups": CUSTOMERS * len(MODELS), "customers": CUSTOMERS, "models": len(MODELS)}
        connection = await asyncpg.connect(self.url)
        try:
            for hour in hours:
                hour_start = self.start + timedelta(hours=hour)
                await connection.execute(
                    EVENTS.format(**counts), hour_start, self.events_per_rollup, timeout=TIMEOUT_S
                )
                await connection.execute(SUMS, hour_start, timeout=TIMEOUT_S)
        finally:
            await connection.close()

    async def bill(self) -> list[asyncpg.Record]:
        """Adds the bill up from the events."""
        return await self._fetch(BILL)

    async def billed(self) -> list[asyncpg.Record]:
        """Reads what Phoebe billed, in the same columns and order."""
        return await self._fetch(BILLED)

    async def _fetch(self, query: str) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetch(query, self.start, self.end, timeout=TIMEOUT_S)
        finally:
            await connection.close()
