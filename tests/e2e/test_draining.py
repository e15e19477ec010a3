"""A proxy that is told to stop lets what is under way come to its end."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rig.ports import reserve_port
from tests.e2e.conftest import IDENTITY
from tests.harness.engine import LAST_CHUNK, Engine, EngineRequest, Line, document
from tests.harness.engine_streams import DONE, VLLM, VLLM_USAGE
from tests.harness.events import EventRecorder
from tests.harness.http2_client import Http2Client
from tests.harness.proxy import Proxy
from tests.harness.raw_client import CutOffError, RawClient, post
from tests.harness.spool_folder import depth_of

CHAT = "/v1/chat/completions"
STREAM = b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}'


class SlowStream:
    """An engine's answer that waits after its first half until a test lets it go on."""

    def __init__(self, engine: Engine) -> None:
        self.go_on = threading.Event()
        engine.script = self._answer

    def _answer(self, _request: EngineRequest, line: Line) -> None:
        line.send_stream_head()
        line.send_chunk(VLLM)
        if self.go_on.wait(20):
            line.send_chunk(VLLM_USAGE + DONE)
            line.send(LAST_CHUNK)


@pytest.fixture
def slow(engine: Engine) -> Iterator[SlowStream]:
    stream = SlowStream(engine)
    yield stream
    stream.go_on.set()


def start(folder: Path, engine: Engine, rater_port: int, drain_timeout: str = "20") -> Proxy:
    return Proxy(
        folder,
        *("--mode", f"reverse:{engine.url}"),
        options={"phoebe_rater": f"127.0.0.1:{rater_port}", "phoebe_drain_timeout": drain_timeout},
    )


def begin(client: RawClient, tag: str) -> bytes:
    """Ask for a stream and read the half of it that comes; return it."""
    client.send(post(CHAT, {**IDENTITY, "X-Request-Id": tag}, STREAM))
    assert client.read_head()[0] == 200
    return client.read_chunk()


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_stream_under_way_comes_whole_and_its_event_is_delivered(
    folder: Path, engine: Engine, rater: EventRecorder, slow: SlowStream, signal_number: signal.Signals
) -> None:
    proxy = start(folder, engine, rater.port)
    tag = f"drained-{signal_number}"
    with RawClient(proxy) as client:
        received = begin(client, tag)
        proxy.process.send_signal(signal_number)
        proxy.wait_for_log("phoebe: stopping")

        slow.go_on.set()
        received += b"".join(iter(client.read_chunk, b""))

    assert proxy.ended() == 0
    assert received == VLLM + VLLM_USAGE + DONE
    event = rater.tagged(tag)
    assert (event.outcome, event.completion_tokens) == ("completed", 3)
    assert depth_of(folder / "spool") == 0
    assert rater.last_status(event.producer_id).stopped


def test_new_requests_are_refused_meanwhile_and_told_when_to_come_back(
    folder: Path, engine: Engine, rater: EventRecorder, slow: SlowStream
) -> None:
    proxy = start(folder, engine, rater.port)
    with RawClient(proxy) as client, RawClient(proxy) as idle:
        begin(client, "drained-alone")
        proxy.process.send_signal(signal.SIGTERM)
        proxy.wait_for_log("phoebe: stopping")

        refused = httpx.post(proxy.url + CHAT, json={"model": "m"}, headers=IDENTITY, timeout=20)
        idle.send(post(CHAT, IDENTITY))
        again = idle.read_answer()
        probes = [httpx.get(f"http://127.0.0.1:{proxy.metrics_port}/{name}") for name in ("livez", "readyz")]
        asked = len(engine.requests)
        slow.go_on.set()
        client.read_chunk()

    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
    assert int(refused.headers["retry-after"]) > 0
    assert [probe.status_code for probe in probes] == [200, 503]
    assert "FAILED: the proxy is stopping" in probes[1].text
    assert (refused.headers["connection"], again.headers["connection"]) == ("close", "close")
    assert again.status == 503
    assert asked == 1
    assert proxy.ended() == 0


def test_with_a_delay_requests_are_served_until_load_balancers_have_heard(
    folder: Path, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = document({"model": "m", "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
    proxy = Proxy(
        folder,
        *("--mode", f"reverse:{engine.url}"),
        options={"phoebe_rater": f"127.0.0.1:{rater.port}", "phoebe_drain_delay": "4"},
    )
    request = post(CHAT, {**IDENTITY, "X-Request-Id": "after the signal"}, b'{"model":"m"}')
    with RawClient(proxy) as client, Http2Client(proxy) as modern:
        first = modern.post(CHAT, IDENTITY, b'{"model":"m"}')
        modern.read_until(lambda: first.ended)
        proxy.process.send_signal(signal.SIGTERM)
        proxy.wait_for_log("requests are served for 4 seconds more")
        assert httpx.get(f"http://127.0.0.1:{proxy.metrics_port}/readyz").status_code == 503
        client.send(request)
        answer = client.read_answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        last = modern.post(CHAT, IDENTITY, b'{"model":"m"}')
        modern.read_until(lambda: modern.is_told_to_go)
        assert (last.status, last.ended) == (200, True)
    assert rater.tagged("after the signal").outcome == "completed"
    assert proxy.ended() == 0


def test_what_does_not_end_in_time_is_cut_off_with_its_last_counts(
    folder: Path, engine: Engine, rater: EventRecorder
) -> None:
    def script(_request: EngineRequest, line: Line) -> None:
        line.send_stream_head()
        line.send_chunk(VLLM_USAGE)
        line.wait_until_closed()

    engine.script = script
    proxy = start(folder, engine, rater.port, drain_timeout="0.5")
    with RawClient(proxy) as client:
        begin(client, "drain-cut")
        proxy.process.send_signal(signal.SIGTERM)
        with pytest.raises(CutOffError):
            client.read_chunk()

    assert proxy.ended() == 0
    # On a busy machine half a second is too short to deliver it as well; then the next start does.
    again = start(folder, engine, rater.port) if depth_of(folder / "spool") else None
    event = rater.tagged("drain-cut")
    assert (event.outcome, event.completion_tokens) == ("proxy_error", 3)
    if again:
        assert again.stop() == 0
    assert depth_of(folder / "spool") == 0


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(("drain_timeout", "signals"), [("0", 1), ("20", 2)])
def test_without_patience_or_told_twice_it_ends_at_once(
    folder: Path, engine: Engine, rater: EventRecorder, drain_timeout: str, signals: int
) -> None:
    proxy = start(folder, engine, reserve_port(), drain_timeout)
    with RawClient(proxy) as client:
        begin(client, f"at-once-{signals}")
        for number in range(signals):
            proxy.process.send_signal(signal.SIGTERM)
            if number + 1 < signals:
                proxy.wait_for_log("phoebe: stopping")
        assert proxy.process.wait(timeout=5) == 0

    proxy = start(folder, engine, rater.port)
    assert rater.tagged(f"at-once-{signals}").outcome == "proxy_error"
    proxy.stop()


def test_a_rater_that_is_away_does_not_hold_up_the_end(folder: Path, engine: Engine) -> None:
    proxy = start(folder, engine, reserve_port())
    httpx.post(proxy.url + CHAT, json={"model": "m"}, headers=IDENTITY, timeout=20)

    proxy.process.send_signal(signal.SIGTERM)

    assert proxy.process.wait(timeout=10) == 0
    assert "left in the spool for the next start: 1 event" in proxy.log()
    assert depth_of(folder / "spool") == 1


def test_an_answer_that_its_client_is_slow_to_take_comes_whole(
    folder: Path, engine: Engine, rater: EventRecorder
) -> None:
    padding = "x" * 6_000_000
    engine.script = document({"model": "m", "padding": padding, "usage": {"prompt_tokens": 1}})
    proxy = start(folder, engine, rater.port)
    with RawClient(proxy, receive_buffer_bytes=4096) as client:
        client.send(post(CHAT, {**IDENTITY, "X-Request-Id": "drained-slowly"}))
        rater.tagged("drained-slowly")  # the engine has said all
        proxy.process.send_signal(signal.SIGTERM)
        proxy.wait_for_log("phoebe: stopping")

        answer = client.read_answer()

    assert len(answer.body) > len(padding)
    assert proxy.ended() == 0
