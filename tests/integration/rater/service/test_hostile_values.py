"""Messages that are well made and hold what nobody means: what random ones would seldom come upon."""

import base64
import json

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from phoebe_proto.v1 import metering_pb2 as pb
from phoebe_proto.v1 import rating_pb2
from rater_service.bills.rated_usage import RatedUsageFilter
from rater_service.events.validation import PRODUCER_SEQ_MAX
from rater_service.service.metrics import Metrics
from rater_service.service.server import SERVICES
from rater_service.wire_time import to_timestamp
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event
from tests.harness.rater import Rater
from tests.harness.rpc import failure

pytestmark = pytest.mark.one_postgres

INT64_MAX = 2**63 - 1
INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
YEAR_1, YEAR_9999 = Timestamp(seconds=-62_135_596_800), Timestamp(seconds=253_402_300_799 - 3599)
WINDOW = rating_pb2.RateWindowRequest(
    window_start=to_timestamp(HOUR), window_end=to_timestamp(HOUR + ONE_HOUR)
)


async def store(rater: Rater, request: pb.StreamEventsRequest) -> pb.StreamEventsResponse:
    call = rater.metering.StreamEvents()
    await call.write(request)
    answer = await call.read()
    assert isinstance(answer, pb.StreamEventsResponse)
    call.cancel()
    return answer


async def test_an_event_with_names_no_index_takes_is_kept_and_holds_up_no_other(rater: Rater) -> None:
    good = make_event()
    # Characters that do not compress: an index would have to hold all of them.
    long = "".join(chr(0x4E00 + number * 7919 % 20_000) for number in range(100_000))
    bad = [make_event(producer_id=long), make_event(request_id=long), make_event(request_id="\0")]
    answer = await store(rater, pb.StreamEventsRequest(events=[bad[0], good, *bad[1:]]))
    outcomes = [result.outcome for result in answer.results]
    assert outcomes == [4, 1, 4, 4]
    kept = await rater.pool.fetch("SELECT producer_id, request_id, event FROM rejected_event ORDER BY id")
    assert {row["event"] for row in kept} == {event.SerializeToString(deterministic=True) for event in bad}
    assert max(len(row[column] or "") for row in kept for column in ("producer_id", "request_id")) == 256


async def test_a_refused_id_as_long_as_a_message_is_cut_in_the_log(
    rater: Rater, caplog: pytest.LogCaptureFixture
) -> None:
    await store(rater, pb.StreamEventsRequest(events=[make_event(request_id="x" * 1_000_000)]))
    assert "kept 1 event aside" in caplog.text
    assert len(caplog.text) < 1000


async def test_a_caller_who_refuses_the_answer_leaves_no_traceback(
    rater: Rater, caplog: pytest.LogCaptureFixture
) -> None:
    call = rater.metering.StreamEvents()
    # The answer repeats the id, and is more than this client takes.
    await call.write(pb.StreamEventsRequest(events=[make_event(request_id="x" * 8_000_000)]))
    with pytest.raises(grpc.aio.AioRpcError):
        await call.read()
    await store(rater, pb.StreamEventsRequest(events=[make_event()]))
    assert not [record for record in caplog.records if record.exc_info]


async def test_counts_that_add_up_to_more_than_64_bits_keep_nobody_from_rating_and_auditing(
    ledger: Ledger, rater: Rater
) -> None:
    # The service would refuse these; the database does not.
    for name in ("one", "two"):
        await ledger.pool.execute(
            "INSERT INTO producer (producer_id, first_seen, last_seen, last_seq, spooled_events,"
            " open_exchanges, stopped, lost_rows, retired) VALUES ($1, $2, $2, $3, $3, $3, false, $3, false)",
            name,
            HOUR,
            INT64_MAX,
        )
    result = await rater.rating.RateWindow(WINDOW)
    assert (result.incomplete_producer_count, result.anomalies[0].events) == (2, INT64_MAX)
    audited = await rater.rating.Audit(rating_pb2.AuditRequest())
    counts = {count.kind: count.count for count in audited.difference_counts}
    assert counts["LOST_SPOOL_ROWS"] == INT64_MAX
    metrics = Metrics()
    await metrics.refresh(ledger.pool)
    assert metrics.registry.get_sample_value("phoebe_gauges_fresh") == 1
    assert metrics.registry.get_sample_value("phoebe_producers_lost_rows") == 2.0**64


async def test_a_number_no_spool_ever_gives_is_refused_and_counts_as_none(
    ledger: Ledger, rater: Rater, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await store(
        rater,
        pb.StreamEventsRequest(
            events=[make_event(producer_seq=INT64_MAX), make_event(producer_seq=PRODUCER_SEQ_MAX + 1)],
            status=pb.ProducerStatus(producer_id="spool-1", last_seq=INT64_MAX),
        ),
    )
    assert [result.reason for result in answer.results] == [
        "producer_seq: must be 1 to 2^53, or 0 for none"
    ] * 2
    assert "last_seq: must be 0 to 2^53" in caplog.text
    audited = await rater.rating.Audit(rating_pb2.AuditRequest())
    assert (audited.proven, audited.producer_count) == (True, 0)
    assert await ledger.pool.fetchval("SELECT count(*) FROM rejected_event") == 2


@pytest.mark.parametrize("text", ["x" * 257, "x" * 10_000_000, "a\0b"], ids=["long", "huge", "nul"])
async def test_a_name_no_event_has_is_refused_without_being_repeated(rater: Rater, text: str) -> None:
    for field in ("model_id", "base_model"):
        quoted = rating_pb2.ResolvePriceRequest(model_id="m")
        setattr(quoted, field, text)
        refused = await failure(rater.rating.ResolvePrice(quoted))
        assert refused == (INVALID_ARGUMENT, "INVALID_REQUEST", field)
    for field in ("auth_id", "resource_id"):
        listed = rating_pb2.ListRatedUsageRequest()
        setattr(listed, field, text)
        refused = await failure(rater.rating.ListRatedUsage(listed))
        assert refused == (INVALID_ARGUMENT, "INVALID_REQUEST", field)


async def test_the_longest_name_an_event_may_have_is_quoted_in_any_script(
    ledger: Ledger, rater: Rater
) -> None:
    request = rating_pb2.ResolvePriceRequest(model_id="\U0001f600" * 256)
    assert await failure(rater.rating.ResolvePrice(request)) == (grpc.StatusCode.NOT_FOUND, "NO_PRICE", "")


NOON = "2026-11-20T12:00:00+00:00"


@pytest.mark.parametrize(
    "key",
    [
        [NOON, "\ud800", "b", "c"],
        [NOON, "a\0", "b", "c"],
        [NOON, ["a"], {}, None],
        [NOON, "a", "b"],
        [NOON, "a", "b", "c", "d"],
        [NOON[:-6], "a", "b", "c"],
        ["0001-01-01T00:00:00+14:00", "a", "b", "c"],
        ["9999-12-31T23:00:00-14:00", "a", "b", "c"],
        ["9999-99-99T00:00:00+00:00", "a", "b", "c"],
        [2026, "a", "b", "c"],
        [NOON, "a" * 10_000, "b", "c"],
        [],
    ],
    ids=lambda key: json.dumps(key)[:50],
)
async def test_a_page_token_that_was_never_given_out_is_refused(rater: Rater, key: list[object]) -> None:
    digest = RatedUsageFilter(None, None, None, None).digest()
    token = base64.urlsafe_b64encode(json.dumps([digest, *key]).encode()).decode()
    listing = rater.rating.ListRatedUsage(rating_pb2.ListRatedUsageRequest(page_token=token))
    assert await failure(listing) == (INVALID_ARGUMENT, "INVALID_PAGE_TOKEN", "page_token")


async def test_the_first_and_the_last_hour_there_are_can_be_asked_for(ledger: Ledger, rater: Rater) -> None:
    await ledger.store(make_event())
    await rater.rating.Audit(rating_pb2.AuditRequest(window_start=YEAR_1, window_end=YEAR_9999))
    await rater.rating.ListRatedUsage(
        rating_pb2.ListRatedUsageRequest(window_start=YEAR_1, window_end=YEAR_9999)
    )
    for at in (YEAR_1, YEAR_9999):
        quote = await rater.rating.ResolvePrice(rating_pb2.ResolvePriceRequest(model_id="meta/base-a", at=at))
        assert quote.prompt_rate == "0.000000200"
    first = rating_pb2.RateWindowRequest(
        window_start=YEAR_1, window_end=Timestamp(seconds=YEAR_1.seconds + 3600)
    )
    assert (await rater.rating.RateWindow(first)).events_in_window == 0


async def test_health_lists_every_service(ledger: Ledger, rater: Rater) -> None:
    listed = await HealthStub(rater.channel).List(health_pb2.HealthListRequest())
    serving = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
    assert dict(listed.statuses) == dict.fromkeys(("", *SERVICES), serving)
