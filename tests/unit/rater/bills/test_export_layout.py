from datetime import UTC, datetime
from decimal import Decimal

from rater_service.bills.export_layout import RATED_USAGE, Cell


def test_a_rollup_is_one_row_with_its_values_in_the_order_of_the_columns() -> None:
    values: dict[str, Cell] = {column.name: column.name.upper() for column in RATED_USAGE.columns}
    values |= {"id": 7, "cost": Decimal("0.000000001"), "window_start": datetime(2026, 11, 20, tzinfo=UTC)}
    values |= {"base_model": None, "not_exported": "x"}

    (row,) = RATED_USAGE.rows(values)

    assert dict(zip((column.name for column in RATED_USAGE.columns), row, strict=True)) == {
        name: value for name, value in values.items() if name != "not_exported"
    }


def test_only_the_base_model_may_be_blank() -> None:
    assert [column.name for column in RATED_USAGE.columns if not column.is_required] == ["base_model"]
