"""The books of exchanges under way, on a real spool; the rater is away."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from phoebe_addon.delivery.delivery import Delivery
from phoebe_addon.exchange.event import Ending, part_id
from phoebe_addon.exchange.exchange import Exchange, Stage
from phoebe_addon.exchange.metering import Metering
from phoebe_addon.gate.gate import GateRules
from phoebe_addon.gate.identity import HeaderNames
from phoebe_addon.gate.routes import RouteTable
from phoebe_addon.meter import Meter
from phoebe_addon.settings.settings import Settings
from phoebe_addon.spool.spool import SpoolError
from phoebe_addon.spool.spools import open_own
from phoebe_proto.v1.metering_pb2 import MeteringEvent
from phoebe_runtime import background
from rig.ports import reserve_port
from tests.harness.exchanges import admission, checked_exchange
from tests.harness.known import family


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        upstreams=None,
        rater=f"127.0.0.1:{reserve_port()}",
        spool=tmp_path,
        spool_bytes_max=2**20,
        metrics=None,
        lean=True,
        engine_timeout_s=600,
        rules=GateRules((), HeaderNames(), 1, RouteTable(())),
    )


@pytest.fixture
async def meter(settings: Settings) -> AsyncIterator[Meter]:
    opened = Meter(settings)
    yield opened
    opened.close()


def begun(meter: Meter, connection_id: str = "connection") -> Exchange:
    exchange = checked_exchange(connection_id)
    meter.begin(exchange)
    return exchange


async def admit(meter: Meter, request_id: str = "r1", connection_id: str = "connection") -> Exchange:
    """Admit an exchange and take its engine for asked."""
    exchange = begun(meter, connection_id)
    await meter.admit(exchange, admission(request_id))
    assert exchange.ask()
    return exchange


def metered(exchange: Exchange) -> Metering:
    assert exchange.metering
    return exchange.metering


def told(meter: Meter, *, holds: bool) -> str:
    """What probes are told that holds, or does not."""
    return "\n".join(each.words for each in meter.conditions if each.holds == holds)


def outcomes(settings: Settings) -> dict[str, str]:
    """What stands in the spool, by request id."""
    spool = open_own(settings.spool, settings.spool_bytes_max)
    events = [MeteringEvent.FromString(spooled.event) for spooled in spool.read(100)]
    spool.close()
    return {event.request_id: event.outcome for event in events}


async def test_an_exchange_ends_once_whoever_says_so(settings: Settings, meter: Meter) -> None:
    exchange = await admit(meter)
    metered(exchange).answer_began(200, {})
    assert await meter.end(exchange, Ending.ANSWER_COMPLETE)
    assert await meter.end(exchange, Ending.CLIENT_GONE)
    await meter.end_connection("connection")
    meter.close()
    assert outcomes(settings) == {"r1": "completed"}


async def test_a_connection_that_is_gone_ends_its_exchanges_and_no_others(
    settings: Settings, meter: Meter
) -> None:
    for number, connection in enumerate(("gone", "gone", "stays")):
        await admit(meter, f"r{number}", connection)
    await meter.end_connection("gone")
    meter.close()
    assert outcomes(settings) == {"r0": "aborted", "r1": "aborted", "r2": "proxy_error"}


async def test_an_event_that_the_spool_refuses_is_not_said_to_be_durable(
    settings: Settings, meter: Meter
) -> None:
    exchange = await admit(meter)
    meter._spool.close()
    assert not await meter.end(exchange, Ending.ANSWER_COMPLETE)
    assert outcomes(settings) == {"r1": "proxy_error"}


def counted(meter: Meter) -> dict[str, float | None]:
    names = ("phoebe_usage_malformed_total", "phoebe_answers_unreadable_total")
    return {name: meter.metrics.registry.get_sample_value(name) for name in names}


@pytest.mark.parametrize(
    ("coding", "body", "name"),
    [
        ("", b'{"usage":{"prompt_tokens":-1}}', "phoebe_usage_malformed_total"),
        ("gzip", b"no gzip", "phoebe_answers_unreadable_total"),
        ("gzip", b"\0\0", "phoebe_answers_unreadable_total"),
        ("unheard-of", b"\0", "phoebe_answers_unreadable_total"),
        ("", b'{"usage":{"prompt_tokens":1}', "phoebe_answers_unreadable_total"),
        ("", b'{"usage":{"prompt_tokens":1,"prompt_tokens_details":[]}}', "phoebe_usage_malformed_total"),
    ],
)
async def test_what_could_not_be_read_is_counted(meter: Meter, coding: str, body: bytes, name: str) -> None:
    exchange = await admit(meter)
    metering = metered(exchange)
    head = {"content-type": "application/json", "content-encoding": coding, "content-length": "1"}
    metering.answer_began(200, head)
    metering.answer_bytes(body, datetime.now(UTC))
    metering.answer_complete()
    before = counted(meter)

    await meter.end(exchange, Ending.ANSWER_COMPLETE)

    assert counted(meter) == {**before, name: 1}
    assert set(before.values()) == {0}


async def test_a_further_models_usage_is_recorded_with_its_exchange_and_shouted_about_if_it_has_no_name(
    settings: Settings, meter: Meter, caplog: pytest.LogCaptureFixture
) -> None:
    exchange = checked_exchange()
    own_id = "01939f2e-0000-7000-8000-000000000000"
    await meter.admit(exchange, replace(admission(own_id), families=(family("anthropic.messages"),)))
    assert exchange.ask()
    metering = metered(exchange)
    metering.answer_began(200, {"content-type": "application/json"})
    iterations = b'[{"type":"advisor_message","input_tokens":5,"output_tokens":6}]'
    body = b'{"model":"m","usage":{"input_tokens":1,"output_tokens":2,"iterations":' + iterations + b"}}"
    metering.answer_bytes(body, datetime.now(UTC))
    metering.answer_complete()

    assert await meter.end(exchange, Ending.ANSWER_COMPLETE)

    assert counted(meter)["phoebe_usage_malformed_total"] == 1
    assert f"event {own_id}: of 1 further model the engine's usage has no name" in caplog.text
    meter.close()
    assert outcomes(settings) == {own_id: "completed", part_id(own_id, 1): "completed"}


async def test_what_is_let_through_is_counted(meter: Meter) -> None:
    free = begun(meter)
    meter.let_free(free)
    await admit(meter)

    assert free.stage is Stage.FREE
    registry = meter.metrics.registry
    assert registry.get_sample_value("phoebe_exchanges_admitted_total", {"api": "openai.chat"}) == 1
    assert registry.get_sample_value("phoebe_exchanges_free_total") == 1
    assert len(meter.under_way) == 2


async def test_an_exchange_without_a_record_on_disk_is_not_let_through(meter: Meter) -> None:
    exchange = begun(meter)
    meter._spool.close()
    with pytest.raises(SpoolError):
        await meter.admit(exchange, admission())

    assert not exchange.ask()
    assert exchange.metering is None
    assert await meter.end(exchange, Ending.ANSWER_COMPLETE)
    assert len(meter.under_way) == 0


async def test_an_exchange_is_let_through_when_its_record_is_on_disk(
    settings: Settings, meter: Meter
) -> None:
    exchange = begun(meter)
    admitting = asyncio.ensure_future(meter.admit(exchange, admission()))
    await asyncio.sleep(0)

    assert not exchange.ask()
    assert len(meter.under_way) == 1
    await admitting
    assert exchange.ask()
    meter._spool.close()  # as if it had been killed
    assert outcomes(settings) == {"r1": "proxy_error"}


async def test_an_exchange_whose_client_goes_away_while_its_record_is_written_has_its_event_and_no_engine(
    settings: Settings, meter: Meter
) -> None:
    exchange = begun(meter)
    admitting = asyncio.ensure_future(meter.admit(exchange, admission("r1")))
    await asyncio.sleep(0)
    await meter.end_connection("connection")
    await admitting

    assert not exchange.ask()
    assert len(meter.under_way) == 0
    meter.close()
    assert outcomes(settings) == {"r1": "aborted"}


async def test_an_exchange_that_never_ends_ended_when_it_was_admitted(settings: Settings) -> None:
    meter = Meter(settings)
    request = admission("r1")  # it took a while to arrive
    before = datetime.now(UTC)
    await meter.admit(begun(meter), request)
    state = meter._spool.state()

    assert before <= state.complete_until <= datetime.now(UTC)
    assert request.start_time < state.complete_until
    assert state.open_exchanges == 1
    meter._spool.close()  # as if it had been killed
    meter.close()
    spool = open_own(settings.spool, settings.spool_bytes_max)
    (cut_off,) = spool.read(10)
    spool.close()
    assert MeteringEvent.FromString(cut_off.event).event_time.ToDatetime(UTC) == state.complete_until


async def test_a_rater_that_is_away_is_not_waited_for_at_the_end(settings: Settings, meter: Meter) -> None:
    exchange = await admit(meter)
    meter.end_all()
    assert await meter.end(exchange, Ending.CLIENT_GONE)
    loop = asyncio.get_running_loop()
    began = loop.time()

    await meter.finish(began + 60)

    assert loop.time() - began < 30
    meter.close()
    assert outcomes(settings) == {"r1": "proxy_error"}


async def test_a_delivery_that_crashes_is_shouted_about_and_started_again_while_traffic_goes_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background, "PAUSE_MIN_S", 0.001)
    starts = []

    async def crash(_: Delivery) -> None:
        starts.append(1)
        raise KeyError("a bug")

    monkeypatch.setattr(Delivery, "run", crash)
    meter = Meter(settings)
    try:
        async with asyncio.timeout(20):
            while len(starts) < 3:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.001)
        assert "the task delivery is down" in told(meter, holds=False)
        up = {
            name: meter.metrics.registry.get_sample_value("phoebe_task_up", {"task": name})
            for name in ("delivery", "adoption", "rater credentials")
        }
        assert up == {"delivery": 0, "adoption": 1, "rater credentials": 1}
        assert "the task delivery is down, events stay in the spool" in caplog.text
        assert await meter.end(await admit(meter), Ending.CLIENT_GONE)

        loop = asyncio.get_running_loop()
        began = loop.time()
        await meter.finish(began + 60)
        assert loop.time() - began < 30
    finally:
        meter.close()
    assert outcomes(settings) == {"r1": "aborted"}


async def test_nothing_is_amiss_with_a_meter_at_its_start(meter: Meter) -> None:
    await asyncio.sleep(0)

    assert not told(meter, holds=False)
