"""Events survive: the rater being away, the proxy being stopped or killed, a spool that is full."""

import signal
import threading
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from rig.ports import reserve_port
from tests.e2e.conftest import IDENTITY
from tests.harness import engine as engines
from tests.harness.engine import Engine, EngineRequest, Line
from tests.harness.events import EventRecorder
from tests.harness.proxy import Proxy
from tests.harness.waiting import wait_until

CHAT = "/v1/chat/completions"
ANSWER = {"model": "m", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}


def start(folder: Path, engine: Engine, rater_port: int, **options: str) -> Proxy:
    return Proxy(
        folder,
        *("--mode", f"reverse:{engine.url}"),
        options={"phoebe_rater": f"127.0.0.1:{rater_port}", **options},
    )


def ask(proxy: Proxy, tag: str, model: str = "m") -> httpx.Response:
    return httpx.post(
        proxy.url + CHAT, json={"model": model}, headers={**IDENTITY, "X-Request-Id": tag}, timeout=20
    )


def test_traffic_goes_on_without_the_rater_and_its_events_follow(tmp_path: Path, engine: Engine) -> None:
    engine.script = engines.document(ANSWER)
    port = reserve_port()
    proxy = start(tmp_path, engine, port)
    try:
        for number in range(3):
            assert ask(proxy, f"waiting-{number}").status_code == 200
        assert proxy.metric("phoebe_spool_events") == 3
        rater = EventRecorder(port)
        try:
            rater.wait_for(lambda event: event.producer_seq == 3)
            tags = {event.producer_seq: event.client_request_id for event in rater.events}
            assert tags == {1: "waiting-0", 2: "waiting-1", 3: "waiting-2"}
            assert len({event.producer_id for event in rater.events}) == 1
        finally:
            rater.close()
    finally:
        proxy.stop()


def test_events_of_a_stopped_proxy_are_sent_by_the_next_one(
    tmp_path: Path, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = engines.document(ANSWER)
    proxy = start(tmp_path, engine, reserve_port())
    assert ask(proxy, "before-stop").status_code == 200
    assert proxy.stop() == 0
    proxy = start(tmp_path, engine, rater.port)
    try:
        event = rater.tagged("before-stop")
        assert event.usage_found
    finally:
        proxy.stop()


@pytest.mark.parametrize(
    ("signal_number", "exit_status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0)]
)
def test_an_exchange_under_way_when_the_proxy_ends_becomes_one_proxy_error(
    tmp_path: Path, engine: Engine, rater: EventRecorder, signal_number: signal.Signals, exit_status: int
) -> None:
    asked = threading.Event()

    def script(_request: EngineRequest, line: Line) -> None:
        asked.set()
        line.wait_until_closed()

    engine.script = script
    proxy = start(tmp_path, engine, rater.port, phoebe_drain_timeout="1")
    tag = f"under-way-{signal_number}"
    client = threading.Thread(target=_ask_in_vain, args=(proxy, tag))
    client.start()
    assert asked.wait(10)
    assert proxy.stop(signal_number) == exit_status
    client.join()
    proxy = start(tmp_path, engine, rater.port)
    try:
        event = rater.tagged(tag)
        assert (event.outcome, event.usage_found) == ("proxy_error", False)
    finally:
        proxy.stop()


def test_no_rater_of_another_installation_gets_events_and_traffic_goes_on(
    tmp_path: Path, engine: Engine
) -> None:
    engine.script = engines.document(ANSWER)
    first, second = (EventRecorder(installation=str(uuid4())) for _ in range(2))
    try:
        proxy = start(tmp_path, engine, first.port)
        assert ask(proxy, "first").status_code == 200
        first.tagged("first")
        assert proxy.stop(signal.SIGKILL) == -signal.SIGKILL

        proxy = start(tmp_path, engine, second.port)
        try:
            proxy.wait_for_log("lets no event in: the events belong to the installation")
            assert ask(proxy, "second").status_code == 200
            assert proxy.metric("phoebe_spools_misdirected") == 1
            assert proxy.metric("phoebe_spool_events") in {1, 2}  # the first was perhaps not answered for
        finally:
            proxy.stop()
        assert (second.events, second.statuses) == ([], [])

        proxy = start(tmp_path, engine, first.port)
        try:
            first.tagged("second")
        finally:
            proxy.stop()
    finally:
        first.close()
        second.close()


def test_a_full_spool_refuses_new_exchanges_and_says_when_to_retry(tmp_path: Path, engine: Engine) -> None:
    engine.script = engines.document({**ANSWER, "model": "m" * 250})
    proxy = start(tmp_path, engine, reserve_port(), phoebe_spool_limit="40k")
    try:
        statuses = [ask(proxy, "x" * 250).status_code for _ in range(100)]
        admitted = statuses.count(200)
        assert 0 < admitted < 100
        assert statuses == [200] * admitted + [503] * (100 - admitted)
        assert len(engine.requests) == admitted
        response = ask(proxy, "x")
        assert int(response.headers["retry-after"]) > 0
        assert response.json()["error"]["code"] == "not_durable"
        log = proxy.log()
        assert log.count("phoebe: no request is admitted: the spool ") == 1
        assert "phoebe_spool_limit (40960 bytes)" in log
        assert log.count("phoebe: refused 503 not_durable") == 1
        refused = next(line for line in log.splitlines() if "refused 503" in line)
        assert f"auth_id={IDENTITY['X-Saturn-Auth-Id']} " in refused
    finally:
        proxy.stop()


def test_proxies_that_share_a_folder_have_spools_of_their_own(
    tmp_path: Path, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = engines.document(ANSWER)
    shared = {"phoebe_spool": str(tmp_path / "spool")}
    proxies = [start(tmp_path / name, engine, rater.port, **shared) for name in ("first", "second")]
    try:
        for number, proxy in enumerate(proxies):
            assert ask(proxy, f"shared-{number}").status_code == 200
        events = rater.wait_for_all(lambda event: event.client_request_id.startswith("shared-"), 2)
        assert len({event.producer_id for event in events}) == 2
    finally:
        for proxy in proxies:
            proxy.stop()


def test_a_living_proxy_delivers_what_a_killed_one_left(
    tmp_path: Path, engine: Engine, rater: EventRecorder
) -> None:
    asked = threading.Event()

    def script(request: EngineRequest, line: Line) -> None:
        if b"hangs" not in request.body:
            engines.document(ANSWER)(request, line)
            return
        asked.set()
        line.wait_until_closed()

    engine.script = script
    shared = {"phoebe_spool": str(tmp_path / "spool")}
    killed = start(tmp_path / "killed", engine, reserve_port(), **shared)
    living = start(tmp_path / "living", engine, rater.port, **shared)
    try:
        assert ask(killed, "left-whole").status_code == 200
        client = threading.Thread(target=_ask_in_vain, args=(killed, "left-open", "hangs"))
        client.start()
        assert asked.wait(10)
        killed.stop(signal.SIGKILL)
        client.join()
        events = rater.wait_for_all(
            lambda event: event.client_request_id.startswith("left-"), 2, timeout_s=30
        )
        assert {event.client_request_id: event.outcome for event in events} == {
            "left-whole": "completed",
            "left-open": "proxy_error",
        }
        assert {event.producer_seq for event in events} == {1, 2}
        living.wait_for_log("adopted the spool")
        wait_until(lambda: len(list((tmp_path / "spool").glob("*.sqlite3"))) == 1)
    finally:
        living.stop()


def _ask_in_vain(proxy: Proxy, tag: str, model: str = "m") -> None:
    try:
        ask(proxy, tag, model)
    except httpx.HTTPError:
        return
