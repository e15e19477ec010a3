"""Each alert of raters, fired once by what it is for: real services, their PostgreSQL, real proxies."""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import httpx
import pytest

from phoebe_client import Client
from phoebe_proto.v1 import metering_pb2, metering_pb2_grpc
from rater_service.database.schema import migrate
from rater_service.hours import hour_of
from rig.ports import reserve_port
from rig.postgres import execute, installed_versions
from rig.programs import PRICES
from tests.e2e.conftest import IDENTITY
from tests.harness.certificates import Authority
from tests.harness.engine import Engine, document
from tests.harness.ledger import make_event
from tests.harness.own_postgres import OwnPostgres, own_postgres
from tests.harness.prometheus import Prometheus
from tests.harness.proxy import Proxy
from tests.harness.served_rater import ServedRater
from tests.harness.short_rules import write_short_rules
from tests.watch.conftest import program
from tests.watch.test_drills_of_proxies import FAULTS

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    started = Prometheus(folder, program("prometheus"), write_short_rules(folder))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def server() -> Iterator[OwnPostgres]:
    # The path of a socket may be no longer than a hundred bytes.
    with tempfile.TemporaryDirectory(prefix="phoebe-drill-") as folder:
        Path(folder).chmod(0o755)
        with own_postgres(installed_versions()[-1], Path(folder)) as started:
            yield started


@pytest.fixture
def database(server: OwnPostgres, request: pytest.FixtureRequest) -> str:
    """A migrated database."""
    name = f"drill_{abs(hash(request.node.name))}"
    asyncio.run(execute(server.url, f"CREATE DATABASE {name}"))
    url = server.url.replace("/postgres?", f"/{name}?")
    asyncio.run(migrate(url))
    return url


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    return Path(shutil.copy(PRICES, tmp_path / "prices.yaml"))


@contextmanager
def serving(
    prometheus: Prometheus, folder: Path, database: str, *options: str
) -> Iterator[tuple[ServedRater, str]]:
    """A rater that Prometheus asks; with its label `instance`."""
    port = reserve_port()
    rater = ServedRater(folder, {"DATABASE_URL": database}, "--metrics", f"127.0.0.1:{port}", *options)
    try:
        rater.wait_until_ready()
        instance = prometheus.follow("phoebe-rater", port)
        prometheus.wait_until_known(f'up{{instance="{instance}"}} == 1')
        yield rater, instance
    finally:
        if rater.process.poll() is None:
            rater.stop()


@contextmanager
def metering(folder: Path, rater: ServedRater, name: str, **faults: str) -> Iterator[Proxy]:
    """A proxy that delivers to a rater, in front of an engine that tells usage of an unknown model."""
    engine = Engine()
    engine.script = document({"model": MODEL, "usage": {"prompt_tokens": 5, "completion_tokens": 1}})
    scripts = ("-s", str(FAULTS)) if faults else ()
    proxy = Proxy(
        folder / name,
        *("--mode", f"reverse:{engine.url}", *scripts),
        options={"phoebe_rater": f"127.0.0.1:{rater.port}", "phoebe_name": name},
        environment=faults,
    )
    try:
        yield proxy
    finally:
        if proxy.process.poll() is None:
            proxy.stop()
        engine.close()


def ask(proxy: Proxy) -> None:
    answer = httpx.post(
        f"{proxy.url}/v1/chat/completions", json={"model": MODEL}, headers=IDENTITY, timeout=20
    )
    assert answer.status_code == 200


def send(rater: ServedRater, *events: metering_pb2.MeteringEvent) -> None:
    """Deliver events as a proxy does."""
    with grpc.insecure_channel(f"127.0.0.1:{rater.port}") as channel:
        stub = metering_pb2_grpc.MeteringServiceStub(channel)
        batch = metering_pb2.StreamEventsRequest(batch_id="1", events=events)
        (_,) = stub.StreamEvents(iter([batch]), timeout=20)


def test_nobody_to_ask(prometheus: Prometheus, database: str, prices: Path, tmp_path: Path) -> None:
    prometheus.wait_until_fires("PhoebeAbsent")
    with serving(prometheus, tmp_path, database, "--prices", str(prices)) as (rater, _):
        assert prometheus.fires("PhoebeAbsent")  # there is no proxy
        with metering(tmp_path, rater, "the-first") as proxy:
            prometheus.follow("phoebe-addon", proxy.metrics_port)
            prometheus.wait_until_calm("PhoebeAbsent")


def test_a_proxy_that_is_killed_with_events(
    prometheus: Prometheus, database: str, prices: Path, tmp_path: Path
) -> None:
    with (
        serving(prometheus, tmp_path, database, "--prices", str(prices)) as (rater, _),
        metering(tmp_path, rater, "killed") as proxy,
    ):
        prometheus.wait_until_known('phoebe_producer_last_seen_timestamp_seconds{name="killed"}')
        assert not prometheus.fires("PhoebeProxySilent", name="killed")
        ask(proxy)
        proxy.stop(signal.SIGKILL)
        prometheus.wait_until_fires("PhoebeProxySilent", name="killed")


def test_a_clock_that_is_wrong(prometheus: Prometheus, database: str, prices: Path, tmp_path: Path) -> None:
    with (
        serving(prometheus, tmp_path, database, "--prices", str(prices)) as (rater, instance),
        metering(tmp_path, rater, "well"),
        metering(tmp_path, rater, "ahead", FAULTS="clock"),
    ):
        prometheus.wait_until_fires("PhoebeClockSkew", instance=instance, name="ahead")
        prometheus.wait_until_known('phoebe_producer_clock_skew_seconds{name="well"}')
        assert not prometheus.fires("PhoebeClockSkew", name="well")


def test_a_price_file_with_a_misspelt_name(
    prometheus: Prometheus, database: str, prices: Path, tmp_path: Path
) -> None:
    with serving(prometheus, tmp_path, database, "--prices", str(prices)) as (_, instance):
        prometheus.wait_until_known(f'phoebe_file_refused{{instance="{instance}"}} == 0')
        good = prices.read_text()
        prices.write_text(good.replace("base_models:", "base_modles:"))
        prometheus.wait_until_fires("PhoebeFileRefused", instance=instance, file="prices")
        assert not prometheus.fires("PhoebeNoPrices", instance=instance)  # what it said before holds
        prices.write_text(good)
        prometheus.wait_until_calm("PhoebeFileRefused", instance=instance, file="prices")
        assert prometheus.query(
            f'phoebe_file_reloads_total{{instance="{instance}",file="prices",result="refused"}} == 1'
        )


def test_no_prices_at_all_and_no_run(prometheus: Prometheus, database: str, tmp_path: Path) -> None:
    with serving(prometheus, tmp_path, database) as (_, instance):
        prometheus.wait_until_fires("PhoebeNoPrices", instance=instance)


def test_no_routine_run_for_long(prometheus: Prometheus, database: str, prices: Path, tmp_path: Path) -> None:
    with serving(prometheus, tmp_path, database, "--prices", str(prices)):
        prometheus.wait_until_fires("PhoebeRatingLate")


def test_usage_that_has_no_price(prometheus: Prometheus, database: str, prices: Path, tmp_path: Path) -> None:
    hour = hour_of(datetime.now(UTC)) - timedelta(hours=1)
    with serving(prometheus, tmp_path, database, "--prices", str(prices)) as (rater, instance):
        prometheus.wait_until_known(
            f'phoebe_rating_anomalies_total{{instance="{instance}",reason="UNPRICED"}} == 0'
        )
        assert not prometheus.fires("PhoebeAnomalies", reason="UNPRICED")
        send(rater, make_event(hour, model_id="nobody-sells-this"))
        with Client(f"127.0.0.1:{rater.port}") as client:
            run = client.rate_window(hour, hour + timedelta(hours=1))
        assert "UNPRICED" in {anomaly.reason for anomaly in run.anomalies}
        prometheus.wait_until_fires("PhoebeAnomalies", reason="UNPRICED")


def test_an_event_that_breaks_a_rule(
    prometheus: Prometheus, database: str, prices: Path, tmp_path: Path
) -> None:
    with serving(prometheus, tmp_path, database, "--prices", str(prices)) as (rater, instance):
        prometheus.wait_until_known(f'phoebe_rejected_events{{instance="{instance}"}} == 0')
        send(rater, make_event(datetime.now(UTC), prompt_tokens=-1))
        prometheus.wait_until_fires("PhoebeRejectedEvents", instance=instance)


def test_a_certificate_that_ends_today(
    prometheus: Prometheus, database: str, prices: Path, tmp_path: Path
) -> None:
    authority = Authority()
    certificate, key = authority.issue_for_loopback().write(tmp_path / "tls", "rater")  # for a day
    options = ("--prices", str(prices), "--tls-cert", str(certificate), "--tls-key", str(key))
    with serving(prometheus, tmp_path, database, *options, "--allow-anonymous") as (_, instance):
        prometheus.wait_until_fires("PhoebeCertificateExpires", instance=instance, use="server")
        prometheus.wait_until_fires("PhoebeCertificateEnds", instance=instance, use="server")


def test_a_schema_of_another_version(
    prometheus: Prometheus, database: str, prices: Path, tmp_path: Path
) -> None:
    with serving(prometheus, tmp_path, database, "--prices", str(prices)) as (_, instance):
        prometheus.wait_until_known(f'phoebe_migration_current{{instance="{instance}"}} == 1')
        assert not prometheus.fires("PhoebeNotMigrated", instance=instance)
        asyncio.run(execute(database, "UPDATE alembic_version SET version_num = '9999'"))
        prometheus.wait_until_fires("PhoebeNotMigrated", instance=instance)


def test_a_standby_that_is_down_and_one_that_does_not_replay(
    prometheus: Prometheus, server: OwnPostgres, database: str, prices: Path, tmp_path: Path
) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="phoebe-drill-") as folder,
        own_postgres(installed_versions()[-1], Path(folder), primary=server) as standby,
    ):
        reads = ("--read-database-url", database.replace(str(server.folder), str(standby.folder)))
        with serving(prometheus, tmp_path, database, "--prices", str(prices), *reads) as (_, instance):
            prometheus.wait_until_known(f'phoebe_standby_up{{instance="{instance}"}} == 1')
            assert not prometheus.fires("PhoebeStandbyDown", instance=instance)
            assert not prometheus.fires("PhoebeStandbyBehind", instance=instance)
            standby.kill()
            prometheus.wait_until_fires("PhoebeStandbyDown", instance=instance)
            standby.start()
            prometheus.wait_until_calm("PhoebeStandbyDown", instance=instance)

            asyncio.run(execute(standby.url, "SELECT pg_wal_replay_pause()"))
            asyncio.run(execute(database, "CREATE TABLE is_not_there_yet ()"))
            prometheus.wait_until_fires("PhoebeStandbyBehind", instance=instance)
            assert not prometheus.fires("PhoebeStandbyDown", instance=instance)
            asyncio.run(execute(standby.url, "SELECT pg_wal_replay_resume()"))
            prometheus.wait_until_calm("PhoebeStandbyBehind", instance=instance)


def test_a_database_that_is_down(
    prometheus: Prometheus, server: OwnPostgres, database: str, prices: Path, tmp_path: Path
) -> None:
    with serving(prometheus, tmp_path, database, "--prices", str(prices)) as (_, instance):
        prometheus.wait_until_known(f'phoebe_database_up{{instance="{instance}"}} == 1')
        assert not prometheus.fires("PhoebeDatabaseDown", instance=instance)
        server.kill()
        prometheus.wait_until_fires("PhoebeDatabaseDown", instance=instance)
        server.start()
        prometheus.wait_until_calm("PhoebeDatabaseDown", instance=instance)
