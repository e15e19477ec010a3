"""Rollups as rows of FOCUS: one for each kind of token that costs something, or nothing, but was used."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from rater_service.bills.export_layout import Cell, ColumnKind
from rater_service.bills.focus import Parties, focus_layout
from rater_service.hours import HOUR

PARTIES = Parties("Saturn", "Meta", "Saturn Invoices", "Inference")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ROLLUP: dict[str, Cell] = {
    "id": 5,
    "auth_id": "alice",
    "resource_id": "deployment-1",
    "model_id": "meta/base-a",
    "window_start": NOON,
    "window_end": NOON + HOUR,
    "prompt_tokens": 110,
    "cached_tokens": 30,
    "completion_tokens": 20,
    "billable_prompt_tokens": 80,
    "cost": Decimal("0.000029500"),
    "applied_prompt_rate": Decimal("0.000000200"),
    "applied_cached_rate": Decimal("0.000000050"),
    "applied_completion_rate": Decimal("0.000000600"),
    "event_count": 2,
    "base_model": None,
    "price_book": "c0ffee",
    "run": 9,
    "rated_at": NOON + 2 * HOUR,
}


def rows(**changed: Cell) -> list[dict[str, Cell]]:
    layout = focus_layout(PARTIES)
    names = [column.name for column in layout.columns]
    return [dict(zip(names, row, strict=True)) for row in layout.rows(ROLLUP | changed)]


def test_each_kind_of_token_has_a_row_and_together_they_cost_what_the_rollup_does() -> None:
    found = rows()

    assert [
        (row["SkuMeter"], row["ConsumedQuantity"], row["ListUnitPrice"], row["BilledCost"]) for row in found
    ] == [
        ("Prompt Tokens", 80, Decimal("0.000000200"), Decimal("0.000016000")),
        ("Cached Prompt Tokens", 30, Decimal("0.000000050"), Decimal("0.000001500")),
        ("Completion Tokens", 20, Decimal("0.000000600"), Decimal("0.000012000")),
    ]
    assert sum(Decimal(str(row["BilledCost"])) for row in found) == ROLLUP["cost"]


def test_a_kind_of_token_that_was_not_used_has_no_row() -> None:
    assert [row["SkuMeter"] for row in rows(cached_tokens=0)] == ["Prompt Tokens", "Completion Tokens"]
    assert rows(billable_prompt_tokens=0, cached_tokens=0, completion_tokens=0) == []


def test_free_tokens_have_a_row_that_costs_nothing() -> None:
    free = Decimal(0)
    found = rows(applied_prompt_rate=free, applied_cached_rate=free, applied_completion_rate=free)

    assert [row["BilledCost"] for row in found] == [0, 0, 0]


def test_every_cost_every_price_and_every_quantity_of_a_row_is_the_same_one() -> None:
    (row,) = rows(cached_tokens=0, completion_tokens=0)

    costs = {name: row[name] for name in row if name.endswith("Cost")}
    assert set(costs.values()) == {Decimal("0.000016000")}
    assert len(costs) == 5
    prices = {name: row[name] for name in row if name.endswith("UnitPrice")}
    assert set(prices.values()) == {Decimal("0.000000200")}
    assert len(prices) == 4
    assert row["PricingQuantity"] == row["ConsumedQuantity"] == 80
    assert row["PricingUnit"] == row["ConsumedUnit"] == "Tokens"
    assert row["PricingCurrency"] == row["BillingCurrency"] == "USD"


def test_a_quantity_looks_like_a_decimal_to_who_guesses_types() -> None:
    assert [str(row["ConsumedQuantity"]) for row in rows()] == ["80.0", "30.0", "20.0"]


@pytest.mark.parametrize(
    ("hour", "first", "next_first"),
    [
        (NOON, datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        (
            datetime(2026, 12, 31, 23, tzinfo=UTC),
            datetime(2026, 12, 1, tzinfo=UTC),
            datetime(2027, 1, 1, tzinfo=UTC),
        ),
        (
            datetime(2028, 2, 29, 5, tzinfo=UTC),
            datetime(2028, 2, 1, tzinfo=UTC),
            datetime(2028, 3, 1, tzinfo=UTC),
        ),
        (
            datetime(2027, 1, 1, 0, tzinfo=UTC),
            datetime(2027, 1, 1, tzinfo=UTC),
            datetime(2027, 2, 1, tzinfo=UTC),
        ),
        # Still November in UTC, December already in Berlin.
        (
            datetime(2026, 12, 1, 0, tzinfo=timezone(timedelta(hours=1))),
            datetime(2026, 11, 1, tzinfo=UTC),
            datetime(2026, 12, 1, tzinfo=UTC),
        ),
    ],
)
def test_the_billing_period_is_the_month_of_the_hour_in_utc(
    hour: datetime, first: datetime, next_first: datetime
) -> None:
    (row, *_) = rows(window_start=hour, window_end=hour + HOUR)

    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == (first, next_first)
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == (hour, hour + HOUR)


def test_the_same_price_has_the_same_id_in_every_price_file_and_for_everybody() -> None:
    one, *_ = rows()
    other, *_ = rows(price_book="other", auth_id="bob", resource_id="deployment-2", run=10)
    dearer, *_ = rows(applied_prompt_rate=Decimal("0.000000201"))

    assert one["SkuPriceId"] == other["SkuPriceId"] == "meta/base-a/prompt@0.000000200"
    assert dearer["SkuPriceId"] != one["SkuPriceId"]
    assert dearer["SkuId"] == one["SkuId"] == "meta/base-a/prompt"


def test_a_row_says_whose_usage_of_what_it_is_and_where_it_comes_from() -> None:
    row, *_ = rows(base_model="meta/base")

    assert (row["BillingAccountId"], row["ResourceId"]) == ("alice", "deployment-1")
    assert (row["x_ModelId"], row["x_BaseModelId"]) == ("meta/base-a", "meta/base")
    assert (row["x_PriceBookId"], row["x_RollupId"], row["x_RunId"]) == ("c0ffee", 5, 9)
    assert row["SkuPriceDetails"] == '{"x_ModelId": "meta/base-a", "x_TokenKind": "prompt"}'
    assert row["ChargeDescription"] == "meta/base-a: prompt tokens that did not come from the cache"
    assert [row[name] for name in ("ProviderName", "PublisherName", "InvoiceIssuerName", "ServiceName")] == [
        "Saturn",
        "Meta",
        "Saturn Invoices",
        "Inference",
    ]


def test_only_columns_that_may_be_blank_are() -> None:
    may_be_blank = {column.name for column in focus_layout(PARTIES).columns if not column.is_required}

    for row in rows():
        assert {name for name, cell in row.items() if cell is None} == may_be_blank


def test_every_cell_is_of_the_kind_of_its_column() -> None:
    types = {
        ColumnKind.TEXT: str,
        ColumnKind.INTEGER: int,
        ColumnKind.MONEY: Decimal,
        ColumnKind.RATE: Decimal,
        ColumnKind.TIME: datetime,
    }
    layout = focus_layout(PARTIES)
    for row in layout.rows(ROLLUP | {"base_model": "meta/base"}):
        for column, cell in zip(layout.columns, row, strict=True):
            assert cell is None or isinstance(cell, types[column.kind]), column
