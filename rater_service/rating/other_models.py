"""Usage of models that are too many to have sums of their own: whose, and what has a price by now."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import asyncpg

from rater_service.database.database import Connection
from rater_service.database.long_statements import fetch, fetch_value
from rater_service.other_models import OTHER_MODELS
from rater_service.prices.store import priced_among
from rater_service.rating.run import Anomaly, Offender

logger = logging.getLogger(__name__)

TOO_MANY_MODELS = "TOO_MANY_MODELS"
# Counting names takes some tenths of a second then.
COUNTED_EVENTS_MAX = 100_000


async def sum_priced_by_name(connection: Connection, window_start: datetime, window_end: datetime) -> None:
    """Sum usage in [window_start, window_end) under its models' own names if they have got a price since.

    It is a transaction of its own. Events are read only of hours with such usage. Those that were pruned stay
    summed as they were.
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
    model_ids, base_models, hours = (list(column) for column in zip(*priced, strict=True))
    events = await fetch_value(
        connection, "rating/sum_by_name", model_ids=model_ids, base_models=base_models, hours=hours
    )
    logger.info("usage of %d events is summed under models that have got a price since", events)


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
    return f"{at_least}{row['names']} further models, such as {row['example']!r}"
