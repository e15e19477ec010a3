"""The worked examples of the documentation, each run on a real database."""

from datetime import timedelta

import pytest

from rater_service.database.database import Pool
from rater_service.rating.run import RateResult
from tests.harness.ledger import Ledger, make_event, nonzero
from tests.harness.rating_examples import (
    MIDNIGHT,
    Bill,
    Counts,
    Events,
    Example,
    PriceFile,
    Row,
    examples,
    moment,
)

pytestmark = pytest.mark.one_postgres

DAY = timedelta(days=1)
COUNTS = {"prompt": "prompt_tokens", "cached": "cached_tokens", "completion": "completion_tokens"}


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
async def test_an_example_is_what_happens(pool: Pool, example: Example) -> None:
    ledger = Ledger(pool)
    result: RateResult | None = None
    for step in example.steps:
        match step:
            case PriceFile(content, loaded_at):
                await ledger.load(content, loaded_at)
            case Events(rows):
                await ledger.store(*(make_event(moment(row["ended at"]), **fields(row)) for row in rows))
                result = None
            case Bill(rows, reprice):
                result = await rate(ledger, reprice=reprice)
                assert await bill(ledger) == list(rows)
            case Counts(rows):
                result = result or await rate(ledger)
                assert nonzero(result) == {row["count"]: int(row["events"]) for row in rows}
    assert any(isinstance(step, Bill) for step in example.steps)


async def rate(ledger: Ledger, *, reprice: bool = False) -> RateResult:
    return await ledger.rate(MIDNIGHT, MIDNIGHT + DAY, now=MIDNIGHT + 2 * DAY, reprice=reprice)


def fields(row: Row) -> dict[str, object]:
    named: dict[str, object] = {
        name: row[name] or None
        for name in ("auth_id", "resource_id", "model_id", "base_model", "outcome")
        if name in row
    }
    counts = {field: int(row[name]) if row[name] else None for name, field in COUNTS.items()}
    return named | (counts if any(row[name] for name in COUNTS) else {"usage_found": False})


async def bill(ledger: Ledger) -> list[Row]:
    return [
        {
            "hour": f"{row['window_start']:%H:%M}",
            "auth_id": row["auth_id"],
            "resource_id": row["resource_id"],
            "model_id": row["model_id"],
            "events": str(row["event_count"]),
            "billable prompt": str(row["billable_prompt_tokens"]),
            "cached": str(row["cached_tokens"]),
            "completion": str(row["completion_tokens"]),
            "cost": f"{row['cost']:f}",
        }
        for row in await ledger.rollups()
    ]


def test_the_page_has_its_examples() -> None:
    assert len(examples()) >= 10
