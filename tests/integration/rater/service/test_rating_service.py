"""The RPCs on a real server: answers, errors with their details, reflection, health."""

import asyncio
import logging
from datetime import UTC, datetime
from decimal import Decimal
from typing import cast

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from phoebe_proto.v1 import rating_pb2 as pb
from rater_service.service.server import SERVICES
from rater_service.wire_time import to_timestamp
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event
from tests.harness.rater import Rater
from tests.harness.rpc import failure

pytestmark = pytest.mark.one_postgres

START, END = to_timestamp(HOUR), to_timestamp(HOUR + ONE_HOUR)
UNKNOWN_MODE = cast("pb.RateMode.ValueType", 9)


async def test_a_window_is_rated(rater: Rater, ledger: Ledger) -> None:
    await ledger.store(make_event(), make_event(auth_id=None))
    answer = await rater.rating.RateWindow(pb.RateWindowRequest(window_start=START, window_end=END))
    assert (answer.events_in_window, answer.events_rated, answer.unattributable_events) == (2, 1, 1)
    assert (answer.total_cost, answer.window_open, len(answer.price_books)) == ("0.000023000", False, 1)
    assert (answer.window_start, answer.window_end) == (START, END)
    (anomaly,) = answer.anomalies
    assert (anomaly.reason, anomaly.money_at_risk) == ("UNATTRIBUTABLE", "0.000023000")
    assert (anomaly.offenders[0].auth_id, anomaly.offenders[0].resource_id) == ("", "deployment-1")


async def test_usage_under_a_model_that_is_not_to_be_believed_is_told_apart(
    rater: Rater, ledger: Ledger
) -> None:
    await ledger.store(make_event(), make_event(model_untrusted=True))
    answer = await rater.rating.RateWindow(pb.RateWindowRequest(window_start=START, window_end=END))
    assert (answer.events_rated, answer.unattributable_events, answer.total_cost) == (1, 1, "0.000023000")
    (anomaly,) = answer.anomalies
    assert (anomaly.reason, anomaly.events, anomaly.money_at_risk) == ("MODEL_UNTRUSTED", 1, "0.000023000")
    assert (anomaly.offenders[0].auth_id, anomaly.offenders[0].model_id) == ("alice", "meta/base-a")


async def test_a_routine_run_answers_with_the_runs_that_it_took_along(rater: Rater, ledger: Ledger) -> None:
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    await ledger.store(make_event(this_hour - 3 * 24 * ONE_HOUR), make_event(this_hour - 40 * 24 * ONE_HOUR))
    start, end = to_timestamp(this_hour - ONE_HOUR), to_timestamp(this_hour)
    answer = await rater.rating.RateWindow(pb.RateWindowRequest(window_start=start, window_end=end))
    (late,) = answer.late_runs
    assert (late.run_id, late.events_rated, late.total_cost) == (2, 1, "0.000023000")
    (anomaly,) = answer.anomalies
    assert (anomaly.reason, anomaly.hours) == ("LATE_USAGE", 1)
    assert anomaly.first_hour == anomaly.last_hour == to_timestamp(this_hour - 40 * 24 * ONE_HOUR)
    assert anomaly.advice.startswith("phoebe rate --since ")
    backfill = await rater.rating.RateWindow(
        pb.RateWindowRequest(window_start=start, window_end=end, mode=pb.RATE_MODE_BACKFILL)
    )
    assert ([one.reason for one in backfill.anomalies], list(backfill.late_runs)) == (["LATE_USAGE"], [])


async def test_the_cost_of_nothing_is_0(rater: Rater, ledger: Ledger) -> None:
    answer = await rater.rating.RateWindow(pb.RateWindowRequest(window_start=START, window_end=END))
    assert (answer.total_cost, answer.events_in_window) == ("0", 0)


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        (pb.RateWindowRequest(), "INVALID_WINDOW", "window_start"),
        (pb.RateWindowRequest(window_start=START), "INVALID_WINDOW", "window_end"),
        (pb.RateWindowRequest(window_start=START, window_end=START), "INVALID_WINDOW", "window_end"),
        (
            pb.RateWindowRequest(window_start=Timestamp(seconds=2**62), window_end=END),
            "INVALID_WINDOW",
            "window_start",
        ),
        (
            pb.RateWindowRequest(window_start=START, window_end=Timestamp(nanos=-1)),
            "INVALID_WINDOW",
            "window_end",
        ),
        (
            pb.RateWindowRequest(window_start=Timestamp(seconds=START.seconds, nanos=1), window_end=END),
            "INVALID_WINDOW",
            "window_start",
        ),
        (
            pb.RateWindowRequest(
                window_start=START, window_end=Timestamp(seconds=START.seconds + 366 * 24 * 3600)
            ),
            "INVALID_WINDOW",
            "window_end",
        ),
        (
            pb.RateWindowRequest(window_start=START, window_end=END, mode=UNKNOWN_MODE),
            "INVALID_REQUEST",
            "mode",
        ),
    ],
)
async def test_an_invalid_window_is_named(
    rater: Rater, ledger: Ledger, request_: pb.RateWindowRequest, reason: str, field: str
) -> None:
    refused = await failure(rater.rating.RateWindow(request_))
    assert refused == (grpc.StatusCode.INVALID_ARGUMENT, reason, field)
    assert await ledger.pool.fetchval("SELECT count(*) FROM rating_run") == 0


async def test_without_prices_rating_and_quoting_fail_with_a_reason(rater: Rater) -> None:
    expected = (grpc.StatusCode.FAILED_PRECONDITION, "NO_PRICE_BOOK", "")
    window = pb.RateWindowRequest(window_start=START, window_end=END)
    assert await failure(rater.rating.RateWindow(window)) == expected
    assert await failure(rater.rating.ResolvePrice(pb.ResolvePriceRequest(model_id="m"))) == expected


async def test_a_quote_says_rates_origin_and_cost(rater: Rater, ledger: Ledger) -> None:
    quote = await rater.rating.ResolvePrice(
        pb.ResolvePriceRequest(model_id="ft:x", base_model="tiny/nano", prompt_tokens=5, cached_tokens=2)
    )
    assert (quote.prompt_rate, quote.exact_prompt_rate) == ("0.000000002", "0.0000000015")
    assert (quote.cached_rate, quote.completion_rate, quote.cost) == ("0", "0", "0.000000006")
    assert quote.source == pb.PRICE_SOURCE_DERIVED
    assert (quote.derived_from, quote.premium) == ("tiny/nano", "multiplier 1.5")
    assert len(quote.price_book) == 64
    assert not quote.HasField("effective_from")
    assert not quote.HasField("effective_until")


async def test_a_quote_without_counts_has_no_cost(rater: Rater, ledger: Ledger) -> None:
    quote = await rater.rating.ResolvePrice(pb.ResolvePriceRequest(model_id="meta/base-a", at=START))
    assert (quote.cost, quote.source, quote.premium) == ("", pb.PRICE_SOURCE_BASE_MODEL, "")


async def test_a_quote_is_what_is_billed(rater: Rater, ledger: Ledger) -> None:
    for model in ("meta/base-a", "ft:declared", "ft:own", "tiny/half"):
        await ledger.store(make_event(model_id=model, auth_id=model))
    await ledger.rate()
    for row in await ledger.rollups():
        quote = await rater.rating.ResolvePrice(
            pb.ResolvePriceRequest(
                model_id=row["model_id"], at=START, prompt_tokens=100, cached_tokens=20, completion_tokens=10
            )
        )
        assert Decimal(quote.cost) == row["cost"]
        assert quote.price_book == row["price_book"]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (pb.ResolvePriceRequest(model_id="nobody/knows"), "NO_PRICE"),
        (pb.ResolvePriceRequest(model_id="ft:x"), "FINE_TUNE_WITHOUT_BASE"),
        (pb.ResolvePriceRequest(model_id="ft:x", base_model="ft:own"), "BASE_NOT_PRICED"),
    ],
)
async def test_no_price_is_not_found_with_a_reason(
    rater: Rater, ledger: Ledger, request_: pb.ResolvePriceRequest, reason: str
) -> None:
    assert await failure(rater.rating.ResolvePrice(request_)) == (grpc.StatusCode.NOT_FOUND, reason, "")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ResolvePriceRequest(), "model_id"),
        (pb.ResolvePriceRequest(model_id="m", prompt_tokens=-1), "prompt_tokens"),
        (pb.ResolvePriceRequest(model_id="m", completion_tokens=2**53 + 1), "completion_tokens"),
        (pb.ResolvePriceRequest(model_id="m", at=Timestamp(seconds=-(2**63))), "at"),
        (pb.ResolvePriceRequest(model_id="m", at=Timestamp(nanos=2**31 - 1)), "at"),
    ],
)
async def test_an_invalid_question_for_a_price_is_named(
    rater: Rater, ledger: Ledger, request_: pb.ResolvePriceRequest, field: str
) -> None:
    refused = await failure(rater.rating.ResolvePrice(request_))
    assert refused == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", field)


async def test_an_unexpected_error_is_logged_and_not_told(
    rater: Rater, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    await ledger.pool.execute("ALTER TABLE rated_usage RENAME COLUMN cost TO secret_name")
    await ledger.store(make_event())
    with caplog.at_level(logging.ERROR), pytest.raises(grpc.aio.AioRpcError) as raised:
        await rater.rating.RateWindow(pb.RateWindowRequest(window_start=START, window_end=END))
    assert raised.value.code() == grpc.StatusCode.INTERNAL
    assert "cost" not in (raised.value.details() or "")
    assert "UndefinedColumnError" in caplog.text


async def test_an_anomaly_is_logged_as_an_error(
    rater: Rater, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    await ledger.store(make_event(model_id="nobody/knows"))
    await rater.rating.RateWindow(pb.RateWindowRequest(window_start=START, window_end=END))
    assert [record.levelname for record in caplog.records if "UNPRICED" in record.message] == ["ERROR"]


async def test_windows_asked_for_at_once_are_all_answered(rater: Rater, ledger: Ledger) -> None:
    await ledger.store(make_event())
    window = pb.RateWindowRequest(window_start=START, window_end=END)
    answers = await asyncio.gather(*(rater.rating.RateWindow(window) for _ in range(30)))
    assert sum(answer.rollups_written for answer in answers) == 1
    assert len({answer.run_id for answer in answers}) == 30


async def test_the_running_hour_is_rated_as_open(rater: Rater, ledger: Ledger) -> None:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    window = pb.RateWindowRequest(
        window_start=to_timestamp(now - ONE_HOUR), window_end=to_timestamp(now + ONE_HOUR)
    )
    assert (await rater.rating.RateWindow(window)).window_open


async def test_reflection_lists_the_services(rater: Rater) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(rater.channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    answers = [answer async for answer in stub.ServerReflectionInfo(iter([asked]))]
    listed = {service.name for service in answers[0].list_services_response.service}
    assert listed >= {*SERVICES, "grpc.health.v1.Health"}


@pytest.mark.parametrize("service", ["", *SERVICES])
async def test_health_is_serving(ledger: Ledger, rater: Rater, service: str) -> None:
    stub = health_pb2_grpc.HealthStub(rater.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
