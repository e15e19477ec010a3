"""Whoever asks for a quote hears what is loaded, and many who ask at once cost the database one look."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from rater_service.database.database import DatabaseUnavailableError, Pool, open_pool
from rater_service.database.sessions import Lent
from rater_service.prices import shared_history
from rater_service.prices.history import PriceHistory, Quote
from rater_service.prices.shared_history import SharedHistory
from rater_service.rating.withdrawal import withdraw_loading
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, clock_at

pytestmark = pytest.mark.one_postgres

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
NEW = PRICES.replace(
    b'  "tiny/half"', b'  "new/model": { prompt: "0.0001", cached: "0", completion: "0" }\n  "tiny/half"'
)


class CountingPool(Pool):
    """A pool that counts how often a session is lent, and how many at once."""

    lent = 0
    at_once = 0
    _now = 0

    @asynccontextmanager
    async def acquire(self, *, changes_session: bool = True) -> AsyncIterator[Lent]:
        async with super().acquire() as session:
            self.lent += 1
            self._now += 1
            self.at_once = max(self.at_once, self._now)
            try:
                yield session
            finally:
                self._now -= 1


@pytest.fixture
async def counted(ledger: Ledger, database_url: str) -> AsyncIterator[CountingPool]:
    pool = await CountingPool.open(database_url)
    assert isinstance(pool, CountingPool)
    pool.lent = 0
    yield pool
    await pool.close()


def at_noon(pool: Pool) -> SharedHistory:
    return SharedHistory(pool, lambda: NOW)


def prices(history: PriceHistory, model: str, at: datetime = NOW) -> bool:
    return isinstance(history.resolve(model, None, at), Quote)


async def test_many_who_ask_at_once_share_a_look(
    counted: CountingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_history, "FRESH_S", 60.0)
    shared = at_noon(counted)
    histories = await asyncio.gather(*(shared.at(NOW) for _ in range(1000)))
    assert all(prices(history, "meta/base-a") for history in histories)
    assert counted.lent == 1


async def test_what_is_loaded_or_withdrawn_here_is_seen_at_once(ledger: Ledger) -> None:
    shared = at_noon(ledger.pool)
    assert not prices(await shared.at(NOW), "new/model")
    await ledger.load(NEW, NOW)
    assert prices(await shared.at(NOW), "new/model")
    await withdraw_loading(ledger.pool, None, "a test", clock_at(NOW))
    assert not prices(await shared.at(NOW), "new/model")


async def test_what_another_process_loads_is_seen_soon(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = at_noon(ledger.pool)
    await shared.at(NOW)
    monkeypatch.setattr(shared_history.OWN_CHANGES, "note", lambda: None)  # as there
    await ledger.load(NEW, NOW)
    async with asyncio.timeout(20):
        while not prices(await shared.at(NOW), "new/model"):  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_nobody_waits_for_the_next_look_while_the_last_one_is_fresh(
    counted: CountingPool, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_history, "FRESH_S", 60.0)
    monkeypatch.setattr(shared_history, "NEXT_LOOK_AFTER_S", 0.0)
    shared = at_noon(counted)
    assert shared.known(NOW) is None
    seen = await shared.at(NOW)
    monkeypatch.setattr(shared_history.OWN_CHANGES, "note", lambda: None)  # as by another process
    await ledger.load(NEW, NOW)
    assert shared.known(NOW) is shared.known(NOW) is seen  # which begins a look, but one
    async with asyncio.timeout(20):
        while not prices(await shared.at(NOW), "new/model"):  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert counted.at_once == 1


async def test_a_database_that_is_slow_is_looked_at_once_at_a_time(counted: CountingPool, pool: Pool) -> None:
    shared = at_noon(counted)
    async with pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE price_loading IN ACCESS EXCLUSIVE MODE")
        asking = []
        for _ in range(10):
            asking.append(asyncio.ensure_future(shared.at(NOW)))
            await asyncio.sleep(shared_history.FRESH_S)
    await asyncio.gather(*asking)
    assert counted.at_once == 1


async def test_all_who_share_a_look_that_fails_are_told_and_the_next_one_is_another(
    ledger: Ledger, database_url: str
) -> None:
    async with open_pool(database_url) as closed:
        shared = at_noon(closed)
    answers = await asyncio.gather(*(shared.at(NOW) for _ in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [DatabaseUnavailableError] * 5
    shared._pool = ledger.pool
    async with asyncio.timeout(20):
        while True:
            try:
                assert prices(await shared.at(NOW), "meta/base-a")
                break
            except DatabaseUnavailableError:
                await asyncio.sleep(0)


async def test_who_asks_and_leaves_takes_nobody_along(ledger: Ledger) -> None:
    shared = at_noon(ledger.pool)
    leaves, stays = asyncio.ensure_future(shared.at(NOW)), asyncio.ensure_future(shared.at(NOW))
    await asyncio.sleep(0)
    leaves.cancel()
    assert prices(await stays, "meta/base-a")
    assert leaves.cancelled()


async def test_the_past_is_priced_by_the_books_of_then(ledger: Ledger) -> None:
    await ledger.load(PRICES.replace(b'"0.000000200"', b'"0.000000300"'), NOW - ONE_HOUR)
    shared = at_noon(ledger.pool)
    for at, expected in ((HOUR, "0.000000200"), (NOW, "0.000000300")):
        quote = (await shared.at(at)).resolve("meta/base-a", None, at)
        assert isinstance(quote, Quote)
        assert quote.price.billed.prompt == Decimal(expected)


async def test_a_clock_that_is_set_back_is_followed(ledger: Ledger) -> None:
    now = NOW
    shared = SharedHistory(ledger.pool, lambda: now)
    await shared.at(now)
    now -= timedelta(hours=5)
    assert prices(await shared.at(now), "meta/base-a", now)
