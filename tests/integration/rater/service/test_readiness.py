"""Whether the service says that it can take work: to probes, and the same to gRPC clients."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from phoebe_runtime.probes import ready_answer
from rater_service.database.database import Pool
from rater_service.service import database_watch, standing_watch
from rater_service.service.health import HealthService
from rater_service.service.server import SERVICES, running_server
from rig.ports import reserve_port
from tests.harness.ledger import PRICES, Ledger
from tests.harness.served_rater import served_rater
from tests.harness.waiting import until_told

pytestmark = pytest.mark.one_postgres


class Served:
    """What a service in this process says of itself."""

    def __init__(self, status: HealthService, channel: grpc.aio.Channel) -> None:
        self._status = status
        self._channel = channel

    def page(self, service: str = "") -> str:
        return ready_answer(self._status.conditions(service)).content.decode()

    async def health(self) -> dict[str, bool]:
        listed = await HealthStub(self._channel).List(health_pb2.HealthListRequest())
        serving = health_pb2.HealthCheckResponse.SERVING
        return {name: each.status == serving for name, each in listed.statuses.items()}

    async def until(self, is_so: Callable[[str], bool]) -> None:
        async def looked() -> bool:
            return is_so(self.page())

        await until_told(looked)


@asynccontextmanager
async def served(pool: Pool) -> AsyncIterator[Served]:
    status = HealthService(SERVICES)
    async with (
        running_server(pool, "127.0.0.1:0", asyncio.Event(), status=status) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield Served(status, channel)


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_watch, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(standing_watch, "LOOK_EVERY_S", 0.02)


METERING, RATING = SERVICES


async def test_a_service_on_a_database_with_prices_is_ready_and_says_what_it_found(ledger: Ledger) -> None:
    async with served(ledger.pool) as service:
        page = service.page()
        assert page.startswith("ready\n")
        for words in (
            "the database takes writes",
            "the database schema fits: 00",
            "prices are in force: book ",
        ):
            assert f"\nok: {words}" in page
        assert await service.health() == {"": True, METERING: True, RATING: True}


async def test_without_a_price_book_events_are_taken_and_the_rest_is_not_ready(
    pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(pool) as service:
        assert service.page().startswith(
            "not ready\nFAILED: no price file was ever loaded, or all were withdrawn"
        )
        assert await service.health() == {"": False, METERING: True, RATING: False}
        # Where this decides, the rater stays in service and takes events.
        assert service.page(METERING).startswith("ready\ndoes not count: no price file was ever loaded")
        assert service.page(RATING).startswith("not ready\nFAILED: no price file was ever loaded")
        said = [each for each in caplog.messages if "no price file was ever loaded" in each]
        assert len(said) == 1
        await Ledger(pool).load(PRICES)
        await service.until(lambda page: page.startswith("ready\n"))
        assert await service.health() == {"": True, METERING: True, RATING: True}
    assert any(each.startswith("prices are in force again, after ") for each in caplog.messages)


async def test_a_schema_that_does_not_fit_any_more_is_noticed(ledger: Ledger) -> None:
    async with served(ledger.pool) as service:
        current = await ledger.pool.fetchval("SELECT version_num FROM alembic_version")
        await ledger.pool.execute("UPDATE alembic_version SET version_num = '9999'")
        await service.until(lambda page: page.startswith("not ready\nFAILED: the database"))
        assert await service.health() == {"": False, METERING: False, RATING: False}
        await ledger.pool.execute("UPDATE alembic_version SET version_num = $1", current)
        await service.until(lambda page: page.startswith("ready\n"))


async def test_a_database_that_is_away_is_named_with_its_trouble(ledger: Ledger) -> None:
    async with served(ledger.pool) as service:
        await ledger.pool.close()
        await service.until(lambda page: page.startswith("not ready\nFAILED: the database can't be used: "))
        assert await service.health() == {"": False, METERING: False, RATING: False}


async def test_a_service_that_stops_says_so(ledger: Ledger) -> None:
    async with served(ledger.pool) as service:
        pass
    assert service.page().startswith("not ready\nFAILED: the service is stopping")


async def test_probes_ask_the_port_of_the_metrics(database_url: str, tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_bytes(PRICES)
    url = f"http://127.0.0.1:{reserve_port()}"
    options = ("--prices", str(prices), "--metrics", url.removeprefix("http://"))
    async with (
        served_rater(tmp_path, {"DATABASE_URL": database_url}, *options),
        httpx.AsyncClient(base_url=url) as client,
    ):
        found = [await client.get(path) for path in ("/livez", "/readyz", "/healthz", "/")]
        assert [each.status_code for each in found] == [200, 200, 404, 404]
        assert found[0].text == "live\n"
        assert found[1].text.startswith("ready\nok: the service takes calls\n")
        for path in ("/readyz/metering", "/readyz/rating"):
            assert (await client.get(path)).text.startswith("ready\nok: the service takes calls\n")
