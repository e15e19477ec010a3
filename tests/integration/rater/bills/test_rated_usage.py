"""Rated usage, listed page by page over a real server."""

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from phoebe_proto.v1 import rating_pb2 as pb
from rater_service.wire_time import to_datetime, to_timestamp
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event
from tests.harness.rater import Rater
from tests.harness.rpc import failure

START, END = to_timestamp(HOUR), to_timestamp(HOUR + ONE_HOUR)


async def list_all(rater: Rater, **filters: object) -> list[pb.RatedUsage]:
    rows: list[pb.RatedUsage] = []
    token = ""
    for _ in range(100):  # more pages than any test has
        page = await rater.rating.ListRatedUsage(
            pb.ListRatedUsageRequest(page_token=token, **filters)  # type: ignore[arg-type] # as the test says
        )
        rows += page.rated_usage
        token = page.next_page_token
        if not token:
            return rows
    pytest.fail("the pages never end")


async def test_pages_hold_every_rollup_once_in_order(rater: Rater, ledger: Ledger) -> None:
    await ledger.store(
        *(
            make_event(HOUR - hours * ONE_HOUR, auth_id=f"a{auth}", resource_id=f"r{resource}")
            for hours in range(3)
            for auth in range(3)
            for resource in range(2)
        )
    )
    await ledger.rate(HOUR - 2 * ONE_HOUR, HOUR + ONE_HOUR)
    expected = [row["id"] for row in await ledger.rollups()]
    for page_size in (0, 1, 5, 18, 1000):
        assert [row.id for row in await list_all(rater, page_size=page_size)] == expected
    one_auth = await list_all(rater, auth_id="a1", page_size=2)
    assert [(row.auth_id, row.resource_id) for row in one_auth] == [("a1", "r0"), ("a1", "r1")] * 3
    some = await list_all(
        rater, resource_id="r1", window_start=to_timestamp(HOUR - ONE_HOUR), window_end=START, page_size=2
    )
    assert [(row.auth_id, to_datetime(row.window_start)) for row in some] == [
        (f"a{auth}", HOUR - ONE_HOUR) for auth in range(3)
    ]


async def test_a_listed_rollup_has_all_its_columns(rater: Rater, ledger: Ledger) -> None:
    await ledger.store(make_event(model_id="ft:x", base_model="meta/base-a"))
    result = await ledger.rate()
    (row,) = await list_all(rater)
    assert row.id > 0
    assert row.price_book == result.price_books[0]
    expected = pb.RatedUsage(
        id=row.id,
        auth_id="alice",
        resource_id="deployment-1",
        model_id="ft:x",
        window_start=START,
        window_end=END,
        prompt_tokens=100,
        cached_tokens=20,
        completion_tokens=10,
        billable_prompt_tokens=80,
        cost="0.000034500",
        applied_prompt_rate="0.000000300",
        applied_cached_rate="0.000000075",
        applied_completion_rate="0.000000900",
        event_count=1,
        base_model="meta/base-a",
        price_book=row.price_book,
        run=result.run_id,
        rated_at=to_timestamp(HOUR + 2 * ONE_HOUR),
    )
    assert row == expected


INVALID_REQUESTS = [
    (pb.ListRatedUsageRequest(page_size=1001), "INVALID_REQUEST", "page_size"),
    (pb.ListRatedUsageRequest(page_size=-1), "INVALID_REQUEST", "page_size"),
    (pb.ListRatedUsageRequest(window_end=Timestamp(seconds=2**60)), "INVALID_REQUEST", "window_end"),
    (pb.ListRatedUsageRequest(auth_id="a\0"), "INVALID_REQUEST", "auth_id"),
    (pb.ListRatedUsageRequest(page_token="junk"), "INVALID_PAGE_TOKEN", "page_token"),
    (pb.ListRatedUsageRequest(page_token="é"), "INVALID_PAGE_TOKEN", "page_token"),
    (pb.ListRatedUsageRequest(page_token="W1tbW1tb"), "INVALID_PAGE_TOKEN", "page_token"),
]


async def test_an_invalid_page_request_is_named(rater: Rater, subtests: pytest.Subtests) -> None:
    for request, reason, field in INVALID_REQUESTS:
        with subtests.test(f"{field}: {request}"):
            refused = await failure(rater.rating.ListRatedUsage(request))
            assert refused == (grpc.StatusCode.INVALID_ARGUMENT, reason, field)


async def test_a_page_token_is_refused_with_other_filters(rater: Rater, ledger: Ledger) -> None:
    await ledger.store(make_event(auth_id="a"), make_event(auth_id="b"))
    await ledger.rate()
    first = await rater.rating.ListRatedUsage(pb.ListRatedUsageRequest(page_size=1))
    other = pb.ListRatedUsageRequest(page_size=1, page_token=first.next_page_token, auth_id="b")
    assert await failure(rater.rating.ListRatedUsage(other)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_PAGE_TOKEN",
        "page_token",
    )
