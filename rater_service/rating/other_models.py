"""Usage of models that are too many to have sums of their own: whose, and what has a price by now."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import asyncpg

from phoebe_runtime.counts import counted
from rater_service.database.database import Connection
from rater_service.database.long_statements import STATEMENT_TIMEOUT_S, fetch
from rater_service.events.hourly_usage import sum_under_own_names
from rater_service.events.model_names import ModelUse
from rater_service.events.partitions import list_partitions
from rater_service.other_models import OTHER_MODELS
from rater_service.prices.store import priced_among
from rater_service.rating.run import Anomaly, Offender
from rater_service.statements import statement

logger = logging.getLogger(__name__)

TOO_MANY_MODELS = "TOO_MANY_MODELS"
# Counting names takes some tenths of a second then.
COUNTED_EVENTS_MAX = 100_000


async def sum_priced_by_name(connection: Connection, window_start: datetime, window_end: datetime) -> None:
    """Sum usage in [window_start, window_end) under its models' own names if they have got a price since.

    Each hour is a transaction of its own. Events are read only of hours with such usage. Those that were
    pruned stay summed as they were.
    """
    window = {"window_start": window_start, "window_end": window_end}
    suspect = await fetch(connection, "rating/other_models_hours", **window, other_models=OTHER_MODELS)
    if not suspect:
        return
    found = await fetch(connection, "rating/other_models_used", window_start=[row["hour"] for row in suspect])
    uses = [(row["model_id"], row["base_model"], row["hour"]) for row in found]
    priced = await priced_among(connection, uses)
    if not priced:
        return
    by_hour: dict[datetime, list[ModelUse]] = {}
    for use in sorted(priced, key=lambda use: use[2]):
        by_hour.setdefault(use[2], []).append(use)
    events = sum([await _sum_hour_by_name(connection, hour, used) for hour, used in by_hour.items()])
    logger.info("summed under models that have got a price since: usage of %s", counted(events, "event"))


async def _sum_hour_by_name(connection: Connection, hour: datetime, uses: Sequence[ModelUse]) -> int:
    async with connection.transaction():
        request_ids: list[UUID] = []
        for partition in await list_partitions(connection):
            sum_by_name = statement("rating/sum_by_name", partition=partition.name)
            models = {
                "model_ids": [model_id for model_id, _, _ in uses],
                "base_models": [base_model for _, base_model, _ in uses],
                "hour": hour,
            }
            rows = await connection.fetch(*sum_by_name.bind(models), timeout=STATEMENT_TIMEOUT_S)
            request_ids += [row["request_id"] for row in rows]
        if request_ids:
            await sum_under_own_names(connection, hour, request_ids)
    return len(request_ids)


async def with_names_counted(
    connection: Connection, anomalies: Sequence[Anomaly], window_start: datetime, window_end: datetime
) -> list[Anomaly]:
    """Say of TOO_MANY_MODELS, if it is among the anomalies of a window, how many models there are."""
    if all(anomaly.reason != TOO_MANY_MODELS for anomaly in anomalies):
        return list(anomalies)
    rows = await fetch(
        connection,
        "rating/other_model_names",
        window_start=window_start,
        window_end=window_end,
        limit=COUNTED_EVENTS_MAX,
    )
    counted = {(row["auth_id"], row["resource_id"]): _counted(row) for row in rows}

    def named(offender: Offender) -> Offender:
        return replace(offender, detail=counted.get((offender.auth_id, offender.resource_id)))

    return [
        replace(anomaly, offenders=tuple(map(named, anomaly.offenders)))
        if anomaly.reason == TOO_MANY_MODELS
        else anomaly
        for anomaly in anomalies
    ]


def _counted(row: asyncpg.Record) -> str:
    at_least = "at least " if row["is_part"] else ""
    return f"{at_least}{counted(row['names'], 'further model')}, such as {row['example']!r}"
