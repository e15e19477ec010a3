"""The revision that makes loadings of the books that version 0.1.0 kept, on a database that it filled."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import asyncpg
import pytest

from rater_service.database.database import Pool, open_pool
from rater_service.database.schema import known_revisions, migrate
from rater_service.prices.history import Quote
from rater_service.prices.store import load_history, read_timeline
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger

# Hours from HOUR on: when 0.1.0 loaded a file, from when it was in force (None: the beginning), and a name.
BOOKS = [
    (-50.0, None, "first"),
    (-9.0, -5, "november"),
    (-8.0, -5, "november, corrected"),
    (-7.5, -20, "reaches back, and never was in force from -5 on"),
    (-6.0, 100, "december"),
    (0.5, 1, "now"),
]


def file(name: str) -> bytes:
    return (
        f'version: 1\nbase_models:\n  m: {{ prompt: "0", cached: "0", completion: "0" }}\n# {name}\n'.encode()
    )


def names() -> dict[str, str]:
    return {sha256(file(name)).hexdigest(): name for _, _, name in BOOKS}


async def fill(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for loaded, start, name in BOOKS:
            content = file(name)
            await connection.execute(
                "INSERT INTO price_book (content_hash, content, source, loaded_at, in_force_from)"
                " VALUES ($1, $2, 'prices.yaml', $3, $4)",
                sha256(content).hexdigest(),
                content,
                HOUR + timedelta(hours=loaded),
                None if start is None else HOUR + start * ONE_HOUR,
            )
    finally:
        await connection.close()


def expected(hour: int) -> str:
    """By the rule of 0.1.0: what starts latest, and of the same hour what was loaded last."""
    begun = [(-999 if start is None else start, loaded, name) for loaded, start, name in BOOKS]
    return max(each for each in begun if each[0] <= hour)[2]


async def priced_by(pool: Pool, hour: int) -> str:
    async with pool.acquire() as connection:
        quote = (await load_history(connection, HOUR + hour * ONE_HOUR)).resolve(
            "m", None, HOUR + hour * ONE_HOUR
        )
    assert isinstance(quote, Quote)
    return names()[quote.book.content_hash]


@pytest.mark.parametrize("restored", [False, True], ids=["migrated", "restored into the new schema"])
async def test_books_of_0_1_0_price_the_same_hours_as_before(empty_database_url: str, restored: bool) -> None:
    known = known_revisions()
    ids = [revision.id for revision in known.known]
    if not restored:
        await migrate(
            empty_database_url, revisions=replace(known, known=known.known[: ids.index("0001") + 1])
        )
        await fill(empty_database_url)
    await migrate(empty_database_url)
    if restored:
        await fill(empty_database_url)
    async with open_pool(empty_database_url) as pool:
        for hour in (-60, -21, -20, -6, -5, 0, 1, 99, 100, 500):
            assert await priced_by(pool, hour) == expected(hour), hour
        async with pool.acquire() as connection:
            timeline = await read_timeline(connection)
        assert timeline.latest is not None
        assert names()[timeline.latest.content_hash] == "now"
        assert [names()[one.content_hash] for one in timeline.to_come(HOUR + 2 * ONE_HOUR)] == ["december"]

        # A service that starts with the file of before loads nothing: what was to come still is.
        ledger = Ledger(pool)
        assert (await ledger.load(file("now"), HOUR + 3 * ONE_HOUR)).plan is None
        assert await priced_by(pool, 100) == "december"
        replacing = await ledger.load(file("first"), HOUR + 3 * ONE_HOUR)
        assert replacing.plan is not None
        assert [names()[one.content_hash] for one in replacing.plan.replaces] == ["december"]
        assert await priced_by(pool, 100) == "first"


async def test_a_loading_is_append_only(ledger: Ledger, subtests: pytest.Subtests) -> None:
    await ledger.pool.execute(
        "UPDATE price_loading SET withdrawn_at = now(), withdrawn_by = 'ops', withdrawn_role = 'ops'"
    )
    for statement in (
        "DELETE FROM price_loading",
        "TRUNCATE price_loading",
        "UPDATE price_loading SET in_force_from = NULL",
        "UPDATE price_loading SET content_hash = content_hash",
        "UPDATE price_loading SET withdrawn_at = NULL, withdrawn_by = NULL, withdrawn_role = NULL",
    ):
        with (
            subtests.test(statement),
            pytest.raises(asyncpg.IntegrityConstraintViolationError, match="price_loading is append-only"),
        ):
            await ledger.pool.execute(statement)


SENSELESS = [
    ("source = ''", "price_loading_no_empty_text"),
    ("loaded_by = ''", "price_loading_no_empty_text"),
    ("in_force_from = '2026-11-20 10:30:00Z'", "price_loading_whole_hour"),
    ("replaced_by = number", "price_loading_replaced_by_later"),
    ("withdrawn_at = now()", "price_loading_withdrawn"),
    (
        "replaced_by = 2, withdrawn_at = now(), withdrawn_by = 'x', withdrawn_role = 'x'",
        "price_loading_one_end",
    ),
]


async def test_a_loading_that_makes_no_sense_is_refused(ledger: Ledger, subtests: pytest.Subtests) -> None:
    for columns, constraint in SENSELESS:
        with subtests.test(columns):
            with pytest.raises(asyncpg.CheckViolationError) as refused:
                await ledger.force(f"UPDATE price_loading SET {columns} WHERE number = 1")
            assert refused.value.constraint_name == constraint
