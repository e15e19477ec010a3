"""What the rater counts, read as Prometheus reads it."""

import asyncio
import socket
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from phoebe_proto.v1 import metering_pb2 as pb
from phoebe_proto.v1 import rating_pb2
from phoebe_runtime.background import Background
from rater_service.database.database import Pool
from rater_service.errors import OperatorError
from rater_service.events.producers import retire_producer
from rater_service.events.store import store_events
from rater_service.service import metrics as rater_metrics
from rater_service.service.health import HealthService
from rater_service.service.metrics import Metrics
from rater_service.service.metrics_endpoint import metrics_endpoint
from rater_service.service.server import SERVICES, ServerSettings, running_server, serve
from rater_service.wire_time import to_timestamp
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event
from tests.harness.waiting import until, until_told
from tests.integration.rater.events.test_producers import NOW, report, status

pytestmark = pytest.mark.one_postgres


def value(metrics: Metrics, name: str, /, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


async def test_events_batches_runs_and_statuses_are_counted(ledger: Ledger) -> None:
    import grpc

    from phoebe_proto.v1.metering_pb2_grpc import MeteringServiceStub
    from phoebe_proto.v1.rating_pb2_grpc import RatingServiceStub

    metrics = Metrics()
    async with (
        running_server(ledger.pool, "127.0.0.1:0", asyncio.Event(), metrics=metrics) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        good, bad = make_event(), make_event(outcome="?")
        call = MeteringServiceStub(channel).StreamEvents()
        for batch in ([good, bad], [good, make_event(request_id=good.request_id)]):
            await call.write(pb.StreamEventsRequest(events=batch, status=pb.ProducerStatus(last_seq=-1)))
            await call.read()
        await call.done_writing()
        window = rating_pb2.RateWindowRequest(
            window_start=to_timestamp(HOUR), window_end=to_timestamp(HOUR + ONE_HOUR)
        )
        await RatingServiceStub(channel).RateWindow(window)
        with pytest.raises(grpc.aio.AioRpcError):
            await RatingServiceStub(channel).RateWindow(rating_pb2.RateWindowRequest())
        await ledger.store(make_event(model_id="nobody/knows"))
        await RatingServiceStub(channel).RateWindow(window)
        await ledger.pool.execute("DROP TABLE rated_usage, rejected_event")
        with pytest.raises(grpc.aio.AioRpcError):
            await RatingServiceStub(channel).RateWindow(window)
        failing = MeteringServiceStub(channel).StreamEvents()
        await failing.write(pb.StreamEventsRequest(events=[make_event(outcome="?")]))
        with pytest.raises(grpc.aio.AioRpcError):
            await failing.read()
    outcomes = ("stored", "rejected", "duplicate", "conflict")
    assert [value(metrics, "phoebe_events_received_total", outcome=name) for name in outcomes] == [1] * 4
    assert value(metrics, "phoebe_batch_seconds_count") == 2
    assert value(metrics, "phoebe_batches_failed_total") == 1
    assert value(metrics, "phoebe_statuses_refused_total") == 2
    runs = [
        value(metrics, "phoebe_rating_runs_total", mode="routine", result=result)
        for result in ("clean", "anomalous", "failed")
    ]
    assert runs == [1, 1, 1]
    assert value(metrics, "phoebe_rating_anomalies_total", reason="UNPRICED") == 1
    assert value(metrics, "phoebe_rating_run_seconds_count") == 2


async def test_gauges_tell_how_far_producers_are_behind(pool: Pool) -> None:
    metrics = Metrics()
    await metrics.refresh(pool)
    assert value(metrics, "phoebe_producers_lag_seconds") == 0
    await report(pool, status("silent", complete_until=HOUR, spooled=5, lost_rows=2))
    await report(pool, status("new", complete_until=None))
    await report(pool, status("stopped", complete_until=HOUR - ONE_HOUR, stopped=True))
    await report(pool, status("retired", complete_until=HOUR - ONE_HOUR, spooled=9))
    await retire_producer(pool, "retired", "ops", NOW)
    await store_events(pool, [make_event(outcome="?")], NOW)
    await metrics.refresh(pool)
    states = ("running", "stopped", "retired")
    assert [value(metrics, "phoebe_producers", state=state) for state in states] == [2, 1, 1]
    assert value(metrics, "phoebe_producers_spooled_events") == 5
    assert value(metrics, "phoebe_producers_lost_rows") == 2
    assert value(metrics, "phoebe_rejected_events") == 1
    assert value(metrics, "phoebe_gauges_fresh") == 1
    from datetime import UTC, datetime

    lag = value(metrics, "phoebe_producers_lag_seconds")
    assert lag is not None
    assert abs(lag - (datetime.now(UTC) - HOUR).total_seconds()) < 60


async def test_the_last_success_is_that_of_any_process_and_absent_until_there_was_one(ledger: Ledger) -> None:
    name = "phoebe_rating_last_success_timestamp_seconds"
    metrics = Metrics()
    await ledger.rate(dry_run=True)
    await metrics.refresh(ledger.pool)
    assert [value(metrics, name, mode=mode) for mode in ("routine", "backfill")] == [None, None]
    await ledger.rate()
    last = await ledger.rate()
    await ledger.rate(dry_run=True)
    await metrics.refresh(ledger.pool)
    found = [value(metrics, name, mode=mode) for mode in ("routine", "backfill")]
    assert found == [last.finished_at.timestamp(), None]


async def test_gauges_tell_of_what_no_run_has_seen_and_of_clocks(ledger: Ledger) -> None:
    from datetime import UTC, datetime, timedelta

    now = datetime.now(UTC)
    await ledger.store(make_event(now - timedelta(days=3)), make_event(now + timedelta(days=3)))
    await report(ledger.pool, replace(status("slow"), clock_skew=timedelta(seconds=-90)), now=now)
    await report(ledger.pool, replace(status("fast"), clock_skew=timedelta(seconds=60)), now=now)
    metrics = Metrics()
    await metrics.refresh(ledger.pool)
    assert value(metrics, "phoebe_late_usage_hours") == 1
    assert value(metrics, "phoebe_late_usage_events") == 1
    assert value(metrics, "phoebe_out_of_time_events") == 1
    assert value(metrics, "phoebe_producers_clock_skew_seconds") == -90
    skew_s = value(metrics, "phoebe_rater_clock_skew_seconds")
    assert skew_s is not None
    assert abs(skew_s) < 5


async def test_what_no_run_has_seen_is_looked_for_less_often_than_the_rest(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rater_metrics, "REFRESH_S", 0)
    metrics = Metrics()
    keeping = asyncio.create_task(metrics.keep_fresh(ledger.pool))
    try:
        await until(lambda: value(metrics, "phoebe_gauges_fresh") == 1)
        await ledger.store(make_event(HOUR))
        await report(ledger.pool, status(spooled=5))
        await until(lambda: value(metrics, "phoebe_producers_spooled_events") == 5)
    finally:
        keeping.cancel()
    assert value(metrics, "phoebe_late_usage_hours") == 0
    await metrics.refresh(ledger.pool)
    assert value(metrics, "phoebe_late_usage_hours") == 1


async def test_gauges_stay_while_the_database_is_away(pool: Pool) -> None:
    metrics = Metrics()
    await report(pool, status(spooled=5))
    await metrics.refresh(pool)
    await pool.close()
    await metrics.refresh(pool)
    assert value(metrics, "phoebe_gauges_fresh") == 0
    assert value(metrics, "phoebe_producers_spooled_events") == 5


async def test_they_are_read_over_http(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await report(pool, status(spooled=5))
    metrics = Metrics()
    async with (
        Background(metrics.note_task) as background,
        metrics_endpoint("127.0.0.1:0", metrics, pool, background, HealthService(SERVICES)),
        httpx.AsyncClient() as client,
    ):
        (url,) = (text.split()[-1] for text in caplog.messages if text.startswith("metrics on"))

        async def is_read() -> bool:
            return "phoebe_producers_spooled_events 5.0" in (await client.get(url)).text

        await until_told(is_read)
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


@pytest.mark.parametrize("listen", ["9464", ":9464", "127.0.0.1:x", "127.0.0.1:70000"])
async def test_an_address_that_is_none_is_refused(pool: Pool, listen: str) -> None:
    with pytest.raises(OperatorError, match="HOST:PORT"):
        async with (
            Background() as background,
            metrics_endpoint(listen, Metrics(), pool, background, HealthService(SERVICES)),
        ):
            pass


async def test_the_service_does_not_start_without_the_address_it_was_given(database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = ServerSettings("127.0.0.1:0", None, database_url, Path("/nowhere"), False, metrics=address)
        with pytest.raises(OperatorError, match="can't serve metrics"):
            await serve(settings)


async def test_proxies_are_measured_by_their_names_until_they_are_retired(pool: Pool) -> None:
    metrics = Metrics()
    await report(pool, replace(status("one", spooled=2), name="gateway-0", clock_skew=timedelta(seconds=-90)))
    await report(pool, replace(status("two", spooled=3), name="gateway-0"))
    await report(pool, status("three", stopped=True))
    await metrics.refresh(pool)
    assert value(metrics, "phoebe_producer_spooled_events", name="gateway-0") == 5
    assert value(metrics, "phoebe_producer_clock_skew_seconds", name="gateway-0") == -90
    assert value(metrics, "phoebe_producer_last_seen_timestamp_seconds", name="gateway-0") == NOW.timestamp()
    assert value(metrics, "phoebe_producer_spooled_events", name="three") is None
    for producer in ("one", "two"):
        assert await retire_producer(pool, producer, "ops", NOW)
    await metrics.refresh(pool)
    assert value(metrics, "phoebe_producer_spooled_events", name="gateway-0") is None


async def test_whether_prices_are_in_force_is_measured(ledger: Ledger) -> None:
    metrics = Metrics()
    async with running_server(ledger.pool, "127.0.0.1:0", asyncio.Event(), metrics=metrics):
        assert value(metrics, "phoebe_price_book_in_force") == 1
        assert value(metrics, "phoebe_migration_current") == 1
