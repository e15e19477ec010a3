"""The product and the oracle side by side, whatever is loaded, stored and rated in whatever order."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import ClassVar

import asyncpg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.database.database import open_pool
from rater_service.events.store import Fate, store_events
from rater_service.rating.run import Mode, RateResult
from tests.harness.ledger import Ledger, nonzero
from tests.harness.postgres import TEMPLATE, PostgresServer, database
from tests.harness.unchanged_hours import compare
from tests.oracle.drawn import FIRST_HOUR, HOURS, DrawnBook, DrawnEvent, Names, books, events, names
from tests.oracle.rating_oracle import Key, Oracle, Rollup, Run

# Each has another idea of where a day ends, and two change their clocks within the hours of the test.
ZONES = ("UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
NOW = FIRST_HOUR + timedelta(days=2)

windows = st.tuples(st.integers(0, HOURS - 1), st.integers(1, HOURS)).filter(lambda each: each[0] < each[1])


def at(hour: int) -> datetime:
    return FIRST_HOUR + timedelta(hours=hour)


class RatingMachine(RuleBasedStateMachine):
    """Does everything twice: in PostgreSQL and in the oracle."""

    runner: ClassVar[asyncio.Runner]
    ledgers: ClassVar[dict[str, Ledger]]

    @initialize(zone=st.sampled_from(ZONES), book=books(), about=names)
    def begin(self, zone: str, book: DrawnBook, about: Names) -> None:
        self.about = about
        self.ledger = self.ledgers[zone]
        self.oracle = Oracle()
        self.sent: list[DrawnEvent] = []
        self.minute = 0
        self.runner.run(self.ledger.forget())
        self.runner.run(self.ledger.forget_prices())
        self.load(book)

    @rule(book=books(), minutes=st.integers(1, 90))
    def load_a_price_file(self, book: DrawnBook, minutes: int) -> None:
        self.minute += minutes
        self.load(book)

    def load(self, book: DrawnBook) -> None:
        self.runner.run(self.ledger.load(book.content, FIRST_HOUR + timedelta(minutes=self.minute)))
        self.oracle.load(book.book, self.minute // 60, book.effective)

    @rule(data=st.data())
    def store_events_new_and_again(self, data: st.DataObject) -> None:
        new = data.draw(st.lists(events(self.about), min_size=1, max_size=8))
        again = data.draw(st.lists(st.sampled_from(self.sent), max_size=3)) if self.sent else []
        bad = data.draw(st.lists(st.sampled_from(new), max_size=1))
        batch = data.draw(
            st.permutations(
                [
                    *((each.sent, Fate.STORED) for each in new),
                    *((each.sent, Fate.DUPLICATE) for each in again),
                    *((_other_usage(each.sent), Fate.CONFLICT) for each in again),
                    *((_without_id(each.sent), Fate.REJECTED) for each in bad),
                ]
            )
        )
        if len({each.sent.request_id for each in [*self.sent, *new]}) != len(self.sent) + len(new):
            return
        results = self.runner.run(store_events(self.ledger.pool, [sent for sent, _ in batch], NOW))
        assert [result.fate for result in results] == [fate for _, fate in batch]
        self.sent += new
        self.oracle.events += [each.event for each in new]

    @rule(window=windows, reprice=st.booleans(), dry_run=st.booleans(), mode=st.sampled_from(Mode))
    def rate(self, window: tuple[int, int], reprice: bool, dry_run: bool, mode: Mode) -> None:
        first, end = window
        self.runner.run(compare(self.ledger.pool, at(first), at(end))).hold()
        result = self.runner.run(
            self.ledger.rate(at(first), at(end), now=NOW, mode=mode, dry_run=dry_run, reprice=reprice)
        )
        expected = self.oracle.run(first, end, reprice=reprice, dry_run=dry_run)
        assert said(result) == foretold(expected)
        for late in result.late_runs:
            hours = [
                (bound - FIRST_HOUR) // timedelta(hours=1) for bound in (late.window_start, late.window_end)
            ]
            # What was billed there keeps its rates.
            assert said(late) == foretold(self.oracle.run(*hours, reprice=False, dry_run=False))

    @rule(window=windows, reprice=st.booleans())
    def rate_again_changes_nothing(self, window: tuple[int, int], reprice: bool) -> None:
        self.rate(window, reprice, dry_run=False, mode=Mode.BACKFILL)
        before = self.runner.run(self.ledger.rollups())
        self.rate(window, reprice, dry_run=False, mode=Mode.BACKFILL)
        assert self.runner.run(self.ledger.rollups()) == before

    @rule(one=windows, other=windows, data=st.data())
    def rate_twice_at_once_while_events_come(
        self, one: tuple[int, int], other: tuple[int, int], data: st.DataObject
    ) -> None:
        late = data.draw(events(self.about))

        async def all_at_once() -> None:
            await asyncio.gather(
                *(self.ledger.rate(at(first), at(end), now=NOW) for first, end in (one, other)),
                self.ledger.store(late.sent),
            )

        if any(each.sent.request_id == late.sent.request_id for each in self.sent):
            return
        self.runner.run(all_at_once())
        self.sent.append(late)
        self.oracle.events.append(late.event)
        # Whether the runs saw the event is open. Where they did not, the next run over all hours does; rates
        # that were frozen meanwhile are those of the same books.
        self.runner.run(self.ledger.rate(at(0), at(HOURS), now=NOW))
        for first, end in (one, other, (0, HOURS)):
            self.oracle.run(first, end, reprice=False, dry_run=False)

    @invariant()
    def the_bills_are_equal(self) -> None:
        if hasattr(self, "oracle"):
            rows = self.runner.run(self.ledger.rollups())
            assert {_key(row): _rollup(row) for row in rows} == self.oracle.bill


def said(result: RateResult) -> dict[str, object]:
    return {
        "counts": nonzero(result),
        "written": result.rollups_written,
        "unchanged": result.rollups_unchanged,
        "deleted": result.reconciled_deletions,
        "total": int(result.total_cost.scaleb(9)),
        "books": list(result.price_books),
    }


def foretold(run: Run) -> dict[str, object]:
    return {
        "counts": dict(run.counts),
        "written": run.inserted + run.updated,
        "unchanged": run.unchanged,
        "deleted": run.deleted,
        "total": sum(row.cost for row in run.bill.values()),
        "books": sorted({row.book for row in run.bill.values()}),
    }


def _key(row: asyncpg.Record) -> Key:
    hour = (row["window_start"] - FIRST_HOUR) // timedelta(hours=1)
    return hour, row["auth_id"], row["resource_id"], row["model_id"]


def _rollup(row: asyncpg.Record) -> Rollup:
    prompt, cached, completion = (
        int(row[f"applied_{name}_rate"].scaleb(9)) for name in ("prompt", "cached", "completion")
    )
    found = Rollup(
        prompt=row["prompt_tokens"],
        cached=row["cached_tokens"],
        completion=row["completion_tokens"],
        billable=row["billable_prompt_tokens"],
        events=row["event_count"],
        rates=(prompt, cached, completion),
        base=row["base_model"],
        book=row["price_book"],
    )
    assert found.cost == int(row["cost"].scaleb(9))
    return found


def _other_usage(event: MeteringEvent) -> MeteringEvent:
    other = MeteringEvent()
    other.CopyFrom(event)
    other.client_request_id += "x"
    return other


def _without_id(event: MeteringEvent) -> MeteringEvent:
    other = MeteringEvent()
    other.CopyFrom(event)
    other.request_id = "none"
    return other


@pytest.fixture
def machine_on(postgres: PostgresServer) -> Iterator[type[RatingMachine]]:
    stack = AsyncExitStack()

    async def open_ledgers() -> dict[str, Ledger]:
        url = await stack.enter_async_context(database(postgres, TEMPLATE))
        return {
            zone: Ledger(await stack.enter_async_context(open_pool(f"{url}&timezone={zone}")))
            for zone in ZONES
        }

    with asyncio.Runner() as runner:
        yield type("Machine", (RatingMachine,), {"runner": runner, "ledgers": runner.run(open_ledgers())})
        runner.run(stack.aclose())


def test_product_and_oracle_agree_row_for_row(machine_on: type[RatingMachine]) -> None:
    run_state_machine_as_test(machine_on, settings=settings(max_examples=12, stateful_step_count=12))


def test_sessions_have_the_time_zones_they_are_to_have(machine_on: type[RatingMachine]) -> None:
    for zone, ledger in machine_on.ledgers.items():
        assert machine_on.runner.run(ledger.pool.fetchval("SHOW timezone")) == zone
