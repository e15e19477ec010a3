"""What the bills said earlier, asked later: every run leaves a state that can be had again, row for row."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rater_service.bills.export import export_rollups
from rater_service.bills.export_layout import RATED_USAGE, Cell
from rater_service.bills.report import Grouping, make_report
from rater_service.bills.rollups import Selection
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event
from tests.harness.rows import KeptRows

pytestmark = pytest.mark.one_postgres

WINDOW = Selection(HOUR, HOUR + 3 * ONE_HOUR)
DEARER = PRICES.replace(b'"0.000000200"', b'"0.000000900"') + b'effective_from: "2026-11-20T11:00:00Z"\n'


@dataclass(frozen=True, slots=True)
class Step:
    """Events that come, a customer whose events get lost, and a run."""

    comes: list[tuple[int, str]]
    lost: str | None
    first_hour: int
    dry_run: bool
    reprice: bool


steps = st.builds(
    Step,
    comes=st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc")), max_size=3),
    lost=st.sampled_from([None, None, "a", "b"]),
    first_hour=st.integers(0, 2),
    dry_run=st.sampled_from([False, False, False, True]),
    reprice=st.booleans(),
)


def test_every_state_of_the_bills_can_be_had_again(
    oracle_ledger: Ledger, oracle_runner: asyncio.Runner
) -> None:
    pool = oracle_ledger.pool

    async def rows(as_of: datetime | None) -> list[tuple[Cell, ...]]:
        kept = KeptRows()
        await export_rollups(pool, WINDOW, as_of, RATED_USAGE, kept, now=HOUR + 9 * ONE_HOUR)
        return kept.rows

    async def take(step: Step) -> None:
        await oracle_ledger.store(
            *(make_event(HOUR + hours * ONE_HOUR, auth_id=customer) for hours, customer in step.comes)
        )
        if step.lost is not None:
            await oracle_ledger.correct("DELETE FROM stored_event WHERE auth_id = $1", step.lost)
        start = HOUR + step.first_hour * ONE_HOUR
        await oracle_ledger.rate(
            start, WINDOW.window_end, now=HOUR + 9 * ONE_HOUR, dry_run=step.dry_run, reprice=step.reprice
        )

    async def check(taken: list[Step]) -> None:
        await oracle_ledger.forget()
        states: list[tuple[datetime, list[tuple[Cell, ...]]]] = []
        for step in [None, *taken]:
            if step is not None:
                await take(step)
            moment = await pool.fetchval("SELECT clock_timestamp()")
            states.append(
                (moment, [tuple(row[c.name] for c in RATED_USAGE.columns) for row in await bills()])
            )
        for moment, state in states:
            assert await rows(moment) == state
            report = await make_report(pool, WINDOW, [Grouping.CUSTOMER], moment, HOUR + 9 * ONE_HOUR)
            cost = [column.name for column in RATED_USAGE.columns].index("cost")
            assert report.total.cost == sum(row[cost] for row in state)  # type: ignore[misc] # it is money
        assert await rows(None) == states[-1][1]

    async def bills() -> list[dict[str, Cell]]:
        return [dict(row) for row in await oracle_ledger.rollups()]

    oracle_runner.run(oracle_ledger.load(DEARER, HOUR))

    @settings(max_examples=12)
    @given(st.lists(steps, min_size=1, max_size=5))
    def agree(taken: list[Step]) -> None:
        oracle_runner.run(check(taken))

    agree()
