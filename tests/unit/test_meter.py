"""The books of exchanges under way, on a real spool; the rater is away."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from phoebe_addon.answer_body import Strip
from phoebe_addon.exchange import Admission, Ending
from phoebe_addon.gate import GateRules
from phoebe_addon.identity import HeaderNames, Identity
from phoebe_addon.meter import Meter
from phoebe_addon.routes import Api
from phoebe_addon.settings import Settings
from phoebe_addon.spool import Spool
from phoebe_proto.v1.metering_pb2 import MeteringEvent
from tests.harness.proxy import free_port


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        upstreams=None,
        rater=f"127.0.0.1:{free_port()}",
        spool=tmp_path,
        spool_bytes_max=2**20,
        metrics=None,
        rules=GateRules((), HeaderNames(), 1),
    )


@pytest.fixture
async def meter(settings: Settings) -> AsyncIterator[Meter]:
    opened = Meter(settings)
    yield opened
    opened.close()


def admission(number: int) -> Admission:
    now = datetime.now(UTC)
    identity = Identity("auth", "resource")
    return Admission(f"r{number}", None, identity, Api.OPENAI_CHAT, None, 1, Strip.NOTHING, now)


def outcomes(settings: Settings) -> dict[str, str]:
    """What stands in the spool, by request id."""
    spool = Spool(settings.spool, settings.spool_bytes_max)
    events = [MeteringEvent.FromString(spooled.event) for spooled in spool.read(0, 100)]
    spool.close()
    return {event.request_id: event.outcome for event in events}


async def test_an_exchange_ends_once_whoever_says_so(settings: Settings, meter: Meter) -> None:
    exchange = await meter.admit(admission(1), "connection", None)
    exchange.answer_began(200, "")
    assert await meter.end(exchange, Ending.ANSWER_COMPLETE)
    assert await meter.end(exchange, Ending.CLIENT_GONE)
    await meter.end_connection("connection")
    meter.close()
    assert outcomes(settings) == {"r1": "completed"}


async def test_a_connection_that_is_gone_ends_its_exchanges_and_no_others(
    settings: Settings, meter: Meter
) -> None:
    for number, connection in enumerate(("gone", "gone", "stays")):
        await meter.admit(admission(number), connection, None)
    await meter.end_connection("gone")
    meter.close()
    assert outcomes(settings) == {"r0": "aborted", "r1": "aborted", "r2": "proxy_error"}


async def test_an_event_that_the_spool_refuses_is_not_said_to_be_durable(
    settings: Settings, meter: Meter
) -> None:
    exchange = await meter.admit(admission(1), "connection", None)
    meter._spool.close()
    assert not await meter.end(exchange, Ending.ANSWER_COMPLETE)
    assert outcomes(settings) == {"r1": "proxy_error"}
