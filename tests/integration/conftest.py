"""Databases for tests that Hypothesis drives, which run the loop themselves, and one with old events."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from rater_service.database.database import open_pool
from tests.harness.ledger import Ledger
from tests.harness.old_events import store_two_weeks
from tests.harness.postgres import TEMPLATE, PostgresServer, database


@pytest.fixture
def oracle_runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def oracle_ledger(postgres: PostgresServer, oracle_runner: asyncio.Runner) -> Iterator[Ledger]:
    stack = AsyncExitStack()

    async def open_ledger() -> Ledger:
        url = await stack.enter_async_context(database(postgres, TEMPLATE))
        ledger = Ledger(await stack.enter_async_context(open_pool(url)))
        await ledger.load()
        return ledger

    yield oracle_runner.run(open_ledger())
    oracle_runner.run(stack.aclose())


@pytest.fixture
async def old(ledger: Ledger) -> Ledger:
    """Two weeks of events that may be dropped, and one event of the week after."""
    await store_two_weeks(ledger)
    return ledger
