"""Each alert of proxies, fired once by what it is for: real mitmdump, real trouble, a real Prometheus."""

import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from rig.ports import reserve_port
from tests.e2e.conftest import IDENTITY
from tests.harness.certificates import Authority
from tests.harness.engine import Engine, document
from tests.harness.events import EventRecorder
from tests.harness.prometheus import Prometheus
from tests.harness.proxy import Proxy
from tests.harness.short_rules import write_short_rules
from tests.harness.spooled import spool_file
from tests.harness.waiting import wait_until
from tests.watch.conftest import program

CHAT = "/v1/chat/completions"
FAULTS = Path(__file__).parents[1] / "harness" / "faults_script.py"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    started = Prometheus(folder, program("prometheus"), write_short_rules(folder))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    started = Engine()
    started.script = document({"model": "m", "usage": {"prompt_tokens": 5, "completion_tokens": 1}})
    yield started
    started.close()


@pytest.fixture(scope="module")
def rater() -> Iterator[EventRecorder]:
    recorder = EventRecorder()
    yield recorder
    recorder.close()


def ask(proxy: Proxy, **headers: str) -> int:
    return httpx.post(
        proxy.url + CHAT, json={"model": "m"}, headers=IDENTITY | headers, timeout=20
    ).status_code


def follow(prometheus: Prometheus, proxy: Proxy) -> str:
    """Ask a proxy from now on, and wait until it was asked. Returns its label `instance`."""
    instance = prometheus.follow("phoebe-addon", proxy.metrics_port)
    prometheus.wait_until_known(f'up{{instance="{instance}"}} == 1')
    return instance


@pytest.fixture(scope="module")
def cut_off(
    prometheus: Prometheus, engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A proxy whose rater is away, with a spool that is full soon. Gives its label `instance`."""
    proxy = Proxy(
        tmp_path_factory.mktemp("cut-off"),
        *("--mode", f"reverse:{engine.url}"),
        options={"phoebe_rater": f"127.0.0.1:{reserve_port()}", "phoebe_spool_limit": "60k"},
    )
    try:
        instance = follow(prometheus, proxy)
        for alert in ("PhoebeSpoolFilling", "PhoebeSpoolOld", "PhoebeCannotBill", "PhoebeRaterUnreachable"):
            assert not prometheus.fires(alert, instance=instance)
        wait_until(lambda: ask(proxy) == 503)
        # What is refused now is an increase of what Prometheus has seen.
        prometheus.wait_until_known(
            f'phoebe_exchanges_refused_total{{instance="{instance}",reason="not_durable"}} > 0'
        )
        for _ in range(3):
            assert ask(proxy) == 503
        yield instance
    finally:
        assert proxy.stop() == 0


def test_a_certificate_for_clients_that_ends_today(
    prometheus: Prometheus, engine: Engine, rater: EventRecorder, tmp_path: Path
) -> None:
    shown = tmp_path / "shown.pem"
    issued = Authority().issue_for_loopback()  # for a day
    shown.write_bytes(issued.key + issued.certificate)
    proxy = Proxy(
        tmp_path / "proxy",
        *("--mode", f"reverse:{engine.url}", "--certs", str(shown)),
        options={"phoebe_rater": f"127.0.0.1:{rater.port}"},
    )
    try:
        instance = follow(prometheus, proxy)
        prometheus.wait_until_fires("PhoebeCertificateExpires", instance=instance, use="listener")
        prometheus.wait_until_fires("PhoebeCertificateEnds", instance=instance, use="listener")
        assert f"what clients are shown: the certificate {shown} ends in 23 hours" in proxy.log()
    finally:
        assert proxy.stop() == 0


@pytest.mark.parametrize(
    "alert", ["PhoebeSpoolFilling", "PhoebeSpoolOld", "PhoebeCannotBill", "PhoebeRaterUnreachable"]
)
def test_a_rater_that_is_away_until_the_spool_is_full(
    prometheus: Prometheus, cut_off: str, alert: str
) -> None:
    prometheus.wait_until_fires(alert, instance=cut_off)


@pytest.mark.parametrize(
    "alert", ["PhoebeErrorBudgetFast", "PhoebeErrorBudgetMedium", "PhoebeErrorBudgetSlow"]
)
@pytest.mark.usefixtures("cut_off")
def test_requests_that_are_refused_because_of_it(prometheus: Prometheus, alert: str) -> None:
    prometheus.wait_until_fires(alert)


def test_an_engine_without_usage(prometheus: Prometheus, rater: EventRecorder, tmp_path: Path) -> None:
    mute = Engine()
    mute.script = document({"id": "1", "object": "chat.completion", "model": "m", "choices": []})
    proxy = Proxy(
        tmp_path, "--mode", f"reverse:{mute.url}", options={"phoebe_rater": f"127.0.0.1:{rater.port}"}
    )
    try:
        follow(prometheus, proxy)
        assert ask(proxy, **{"X-Saturn-Resource-Id": "mute"}) == 200
        prometheus.wait_until_known('phoebe_usage_missing_total{resource="mute"} > 0')
        assert not prometheus.fires("PhoebeUsageMissing", resource="mute")
        assert ask(proxy, **{"X-Saturn-Resource-Id": "mute"}) == 200
        prometheus.wait_until_fires("PhoebeUsageMissing", resource="mute")
        assert not prometheus.fires("PhoebeUsageMissing", resource=IDENTITY["X-Saturn-Resource-Id"])
    finally:
        assert proxy.stop() == 0
        mute.close()


def test_a_damaged_spool(
    prometheus: Prometheus, engine: Engine, rater: EventRecorder, tmp_path: Path
) -> None:
    metrics = f"127.0.0.1:{reserve_port()}"

    def start(rater_port: int) -> Proxy:
        options = {"phoebe_rater": f"127.0.0.1:{rater_port}", "phoebe_metrics": metrics}
        return Proxy(tmp_path, "--mode", f"reverse:{engine.url}", options=options)

    proxy = start(reserve_port())
    prometheus.follow("phoebe-addon", int(metrics.rpartition(":")[2]))
    prometheus.wait_until_known(f'phoebe_spool_events_lost{{instance="{metrics}"}} == 0')
    assert ask(proxy) == 200
    proxy.stop(signal.SIGKILL)
    with sqlite3.connect(spool_file(tmp_path / "spool")) as spool:
        spool.execute("UPDATE waiting SET record = zeroblob(length(record))")
    spool.close()
    assert not prometheus.fires("PhoebeEventsLost", instance=metrics)
    proxy = start(rater.port)
    try:
        prometheus.wait_until_fires("PhoebeEventsLost", instance=metrics)
    finally:
        assert proxy.stop() == 0


def test_a_bug_in_a_task_of_the_background(
    prometheus: Prometheus, engine: Engine, rater: EventRecorder, tmp_path: Path
) -> None:
    proxy = Proxy(
        tmp_path,
        *("--mode", f"reverse:{engine.url}", "-s", str(FAULTS)),
        options={"phoebe_rater": f"127.0.0.1:{rater.port}"},
        environment={"FAULTS": "bug"},
    )
    try:
        instance = follow(prometheus, proxy)
        prometheus.wait_until_fires("PhoebeTaskDown", instance=instance, task="adoption")
        assert not prometheus.fires("PhoebeTaskDown", instance=instance, task="delivery")
        assert ask(proxy) == 200  # nothing else suffers
    finally:
        assert proxy.stop() == 0


def test_workers_that_are_ended_again_and_again_and_a_proxy_that_is_gone(
    prometheus: Prometheus, engine: Engine, rater: EventRecorder, tmp_path: Path
) -> None:
    proxy = Proxy(
        tmp_path,
        *("--mode", f"reverse:{engine.url}"),
        options={"phoebe_rater": f"127.0.0.1:{rater.port}"},
        workers=2,
    )
    try:
        instance = follow(prometheus, proxy)
        prometheus.wait_until_known(f'phoebe_workers{{instance="{instance}"}} == 2')
        assert not prometheus.fires("PhoebeWorkersMissing", instance=instance)

        def end_one() -> None:
            for worker in psutil.Process(proxy.process.pid).children()[1:]:
                worker.kill()

        prometheus.wait_until_fires("PhoebeWorkersMissing", meanwhile=end_one, instance=instance)
        prometheus.wait_until_calm("PhoebeWorkersMissing", instance=instance)
        assert ask(proxy) == 200
        assert not prometheus.fires("PhoebeTargetDown", instance=instance)
    finally:
        assert proxy.stop() == 0
    prometheus.wait_until_fires("PhoebeTargetDown", instance=instance, job="phoebe-addon")
