"""What a change of many bills costs in the triggers that keep their sums: rows looked at, not time."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from tests.harness.ledger import Ledger, make_event

COUNT = 300


def looked_at(node: dict[str, Any]) -> float:
    """Count the rows that a step of a plan gave and left out, over all its rounds."""
    left_out = sum(value for name, value in node.items() if name.startswith("Rows Removed by"))
    return float(node["Actual Loops"] * (node["Actual Rows"] + left_out))


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE rated_usage SET prompt_tokens = prompt_tokens",
        "DELETE FROM rated_usage",
    ],
)
async def test_no_row_of_many_is_compared_with_every_other(ledger: Ledger, change: str) -> None:
    await ledger.store(*(make_event(auth_id=f"a{number:04}") for number in range(COUNT)))
    await ledger.rate()
    plans: list[dict[str, Any]] = []

    def note(_: object, told: asyncpg.PostgresLogMessage) -> None:
        _, found, plan = str(told).partition("plan:\n")
        if found:
            plans.append(json.loads(plan)["Plan"])

    async with ledger.pool.acquire() as connection:
        try:
            await connection.execute("LOAD 'auto_explain'")
        except asyncpg.UndefinedFileError:
            pytest.skip("this PostgreSQL has no auto_explain")
        connection.add_log_listener(note)
        transaction = connection.transaction()
        await transaction.start()
        # A session plans the statements of a trigger once: here as for no row at all.
        await connection.execute(f"{change} WHERE false")
        for name, value in (
            *(("log_min_duration", "0"), ("log_analyze", "on"), ("log_timing", "off")),
            *(("log_nested_statements", "on"), ("log_format", "json"), ("log_level", "notice")),
        ):
            await connection.execute(f"SET LOCAL auto_explain.{name} = {value}")
        await connection.execute(change)
        await asyncio.sleep(0)  # listeners are called in the loop
        await transaction.rollback()
        connection.remove_log_listener(note)

    assert len(plans) > 4  # those of triggers, too
    assert max(looked_at(node) for plan in plans for node in nodes(plan)) < 10 * COUNT
