"""A rollup has the same columns wherever it stands."""

import pytest

from phoebe_proto.v1 import rating_pb2 as pb
from rater_service.bills.export_layout import RATED_USAGE
from rater_service.database.database import Connection, Pool
from rater_service.rollup import KEY, VALUES
from rater_service.statements import bound

COLUMNS = {"id", *KEY, "window_end", *VALUES, "run", "rated_at"}
OLD = {f"old_{name}" for name in VALUES} | {"old_run"}
NEW = {f"new_{name}" for name in VALUES}


async def columns(connection: Connection, table: str) -> list[str]:
    rows = await connection.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 ORDER BY attnum", table
    )
    return [row["attname"] for row in rows]


@pytest.mark.every_postgres
@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("rated_usage", COLUMNS),
        ("rated_usage_change", {"id", "run", "kind", "rollup", *KEY} | OLD | NEW),
        ("rating_recorded", {"id", "run", *KEY, *VALUES}),
        ("rating_change", {"kind", "tampering", "tampered_cost", "rollup", *KEY} | OLD | NEW),
    ],
)
async def test_tables_have_the_columns_of_a_rollup(pool: Pool, table: str, expected: set[str]) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(*bound("rating/tables"))
        assert set(await columns(connection, table)) == expected


async def test_an_export_has_the_columns_of_the_table_in_their_order(pool: Pool) -> None:
    async with pool.acquire() as connection:
        assert [column.name for column in RATED_USAGE.columns] == await columns(connection, "rated_usage")


def test_the_wire_has_the_columns_of_a_rollup() -> None:
    assert set(pb.RatedUsage.DESCRIPTOR.fields_by_name) == COLUMNS
