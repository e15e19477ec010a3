"""Loading price files into a real database: by its clock, in order, and never into what was served."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from rater_service.database.clock import Clock, ClockReading
from rater_service.database.database import Connection, Pool
from rater_service.hours import hour_of
from rater_service.prices.load import Loaded, load_price_file
from rater_service.prices.loadings import State
from rater_service.prices.store import read_timeline
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, clock_at, make_event

pytestmark = pytest.mark.one_postgres

TENFOLD = PRICES.replace(b'"0.000000200"', b'"0.000002000"')
MINUTE = timedelta(minutes=1)


def from_hour(content: bytes, hour: datetime) -> bytes:
    return content + f'effective_from: "{hour:%Y-%m-%dT%H:%M:%SZ}"\n'.encode()


def ticking(*moments: datetime) -> Clock:
    """A clock that says one moment after the other, and the last one for ever."""
    left = list(moments)

    async def clock(_: Connection) -> ClockReading:
        return ClockReading(left.pop(0) if len(left) > 1 else left[0], timedelta(0))

    return clock


async def load(pool: Pool, content: bytes, clock: Clock, by: str = "serve:alice@host-1") -> Loaded:
    async with pool.acquire() as connection:
        return await load_price_file(connection, content, "/etc/prices.yaml", by, clock=clock)


async def prompt_rates(ledger: Ledger, hours: int) -> list[str]:
    """What a prompt token costs in one hour after the other, by a run over events that end in them."""
    await ledger.forget()
    await ledger.store(*(make_event(HOUR + n * ONE_HOUR) for n in range(hours)))
    await ledger.rate(HOUR, HOUR + hours * ONE_HOUR, now=HOUR + 24 * ONE_HOUR)
    return [f"{row['applied_prompt_rate']:f}".lstrip("0.") for row in await ledger.rollups()]


async def test_a_slip_that_is_taken_back_within_the_hour_never_comes_into_force(ledger: Ledger) -> None:
    slip = await ledger.load(TENFOLD, HOUR + 5 * MINUTE)
    back = await ledger.load(PRICES, HOUR + 9 * MINUTE)

    assert (slip.loading.in_force_from, back.loading.in_force_from) == (HOUR + ONE_HOUR, HOUR + ONE_HOUR)
    assert back.plan is not None
    assert [replaced.number for replaced in back.plan.replaces] == [slip.loading.number]
    assert await prompt_rates(ledger, 4) == ["200"] * 4
    assert any("replaces book" in said and "now does not" in said for said in back.alarms("prices.yaml"))


async def test_a_slip_that_came_into_force_ends_with_the_hour_in_which_it_is_taken_back(
    ledger: Ledger,
) -> None:
    await ledger.load(TENFOLD, HOUR + 5 * MINUTE)
    back = await ledger.load(PRICES, HOUR + ONE_HOUR + 5 * MINUTE)

    assert back.loading.in_force_from == HOUR + 2 * ONE_HOUR
    assert await prompt_rates(ledger, 4) == ["200", "2000", "200", "200"]
    assert await ledger.pool.fetchval("SELECT count(*) FROM price_book") == 2


async def test_the_running_hour_is_rated_by_what_is_in_force_however_soon_another_is(ledger: Ledger) -> None:
    await ledger.store(make_event(), make_event(HOUR + ONE_HOUR))
    await ledger.load(TENFOLD, HOUR + 59 * MINUTE)
    for now in (HOUR + 59 * MINUTE, HOUR + ONE_HOUR, HOUR + 2 * ONE_HOUR):
        await ledger.rate(now=now, reprice=True)
        assert [f"{row['applied_prompt_rate']:f}" for row in await ledger.rollups()] == ["0.000000200"]
    await ledger.rate(HOUR + ONE_HOUR, now=HOUR + 2 * ONE_HOUR)
    assert [f"{row['applied_prompt_rate']:f}" for row in await ledger.rollups()] == [
        *("0.000000200", "0.000002000"),
    ]


async def test_the_file_that_was_loaded_last_is_not_loaded_again(ledger: Ledger) -> None:
    first = await ledger.load(PRICES, HOUR)
    later = await ledger.load(TENFOLD, HOUR)
    again = await ledger.load(TENFOLD, HOUR + 9 * ONE_HOUR)

    assert (first.plan, again.plan) == (None, None)
    assert again.loading == later.loading
    assert await ledger.pool.fetchval("SELECT count(*) FROM price_loading") == 2
    assert any("was loaded last: nothing to load" in said for said in again.told("prices.yaml"))


async def test_a_loading_keeps_who_made_it_from_where_and_as_whom(ledger: Ledger) -> None:
    await load(ledger.pool, TENFOLD, clock_at(HOUR), "serve:alice@host-1")

    row = await ledger.pool.fetchrow("SELECT * FROM price_loading ORDER BY number DESC")
    assert row is not None
    role = await ledger.pool.fetchval("SELECT session_user")
    assert (row["source"], row["loaded_by"], row["db_role"], row["loaded_at"]) == (
        *("/etc/prices.yaml", "serve:alice@host-1", role, HOUR),
    )


async def test_a_file_that_reaches_back_says_so_and_reprices_nothing_that_is_billed(ledger: Ledger) -> None:
    await ledger.store(make_event())
    await ledger.rate()

    loaded = await ledger.load(from_hour(TENFOLD, HOUR - ONE_HOUR), HOUR + 2 * ONE_HOUR)

    assert any("REACHES BACK to 2026-11-20T09:00:00Z" in said for said in loaded.alarms("prices.yaml"))
    await ledger.rate()
    assert [row["applied_prompt_rate"] for row in await ledger.rollups()] == [
        loaded_rate := (await ledger.rollups())[0]["applied_prompt_rate"]
    ]
    assert f"{loaded_rate:f}" == "0.000000200"


async def test_a_known_file_whose_hour_is_past_does_not_reach_back(ledger: Ledger) -> None:
    old = from_hour(TENFOLD, HOUR)
    await ledger.load(old, HOUR - ONE_HOUR)
    await ledger.load(PRICES, HOUR + MINUTE)
    again = await ledger.load(old, HOUR + 3 * ONE_HOUR)

    assert again.loading.in_force_from == HOUR + 4 * ONE_HOUR
    assert await prompt_rates(ledger, 5) == ["2000", "200", "200", "200", "2000"]


async def test_the_clock_of_the_database_decides_and_a_wrong_one_of_the_machine_is_said(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)

    class Behind(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Behind":
            return cls.fromtimestamp((now - 3 * ONE_HOUR).timestamp(), UTC)

    monkeypatch.setattr("rater_service.database.clock.datetime", Behind)
    async with ledger.pool.acquire() as connection:
        before = await connection.fetchval("SELECT clock_timestamp()")
        loaded = await load_price_file(connection, TENFOLD, "prices.yaml", "a test")

    assert loaded.loading.in_force_from in (hour_of(before) + ONE_HOUR, hour_of(before) + 2 * ONE_HOUR)
    assert loaded.loading.in_force_from > before
    assert any("THE CLOCK of this machine is 10" in said for said in loaded.alarms("prices.yaml"))


async def test_clocks_that_agree_are_not_spoken_of(ledger: Ledger) -> None:
    async with ledger.pool.acquire() as connection:
        loaded = await load_price_file(connection, TENFOLD, "prices.yaml", "a test")
    assert abs(loaded.clock.ahead) < timedelta(seconds=5)
    assert not any("CLOCK" in said for said in loaded.alarms("prices.yaml"))


async def test_a_loading_that_the_hour_overtakes_is_for_the_next_hour(ledger: Ledger) -> None:
    turn = HOUR + ONE_HOUR
    last = turn - timedelta(microseconds=100)
    clock = ticking(last, last, turn, turn + timedelta(milliseconds=1))

    loaded = await load(ledger.pool, TENFOLD, clock)

    assert loaded.loading.in_force_from == turn + ONE_HOUR
    assert await ledger.pool.fetchval("SELECT count(*) FROM price_loading") == 2
    assert await prompt_rates(ledger, 3) == ["200", "200", "2000"]


async def test_a_loading_in_the_last_moment_of_an_hour_is_for_the_next_and_a_late_commit_is_said(
    ledger: Ledger,
) -> None:
    turn = HOUR + ONE_HOUR
    last = turn - timedelta(microseconds=100)
    in_time = await load(ledger.pool, TENFOLD, ticking(last))
    late = await load(ledger.pool, PRICES, ticking(last, last, last, turn + timedelta(seconds=7)))

    assert (in_time.loading.in_force_from, late.loading.in_force_from) == (turn, turn)
    assert not any("was stored only at" in said for said in in_time.alarms("prices.yaml"))
    assert any("was stored only at 2026-11-20T11:00:07Z" in said for said in late.alarms("prices.yaml"))


async def test_of_first_price_files_at_once_only_one_is_in_force_from_the_beginning(ledger: Ledger) -> None:
    await ledger.forget_prices()
    files = [PRICES + f"# {n}\n".encode() for n in range(5)]
    await asyncio.gather(*(ledger.load(content, HOUR) for content in files))

    async with ledger.pool.acquire() as connection:
        timeline = await read_timeline(connection)
    assert [loading.in_force_from for loading in timeline.in_turn] == [None, HOUR + ONE_HOUR]
    assert [timeline.state(loading, HOUR) for loading in timeline.loadings] == [
        State.IN_FORCE,
        *[State.REPLACED] * 3,
        State.TO_COME,
    ]


async def test_of_services_that_start_at_once_with_one_file_one_loads_it(ledger: Ledger) -> None:
    all_loaded = await asyncio.gather(*(ledger.load(TENFOLD, HOUR) for _ in range(6)))

    assert sum(loaded.plan is not None for loaded in all_loaded) == 1
    assert {loaded.loading.number for loaded in all_loaded} == {2}


async def test_a_book_that_version_0_1_0_keeps_beside_this_one_counts_and_becomes_a_loading(
    ledger: Ledger,
) -> None:
    # As it does: it knows of no loadings.
    await ledger.pool.execute(
        "INSERT INTO price_book (content_hash, content, source, loaded_at, effective_from, in_force_from)"
        " VALUES (encode(sha256($1), 'hex'), $1, 'prices.yaml', $2, NULL, $3)",
        *(TENFOLD, HOUR + MINUTE, HOUR + ONE_HOUR),
    )

    assert await prompt_rates(ledger, 2) == ["200", "2000"]
    assert (await ledger.load(TENFOLD, HOUR + 2 * MINUTE)).plan is None
    assert await ledger.pool.fetchval("SELECT count(*) FROM price_loading WHERE loaded_by IS NULL") == 1
    back = await ledger.load(PRICES, HOUR + 3 * MINUTE)
    assert back.plan is not None
    assert [each.loaded_by for each in back.plan.replaces] == [None]
    assert await prompt_rates(ledger, 2) == ["200", "200"]
