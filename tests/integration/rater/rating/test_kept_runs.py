"""What is kept of a run, and what it wrote, is what it answered: each number under its own name."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from phoebe_proto.v1 import rating_pb2 as pb
from phoebe_proto.v1.rating_pb2_grpc import RatingServiceStub
from rater_service.hours import utc_text
from rater_service.rating.run import Mode
from rater_service.service.server import running_server
from rater_service.wire_time import to_datetime, to_timestamp
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event, nonzero

if TYPE_CHECKING:  # only the generated types know it
    from phoebe_proto.v1.rating_pb2_grpc import RatingServiceAsyncStub

# Told to the caller, and not kept with the run: the changes themselves are, and so are the other runs.
NOT_KEPT = {"change", "changes_by_auth", "changed_auth_count", "late_runs"}
# Kept, and known to the caller, who asked for them.
ASKED = {"mode", "dry_run", "reprice", "started_at"}


async def test_every_count_of_a_run_is_kept_under_its_own_name(ledger: Ledger) -> None:
    """All counts differ from each other, so that none can stand in another's place."""
    await ledger.store(*(make_event(auth_id=f"stays-{n}") for n in range(8)))
    await ledger.store(*(make_event(auth_id=f"goes-{n}") for n in range(9)))
    await ledger.rate()
    await ledger.correct("DELETE FROM stored_event WHERE auth_id LIKE 'goes-%'")
    await ledger.store(
        *(make_event(auth_id=f"comes-{n % 7}") for n in range(17)),
        *(make_event(model_id="nobody/knows") for _ in range(2)),
        *(make_event(auth_id=None) for _ in range(3)),
        *(make_event(model_id="ft:x", base_model=f"meta/base-{'ab'[n % 2]}") for n in range(4)),
        *(make_event(usage_found=False) for _ in range(5)),
        *(make_event(usage_found=False, outcome="aborted") for _ in range(6)),
    )

    # It sees that the run is kept as it answered.
    result = await ledger.rate(mode=Mode.BACKFILL, reprice=True, by="finance")

    assert nonzero(result) == {
        "rated": 25,
        "unpriced": 2,
        "unattributable": 3,
        "ambiguous_base": 4,
        "missing_usage": 5,
        "zero_charge": 6,
    }
    assert (result.rollups_written, result.rollups_unchanged, result.reconciled_deletions) == (7, 8, 9)
    assert len({anomaly.events for anomaly in result.anomalies}) == 4


@dataclass(frozen=True, slots=True)
class Service:
    """A service on a database of its own, driven by a test that draws."""

    ledger: Ledger
    rating: "RatingServiceAsyncStub"


@pytest.fixture
def service(oracle_ledger: Ledger, oracle_runner: asyncio.Runner) -> Iterator[Service]:
    stack = AsyncExitStack()

    async def start() -> Service:
        running = running_server(oracle_ledger.pool, "127.0.0.1:0", asyncio.Event())
        port = await stack.enter_async_context(running)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        return Service(oracle_ledger, RatingServiceStub(channel))

    yield oracle_runner.run(start())
    oracle_runner.run(stack.aclose())


drawn_events = st.lists(
    st.fixed_dictionaries(
        {
            "auth_id": st.sampled_from(["a1", "a2", None]),
            "resource_id": st.sampled_from(["r1", "r2"]),
            "model_id": st.sampled_from(["meta/base-a", "meta/base-b", "ft:x", "ft:own", "nobody/knows"]),
            "base_model": st.sampled_from([None, "meta/base-a", "meta/base-b"]),
            "usage_found": st.sampled_from([True, True, False]),
            "outcome": st.sampled_from(["completed", "aborted"]),
            "cached_tokens": st.integers(0, 9),
            "prompt_tokens": st.integers(10, 90),
            "completion_tokens": st.integers(0, 900),
        }
    ),
    max_size=12,
)


def test_a_run_and_its_rollups_are_kept_as_they_were_answered(
    service: Service, oracle_runner: asyncio.Runner
) -> None:
    @settings(max_examples=9)
    @given(st.lists(st.tuples(drawn_events, st.booleans(), st.booleans()), min_size=1, max_size=3))
    def agree(runs: list[tuple[list[dict[str, object]], bool, bool]]) -> None:
        oracle_runner.run(check(service, runs))

    agree()


async def check(service: Service, runs: list[tuple[list[dict[str, object]], bool, bool]]) -> None:
    await service.ledger.forget()
    for events, dry_run, reprice in runs:
        await service.ledger.store(*(make_event(**_valid(event)) for event in events))
        answer = await service.rating.RateWindow(
            pb.RateWindowRequest(
                window_start=to_timestamp(HOUR),
                window_end=to_timestamp(HOUR + ONE_HOUR),
                mode=pb.RATE_MODE_BACKFILL,
                dry_run=dry_run,
                reprice=reprice,
            )
        )
        kept = await service.ledger.run(answer.run_id)
        assert {name: value for name, value in kept.items() if name in ASKED - {"started_at"}} == {
            "mode": "BACKFILL",
            "dry_run": dry_run,
            "reprice": reprice,
        }
        told = {name: value for name, value in spoken(answer).items() if name not in NOT_KEPT}
        told["id"] = told.pop("run_id")
        assert told == written({name: value for name, value in kept.items() if name not in ASKED})
        listed = await service.rating.ListRatedUsage(pb.ListRatedUsageRequest())
        rows = await service.ledger.rollups()
        assert [spoken(row) for row in listed.rated_usage] == [written(dict(row)) for row in rows]


def _valid(event: dict[str, object]) -> dict[str, object]:
    if event["usage_found"]:
        return event
    return {name: value for name, value in event.items() if not name.endswith("_tokens")}


def spoken(message: Message) -> dict[str, object]:
    """A message by its fields, in plain values."""
    return {field.name: _plain(getattr(message, field.name)) for field in message.DESCRIPTOR.fields}


def _plain(value: object) -> object:
    if isinstance(value, Timestamp):
        return utc_text(to_datetime(value))
    if isinstance(value, Message):
        return spoken(value)
    if isinstance(value, str | int | bool):
        return value
    return [_plain(one) for one in value]  # type: ignore[attr-defined] # repeated, of a type without a name


def written(row: Mapping[str, object]) -> dict[str, object]:
    """A row by its columns, in the same form: the wire has no NULL for texts, and decimals are texts."""
    return {name: _on_the_wire(value) for name, value in row.items()}


def _on_the_wire(value: object) -> object:
    match value:
        case None:
            return ""
        case Decimal():
            return format(value, "f") if value else "0"
        case dict():
            return written(value)
        case list():
            return [_on_the_wire(one) for one in value]
        case datetime():
            return utc_text(value)
        case _:
            assert isinstance(value, str | int | bool)
            return value
