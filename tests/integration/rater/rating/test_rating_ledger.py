"""What is kept of runs and of every change they made, and that a dry run foretells it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phoebe_proto.v1 import rating_pb2 as pb
from phoebe_proto.v1.rating_pb2_grpc import RatingServiceStub
from rater_service.rating.computation import compute
from rater_service.rating.run import BillChange, Mode, RateRequest
from rater_service.service.access_list import Right
from rater_service.service.protection import ProtectionFiles
from rater_service.wire_time import to_timestamp
from tests.harness.guarded_rater import TokensFile, bearer, guarded_rater
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event
from tests.harness.rater import Rater

VALUES = (
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "billable_prompt_tokens",
    "cost",
    "applied_prompt_rate",
    "applied_cached_rate",
    "applied_completion_rate",
    "event_count",
    "base_model",
    "price_book",
)
KEY = ("window_start", "auth_id", "resource_id", "model_id")


def values(row: asyncpg.Record, prefix: str = "") -> tuple[object, ...]:
    return tuple(row[prefix + name] for name in VALUES)


def latest(changes: Sequence[asyncpg.Record]) -> dict[tuple[object, ...], tuple[object, ...]]:
    """The rollups there must be by these changes, with their ids and runs."""
    state: dict[tuple[object, ...], tuple[object, ...]] = {}
    for change in changes:
        key = tuple(change[name] for name in KEY)
        if change["kind"] == "DELETE":
            del state[key]
        else:
            state[key] = (change["rollup"], change["run"], *values(change, "new_"))
    return state


async def standing(ledger: Ledger) -> dict[tuple[object, ...], tuple[object, ...]]:
    """The rollups there are, in the same form."""
    return {
        tuple(row[name] for name in KEY): (row["id"], row["run"], *values(row))
        for row in await ledger.rollups()
    }


async def test_each_change_is_kept_with_what_was_there_before(ledger: Ledger) -> None:
    await ledger.store(make_event(), make_event(auth_id="bob"))
    first = await ledger.rate()
    inserted = await ledger.rollups()
    await ledger.store(make_event())
    await ledger.correct("DELETE FROM stored_event WHERE auth_id = 'bob'")
    second = await ledger.rate()
    (updated,) = await ledger.rollups()

    changes = await ledger.changes()
    assert [(change["kind"], change["run"], change["auth_id"]) for change in changes] == [
        ("INSERT", first.run_id, "alice"),
        ("INSERT", first.run_id, "bob"),
        ("UPDATE", second.run_id, "alice"),
        ("DELETE", second.run_id, "bob"),
    ]
    assert [change["rollup"] for change in changes] == [row["id"] for row in inserted] * 2
    nothing = (None,) * len(VALUES)
    assert [values(change, "old_") for change in changes] == [nothing, nothing, *map(values, inserted)]
    assert [values(change, "new_") for change in changes] == [
        *map(values, inserted),
        values(updated),
        nothing,
    ]
    assert [change["old_run"] for change in changes] == [None, None, first.run_id, first.run_id]


async def test_runs_that_change_nothing_and_dry_runs_leave_no_change(ledger: Ledger) -> None:
    await ledger.store(make_event())
    await ledger.rate(dry_run=True)
    assert await ledger.changes() == []
    await ledger.rate()
    before = await ledger.changes()
    await ledger.rate()
    await ledger.store(make_event())
    await ledger.rate(dry_run=True, reprice=True)
    assert await ledger.changes() == before


async def test_what_an_hour_said_at_a_time_can_be_told(ledger: Ledger) -> None:
    moments, bills = [], []
    for _ in range(3):
        await ledger.store(make_event())
        moments.append((await ledger.rate()).finished_at)
        bills.append(await standing(ledger))
    for moment, bill in zip(moments, bills, strict=True):
        by_then = await ledger.pool.fetch(
            "SELECT change.* FROM rated_usage_change AS change JOIN rating_run ON rating_run.id = run"
            " WHERE finished_at <= $1 ORDER BY change.id",
            moment,
        )
        assert latest(by_then) == bill


async def test_what_is_kept_of_runs_can_not_be_changed(ledger: Ledger, subtests: pytest.Subtests) -> None:
    await ledger.store(make_event())
    await ledger.rate()
    for table in ("rating_run", "rated_usage_change"):
        for change in ("UPDATE {} SET id = DEFAULT", "DELETE FROM {}", "TRUNCATE {} CASCADE"):
            with (
                subtests.test(change.format(table)),
                pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"),
            ):
                await ledger.pool.execute(change.format(table))


WRONG_CHANGES = [
    ("kind = 'OTHER'", "rated_usage_change_kind"),
    ("kind = 'DELETE'", "rated_usage_change_new"),
    ("kind = 'UPDATE'", "rated_usage_change_old"),
    ("old_base_model = 'x'", "rated_usage_change_old"),
    ("new_cost = new_cost + 0.000000001", "rated_usage_change_cost_explained"),
    ("new_price_book = NULL", "rated_usage_change_new"),
    ("new_base_model = ''", "rated_usage_change_no_empty_text"),
]


async def test_a_wrong_change_is_refused(ledger: Ledger, subtests: pytest.Subtests) -> None:
    await ledger.store(make_event())
    await ledger.rate()
    for change, constraint in WRONG_CHANGES:
        with subtests.test(change):
            with pytest.raises(asyncpg.CheckViolationError) as refused:
                await ledger.force(f"UPDATE rated_usage_change SET {change}")
            assert refused.value.constraint_name == constraint


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("requested_by = ''", "rating_run_no_empty_text"),
        ("requested_by = NULL", "requested_by"),
        ("knowledge_at = NULL", "knowledge_at"),
    ],
)
async def test_a_run_nobody_accounts_for_is_refused(ledger: Ledger, change: str, rule: str) -> None:
    await ledger.rate()
    with pytest.raises((asyncpg.CheckViolationError, asyncpg.NotNullViolationError)) as refused:
        await ledger.force(f"UPDATE rating_run SET {change}")
    assert rule in (refused.value.constraint_name, refused.value.column_name)


async def test_a_run_for_a_name_that_can_not_be_kept_is_refused(
    ledger: Ledger, subtests: pytest.Subtests
) -> None:
    for name in ("", " ", "x" * 201, "line\nbreak", "nul\0"):
        with subtests.test(repr(name)), pytest.raises(ValueError, match="requested_by"):
            await ledger.rate(by=name)


async def test_a_run_says_who_asked_what_it_knew_and_when_it_ended(ledger: Ledger) -> None:
    before = await ledger.pool.fetchval("SELECT clock_timestamp()")
    result = await ledger.rate(by="finance")
    after = await ledger.pool.fetchval("SELECT clock_timestamp()")
    assert before < result.knowledge_at < result.finished_at < after
    kept = await ledger.pool.fetchrow("SELECT requested_by, knowledge_at, finished_at FROM rating_run")
    assert kept is not None
    assert tuple(kept) == ("finance", result.knowledge_at, result.finished_at)


async def test_the_bills_that_change_are_listed_by_customer_with_the_whole_window_around_them(
    ledger: Ledger,
) -> None:
    one = Decimal("0.000023")
    await ledger.store(
        *(make_event(auth_id=name) for name in ("gone", "grows", "stays")),
        make_event(auth_id="grows", resource_id="other"),
    )
    await ledger.rate()
    await ledger.correct("DELETE FROM stored_event WHERE auth_id = 'gone'")
    await ledger.store(make_event(auth_id="grows"), make_event(auth_id="grows"), make_event(auth_id="new"))
    dry, wet, again = [await ledger.rate(dry_run=dry_run) for dry_run in (True, False, False)]
    assert dry.changes == wet.changes
    assert wet.changes.by_auth == (
        BillChange("grows", 0, 1, 0, 2 * one, 4 * one, 2 * one),
        BillChange("gone", 0, 0, 1, one, Decimal(0), -one),
        BillChange("new", 1, 0, 0, Decimal(0), one, one),
    )
    assert wet.changes.total == BillChange(None, 1, 1, 1, 4 * one, 6 * one, 2 * one)
    assert wet.changes.auth_ids == 3
    assert again.changes.total == BillChange(None, 0, 0, 0, 6 * one, 6 * one, Decimal(0))
    assert (again.changes.by_auth, again.changes.auth_ids) == ((), 0)


async def test_of_many_bills_that_change_those_that_change_most_are_listed(
    ledger: Ledger, rater: Rater
) -> None:
    await ledger.store(*(make_event(auth_id=f"a{n:03}", prompt_tokens=1000 + n) for n in range(120)))
    answer = await rater.rating.RateWindow(
        pb.RateWindowRequest(
            window_start=to_timestamp(HOUR), window_end=to_timestamp(HOUR + ONE_HOUR), dry_run=True
        )
    )
    assert [change.auth_id for change in answer.changes_by_auth] == [f"a{n:03}" for n in range(119, 19, -1)]
    assert (answer.changed_auth_count, answer.change.rollups_inserted, answer.change.auth_id) == (
        120,
        120,
        "",
    )
    assert (answer.change.cost_before, answer.change.difference) == ("0", answer.total_cost)
    assert answer.requested_by == "anonymous"
    assert answer.knowledge_at.ToNanoseconds() < answer.finished_at.ToNanoseconds()


steps = st.one_of(
    st.tuples(
        st.just("store"),
        st.lists(
            st.tuples(
                st.integers(0, 2),
                st.sampled_from(["a", "b"]),
                st.sampled_from(["meta/base-a", "ft:x", "late"]),
                st.sampled_from([None, "meta/base-a", "meta/base-b"]),
            ),
            max_size=4,
        ),
    ),
    st.tuples(st.just("lose"), st.integers(0, 2)),
    st.tuples(st.just("price"), st.integers(1, 9)),
    st.tuples(st.just("rate"), st.tuples(st.integers(0, 2), st.integers(1, 3), st.booleans())),
)


CHANGES = """
SELECT * FROM rating_change WHERE kind <> 'same' ORDER BY window_start, auth_id, resource_id, model_id
"""


@dataclass(frozen=True, slots=True)
class Story:
    """What happens to a ledger, one step after the other; checks every run."""

    ledger: Ledger

    async def tell(self, drawn: list[tuple[str, object]]) -> None:
        await self.ledger.forget()
        await self.ledger.forget_prices()
        await self.ledger.load()
        for minutes, (step, argument) in enumerate([*drawn, ("rate", (0, 3, True))]):
            await self.take(step, argument, HOUR + timedelta(minutes=minutes))

    async def take(self, step: str, argument: object, now: datetime) -> None:
        match step, argument:
            case "store", list(events):
                await self.ledger.store(
                    *(
                        make_event(HOUR + hour * ONE_HOUR, auth_id=auth, model_id=model, base_model=base)
                        for hour, auth, model, base in events
                    )
                )
            case "lose", int(hour):
                await self.ledger.correct(
                    "DELETE FROM stored_event WHERE event_time = $1", HOUR + hour * ONE_HOUR
                )
            case "price", int(tenths):
                more = f'base_models:\n  "late": {{ prompt: "0.{tenths}", cached: "0", completion: "0" }}\n'
                content = PRICES.replace(b"base_models:\n", more.encode())
                since = f'effective_from: "{HOUR + tenths % 3 * ONE_HOUR:%Y-%m-%dT%H:%M:%SZ}"\n'
                await self.ledger.load(content + since.encode(), at=now)
            case "rate", (int(start), int(hours), bool(reprice)):
                await self.rate(HOUR + start * ONE_HOUR, HOUR + (start + hours) * ONE_HOUR, reprice)

    async def rate(self, start: datetime, end: datetime, reprice: bool) -> None:
        now = HOUR + 9 * ONE_HOUR
        before = await self.ledger.changes()
        foretold = await self.foretell(RateRequest(start, end, "a test", Mode.ROUTINE, reprice=reprice))
        dry = await self.ledger.rate(start, end, now=now, reprice=reprice, dry_run=True)
        assert await self.ledger.changes() == before
        wet = await self.ledger.rate(start, end, now=now, reprice=reprice)
        after = await self.ledger.changes()
        made = after[len(before) :]
        assert after[: len(before)] == before
        assert (dry.changes, dry.total_cost, dry.anomalies) == (wet.changes, wet.total_cost, wet.anomalies)
        assert [comparable(change) for change in made] == foretold
        assert wet.changes.total.difference == sum(
            (change["new_cost"] or 0) - (change["old_cost"] or 0) for change in made
        )
        assert latest(after) == await standing(self.ledger)
        known = latest(before)
        for change in made:
            if change["kind"] != "INSERT":
                was = (change["rollup"], change["old_run"], *values(change, "old_"))
                assert was == known[tuple(change[name] for name in KEY)]

    async def foretell(self, request: RateRequest) -> list[tuple[object, ...]]:
        async with self.ledger.pool.acquire() as connection:
            reading = connection.transaction(isolation="repeatable_read")
            await reading.start()
            computed = await compute(connection, request)
            rows = await connection.fetch(CHANGES) if computed.part else []
            await reading.rollback()
        return [comparable(row) for row in rows]


def comparable(row: asyncpg.Record) -> tuple[object, ...]:
    """A change in the form it has before the run that makes it: a new rollup has no id."""
    rollup = None if row["kind"].upper() == "INSERT" else row["rollup"]
    key = tuple(row[name] for name in KEY)
    return row["kind"].upper(), rollup, *key, *values(row, "old_"), *values(row, "new_")


def test_a_dry_run_foretells_the_run_row_for_row_and_the_ledger_adds_up_to_the_bills(
    oracle_ledger: Ledger, oracle_runner: asyncio.Runner
) -> None:
    @settings(max_examples=8)
    @given(st.lists(steps, min_size=2, max_size=8))
    def agree(drawn: list[tuple[str, object]]) -> None:
        oracle_runner.run(Story(oracle_ledger).tell(drawn))

    agree()


async def test_a_run_over_grpc_is_kept_for_the_name_of_the_token(ledger: Ledger, tmp_path: Path) -> None:
    tokens = TokensFile(tmp_path / "tokens")
    window = pb.RateWindowRequest(window_start=to_timestamp(HOUR), window_end=to_timestamp(HOUR + ONE_HOUR))
    shown = {name: bearer(tokens.let_in(Right.RATE, name=name)) for name in ("atlas", "finance")}
    async with (
        guarded_rater(ledger.pool, ProtectionFiles(tokens=tokens.path)) as rater,
        rater.channel() as channel,
    ):
        stub = RatingServiceStub(channel)
        answers = await asyncio.gather(
            *(stub.RateWindow(window, metadata=metadata) for metadata in [*shown.values()] * 3)
        )
    assert [answer.requested_by for answer in answers] == ["atlas", "finance"] * 3
    kept = await ledger.pool.fetch("SELECT id, requested_by FROM rating_run")
    assert {tuple(run) for run in kept} == {(answer.run_id, answer.requested_by) for answer in answers}
