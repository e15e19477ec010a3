"""Reads what customers used in a window, to see what other prices would have made of it."""

from dataclasses import dataclass
from datetime import datetime

from rater_service.database.database import Pool
from rater_service.database.long_statements import STATEMENT_TIMEOUT_S
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
    window = {"window_start": window_start, "window_end": window_end}
    async with pool.snapshot() as connection:
        rows = await connection.fetch(
            *over_categories("rating/price_impact", **window), timeout=STATEMENT_TIMEOUT_S
        )
        unbillable = await connection.fetchval(
            *over_categories("rating/price_unbillable", **window), timeout=STATEMENT_TIMEOUT_S
        )
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
