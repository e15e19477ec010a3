"""Reads what customers used in a window, to see what other prices would have made of it."""

from dataclasses import dataclass
from datetime import datetime

from rater_service.database.database import Pool
from rater_service.database.long_statements import STATEMENT_TIMEOUT_S, fetch, fetch_value, run
from rater_service.prices.comparison import ModelUsage
from rater_service.rating.categories import over_categories


@dataclass(frozen=True, slots=True)
class WindowUsage:
    """What was used in a window; no price helps `unbillable_events`: they lack payer, usage or model."""

    usage: tuple[ModelUsage, ...]
    unbillable_events: int


async def read_usage(pool: Pool, window_start: datetime, window_end: datetime) -> WindowUsage:
    """Read the usage of [window_start, window_end), whole UTC hours, by customer and model.

    It is sorted into what can and what can't be billed by the statements of a rating run. Changes nothing.
    """
    async with pool.acquire() as connection:
        transaction = connection.transaction(isolation="repeatable_read")
        await transaction.start()
        try:
            await run(connection, "rating/tables")
            await connection.execute(
                *over_categories("rating/buckets", window_start=window_start, window_end=window_end),
                timeout=STATEMENT_TIMEOUT_S,
            )
            rows = await fetch(connection, "rating/price_impact")
            unbillable = await fetch_value(connection, "rating/price_unbillable")
            assert isinstance(unbillable, int)
        finally:
            # The working tables go with it.
            await transaction.rollback()
    return WindowUsage(
        tuple(
            ModelUsage(
                row["auth_id"],
                row["model_id"],
                row["base_model"],
                row["events"],
                int(row["billable_prompt"]),
                int(row["cached"]),
                int(row["completion"]),
            )
            for row in rows
        ),
        unbillable,
    )
