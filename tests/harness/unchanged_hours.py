"""What a run finds that leaves out unchanged hours, beside what it would find if it computed all of them."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from rater_service.database.database import Connection, Pool
from rater_service.database.long_statements import fetch_one
from rater_service.other_models import OTHER_MODELS
from rater_service.prices.store import load_history
from rater_service.rating.computation import compute, fill
from rater_service.rating.counts import Counts
from rater_service.rating.run import RateRequest

# Hours in which something differs, or of which something is to be said.
_TOLD = """
SELECT window_start FROM rating_change WHERE kind <> 'same' OR tampering IS NOT NULL
UNION
SELECT window_start FROM rating_bucket
WHERE category NOT IN ('rated', 'zero_charge') OR excess_events > 0 OR partial_events > 0 OR echoed_events > 0
    OR unbilled_events > 0 OR model_id = $1
"""
# Hours with a fine-tune of which some usage states its base model, and some none.
_HALF_STATED = """
SELECT window_start
FROM rating_bucket
WHERE starts_with(model_id, 'ft:') AND category = 'rated'
GROUP BY window_start, auth_id, resource_id, model_id
HAVING count(base_model) NOT IN (0, count(*))
"""


@dataclass(frozen=True)
class Compared:
    """counts: of a run that leaves out unchanged hours; all_counts: of one that computes all of them.

    unchanged: the hours that the one finds unchanged; used: all hours that hold something; told: those in
    which the other finds something; half_stated: those that may be computed although nothing is found.
    """

    counts: Counts
    all_counts: Counts
    unchanged: set[datetime]
    used: set[datetime]
    told: set[datetime]
    half_stated: set[datetime]

    def hold(self) -> None:
        """Fail unless both ways come to the same."""
        assert self.counts == self.all_counts
        assert not self.unchanged & self.told
        assert self.used - self.told - self.half_stated <= self.unchanged


async def compare(pool: Pool, start: datetime, end: datetime) -> Compared:
    """Compute the hours of [start, end) in both ways, in one snapshot, and change nothing."""
    async with pool.acquire() as connection:
        reading = connection.transaction(isolation="repeatable_read")
        await reading.start()
        try:
            return await _compare(connection, start, end)
        finally:
            await reading.rollback()


async def _compare(connection: Connection, start: datetime, end: datetime) -> Compared:
    savepoint = connection.transaction()
    await savepoint.start()
    computed = await compute(connection, RateRequest(start, end, "a test"))
    await savepoint.rollback()
    history = await load_history(connection, start)
    await fill(connection, history, (start, end), keeps_rates=True)
    all_counts = Counts(**await fetch_one(connection, "rating/counts", window_start=start, window_end=end))
    return Compared(
        computed.counts,
        all_counts,
        {held.hour for held in computed.hours if held.is_unchanged},
        {held.hour for held in computed.hours},
        _hours(await connection.fetch(_TOLD, OTHER_MODELS)),
        _hours(await connection.fetch(_HALF_STATED)),
    )


def _hours(rows: list[asyncpg.Record]) -> set[datetime]:
    return {row["window_start"] for row in rows}
