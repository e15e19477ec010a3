"""`serve` as a process: what it refuses to start with, its prices, and a clean stop."""

import asyncio
import signal
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from phoebe_proto.v1 import metering_pb2
from phoebe_proto.v1.metering_pb2_grpc import MeteringServiceStub
from phoebe_runtime import background as background_module
from phoebe_runtime.background import Background
from rater_service.errors import OperatorError
from rater_service.service.health import DATABASE_WATCH_TASK, NEEDED, PRICE_FILE_TASK, TOKENS_TASK
from rater_service.service.protection import ProtectionFiles
from rater_service.service.server import SERVICES, ServerSettings, running_server, serve
from tests.harness.ledger import PRICES, Ledger, make_event
from tests.harness.rater import Rater
from tests.harness.served_rater import served_rater
from tests.harness.waiting import until_told

pytestmark = pytest.mark.one_postgres


def settings(url: str, listen: str = "127.0.0.1:0", prices: Path | None = None) -> ServerSettings:
    return ServerSettings(listen, prices, url, Path("/nowhere"), allow_plaintext=False)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_open_streams_and_the_process_with_0(
    database_url: str, tmp_path: Path, stop: signal.Signals
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_bytes(PRICES)
    async with (
        served_rater(tmp_path, {"DATABASE_URL": database_url}, "--prices", str(prices)) as rater,
        grpc.aio.insecure_channel(f"127.0.0.1:{rater.port}") as channel,
    ):
        call = MeteringServiceStub(channel).StreamEvents()
        await call.write(metering_pb2.StreamEventsRequest(events=[make_event()]))
        answer = await call.read()
        assert isinstance(answer, metering_pb2.StreamEventsResponse)
        rater.process.send_signal(stop)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await call.read()
        assert ended.value.code() == grpc.StatusCode.UNAVAILABLE
        assert await rater.running.ended() == 0
    assert "Traceback" not in rater.log()


async def test_without_a_database_url_a_database_is_started_migrated_kept_and_stopped(tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_bytes(PRICES)
    event = make_event()
    outcomes = []
    for _ in range(2):
        async with (
            served_rater(tmp_path, {"PHOEBE_DATA": str(tmp_path / "data")}, "--prices", str(prices)) as rater,
            grpc.aio.insecure_channel(f"127.0.0.1:{rater.port}") as channel,
        ):
            call = MeteringServiceStub(channel).StreamEvents()
            await call.write(metering_pb2.StreamEventsRequest(events=[event]))
            answer = await call.read()
            assert isinstance(answer, metering_pb2.StreamEventsResponse)
            outcomes.append(answer.results[0].outcome)
        assert not (tmp_path / "data" / "postgresql" / "postmaster.pid").exists()
    assert outcomes == [metering_pb2.EVENT_OUTCOME_STORED, metering_pb2.EVENT_OUTCOME_DUPLICATE]


async def test_an_embedded_database_left_by_a_killed_service_is_taken_over_and_stopped(
    tmp_path: Path,
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_bytes(PRICES)
    running = tmp_path / "data" / "postgresql" / "postmaster.pid"
    async with served_rater(
        tmp_path, {"PHOEBE_DATA": str(tmp_path / "data")}, "--prices", str(prices)
    ) as rater:
        rater.running.kill()
    assert running.exists()
    async with served_rater(tmp_path, {"PHOEBE_DATA": str(tmp_path / "data")}, "--prices", str(prices)):
        pass
    assert not running.exists()


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.org:0"])
async def test_listening_beyond_loopback_is_refused_unless_allowed(listen: str) -> None:
    with pytest.raises(OperatorError, match="--allow-plaintext"):
        await serve(settings("postgresql://unused", listen))


@pytest.mark.parametrize(
    ("allowed", "protection", "refused_for"),
    [
        ("nothing", ProtectionFiles(tokens=Path("/nowhere")), "--allow-plaintext"),
        ("plaintext", ProtectionFiles(), "--allow-anonymous"),
        ("nothing", ProtectionFiles(Path("/nowhere"), Path("/nowhere")), "--allow-anonymous"),
        # What follows is let through, to fail at the next step.
        ("plaintext", ProtectionFiles(tokens=Path("/nowhere")), "can't read"),
        ("anonymous", ProtectionFiles(Path("/nowhere"), Path("/nowhere")), "can't read"),
        ("nothing", ProtectionFiles(*[Path("/nowhere")] * 3), "can't read"),
    ],
)
async def test_listening_beyond_loopback_takes_encryption_and_known_callers(
    allowed: str, protection: ProtectionFiles, refused_for: str
) -> None:
    wanted = replace(
        settings("postgresql://unused", "0.0.0.0:0"),
        allow_plaintext=allowed == "plaintext",
        allow_anonymous=allowed == "anonymous",
        protection=protection,
    )
    with pytest.raises(OperatorError, match=refused_for):
        await serve(wanted)


@pytest.mark.parametrize("listen", ["50051", "localhost", ":50051", "127.0.0.1:x", "127.0.0.1:70000"])
async def test_an_address_that_is_none_is_refused(listen: str) -> None:
    with pytest.raises(OperatorError, match="HOST:PORT"):
        await serve(settings("postgresql://unused", listen))


async def test_an_empty_database_is_refused_with_what_to_do(empty_database_url: str) -> None:
    with pytest.raises(OperatorError, match="run `phoebe migrate`"):
        await serve(settings(empty_database_url))


async def test_a_refused_price_file_keeps_the_service_from_starting_and_lists_all_faults(
    database_url: str, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text(
        'version: 1\nbase_models:\n  "m": { prompt: "0.0000000001", cached: 1, completion: "0" }\n'
    )
    with pytest.raises(OperatorError) as refused:
        await serve(settings(database_url, prices=prices))
    assert "prompt" in str(refused.value)
    assert "cached" in str(refused.value)
    with pytest.raises(OperatorError, match="can't read the price file"):
        await serve(settings(database_url, prices=tmp_path / "none"))


async def test_a_port_in_use_is_refused(rater: Rater) -> None:
    with pytest.raises(OperatorError, match="can't listen on"):
        async with running_server(rater.pool, f"127.0.0.1:{rater.port}", asyncio.Event()):
            pass


async def test_health_says_not_serving_while_the_service_stops(ledger: Ledger, rater: Rater) -> None:
    stopping = asyncio.Event()
    server = running_server(rater.pool, "127.0.0.1:0", stopping)
    port = await server.__aenter__()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        stopped = asyncio.ensure_future(server.__aexit__(None, None, None))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        await stopped


def test_each_service_says_which_tasks_it_needs() -> None:
    assert set(NEEDED) == set(SERVICES)
    assert all(DATABASE_WATCH_TASK in needed for needed in NEEDED.values())


async def test_health_tells_which_services_lack_a_task_they_need_until_it_is_back(
    ledger: Ledger, rater: Rater, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_module, "PAUSE_MIN_S", 0.01)
    monkeypatch.setattr(background_module, "UP_AFTER_S", 0.5)

    crashed: set[str] = set()

    async def crash_once(name: str) -> NoReturn:
        if name not in crashed:
            crashed.add(name)
            raise KeyError("a bug")
        await asyncio.Event().wait()
        raise AssertionError("nothing is waited for")

    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    async with (
        Background() as background,
        running_server(rater.pool, "127.0.0.1:0", asyncio.Event(), background=background) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = health_pb2_grpc.HealthStub(channel)

        async def statuses() -> list[int]:
            found = await stub.List(health_pb2.HealthListRequest())
            return [found.statuses[name].status for name in ("", *SERVICES)]

        async def until_told_of(expected: list[int]) -> None:
            async def is_so() -> bool:
                return await statuses() == expected

            await until_told(is_so)

        def crash(name: str) -> None:
            background.start(name, lambda: crash_once(name), "something is amiss")

        crash("partitions")
        await asyncio.sleep(0.1)
        assert await statuses() == [serving] * 3
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICES[1]))
        assert (await watch.read()).status == serving
        crash(PRICE_FILE_TASK)
        assert (await watch.read()).status == not_serving
        await until_told_of([not_serving, serving, not_serving])
        await until_told_of([serving, serving, serving])
        crash(TOKENS_TASK)
        await until_told_of([not_serving, not_serving, not_serving])
        watch.cancel()
