"""`phoebe proxy`: several real mitmdump behind one port."""

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import psutil
import pytest

from phoebe_addon.spool.seat import Seat
from phoebe_addon.spool.spools import open_own
from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rig.processes import start
from rig.programs import PROJECT, phoebe
from tests.e2e.conftest import IDENTITY
from tests.harness.engine import LAST_CHUNK, Engine, EngineRequest, Line
from tests.harness.engine_streams import DONE, VLLM, VLLM_USAGE
from tests.harness.events import EventRecorder
from tests.harness.http2_client import Http2Client
from tests.harness.proxy import Proxy
from tests.harness.raw_client import CutOffError, RawClient, post
from tests.harness.spool_folder import depth_of
from tests.harness.spooled import NOW
from tests.harness.waiting import wait_until

CHAT = "/v1/chat/completions"
STREAM = b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}'
ANSWER = json.dumps({"model": "m", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
LEFT = "left by worker 7"


class Stand:
    """Two workers, their engine, which holds streams until `go_on`, and their rater."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.spool = folder / "spool"
        self.go_on = threading.Event()
        self.engine = Engine()
        self.engine.script = self._answer
        self.rater = EventRecorder()
        self._leave_spool_of_worker_7()
        self._proxy: Proxy | None = None

    @property
    def proxy(self) -> Proxy:
        """The proxy, started anew if a test has ended it."""
        if self._proxy is None or self._proxy.process.poll() is not None:
            self._proxy = Proxy(
                self._folder,
                *("--mode", f"reverse:{self.engine.url}"),
                options={
                    "phoebe_rater": f"127.0.0.1:{self.rater.port}",
                    "phoebe_drain_timeout": "20",
                    "flow_detail": "0",
                },
                workers=2,
            )
        return self._proxy

    def _answer(self, request: EngineRequest, line: Line) -> None:
        if b'"stream"' not in request.body:
            line.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(ANSWER)}\r\n\r\n{ANSWER}".encode())
            return
        line.send_stream_head()
        line.send_chunk(VLLM)
        if self.go_on.wait(30):
            line.send_chunk(VLLM_USAGE + DONE)
            line.send(LAST_CHUNK)

    def _leave_spool_of_worker_7(self) -> None:
        """As after a run with seven workers that could not deliver everything."""
        spool = open_own(self.spool, 10**9, seat=Seat(7, 7))
        event = MeteringEvent(request_id="0199", client_request_id=LEFT, outcome="completed")
        event.event_time.FromDatetime(NOW)
        spool.block_until_durable(spool.finish(event.request_id, [event.SerializeToString()], NOW), 10)
        spool.close()

    def workers(self) -> list[int]:
        """The processes of the workers."""
        return [child.pid for child in psutil.Process(self.proxy.process.pid).children()]

    def worker_of(self, client: RawClient) -> int:
        """The process that a client is connected to."""
        for pid in self.workers():
            connections = psutil.Process(pid).net_connections("tcp")
            if any(each.raddr and each.raddr.port == client.port for each in connections):
                return pid
        raise AssertionError("no worker has the connection")

    def begin_stream(self, client: RawClient, tag: str) -> bytes:
        """Ask for a stream and read the half of it that comes; return it."""
        client.send(post(CHAT, {**IDENTITY, "X-Request-Id": tag}, STREAM))
        assert client.read_head()[0] == 200
        return client.read_chunk()

    def files_of(self, number: int) -> set[str]:
        return {path.name for path in self.spool.glob(f"spool-worker-{number}-*.sqlite3")}

    def close(self) -> None:
        self.go_on.set()
        if self._proxy:
            self._proxy.stop(signal.SIGKILL)
        self.engine.close()
        self.rater.close()


class Load:
    """Clients that keep their connections and ask all the time; what they got is counted.

    They end with the context, so that those of a test that failed do not ask on.
    """

    def __init__(self, proxy: Proxy, tag: str, clients: int = 6) -> None:
        self._proxy = proxy
        self._tag = tag
        self._stop = threading.Event()
        self.seen: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        client: RawClient | None = None
        while not self._stop.is_set():
            try:
                client = client or RawClient(self._proxy)
                client.send(post(CHAT, {**IDENTITY, "X-Request-Id": f"{self._tag} {number}"}))
                answer = client.read_answer()
                self.seen[str(answer.status)] += 1
                is_last = answer.headers.get("connection") == "close"
            except (CutOffError, OSError) as error:
                self.seen[type(error).__name__] += 1
                is_last = True
            if is_last and client:
                client.close()
                client = None
        if client:
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def until_more(self, count: int = 50) -> None:
        """Wait until so many more requests were answered."""
        before = self.seen["200"]
        wait_until(lambda: self.seen["200"] >= before + count)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    made = Stand(tmp_path_factory.mktemp("workers"))
    yield made
    made.close()


def test_what_a_worker_left_whose_number_there_is_no_more_is_delivered(stand: Stand) -> None:
    assert stand.proxy
    assert stand.rater.tagged(LEFT).outcome == "completed"
    wait_until(lambda: not stand.files_of(7))


def test_all_workers_serve_and_their_metrics_add_up(stand: Stand) -> None:
    proxy = stand.proxy
    before = proxy.metric("phoebe_exchanges_ended_total", outcome="completed")
    seen: Counter[str] = Counter()

    def have_both_served() -> bool:
        with Load(proxy, "adding up", clients=12) as load:
            load.until_more()
        seen.update(load.seen)
        events = stand.rater.wait_for_all(
            lambda event: event.client_request_id.startswith("adding up"), seen["200"]
        )
        return len({event.producer_id for event in events}) == 2

    wait_until(have_both_served)  # a worker listens on its socket a moment after it serves

    assert seen.keys() == {"200"}
    assert proxy.metric("phoebe_exchanges_ended_total", outcome="completed") - before == seen["200"]
    assert (proxy.metric("phoebe_workers"), proxy.metric("phoebe_workers_wanted")) == (2, 2)
    assert proxy.metric("phoebe_task_up", task="delivery") == 1


def test_a_worker_that_is_killed_under_load_is_replaced_and_its_exchanges_are_settled(stand: Stand) -> None:
    proxy = stand.proxy
    died = proxy.metric("phoebe_workers_died_total")
    with Load(proxy, "around a kill") as load, RawClient(proxy) as client:
        stand.begin_stream(client, "killed")
        killed = stand.worker_of(client)
        load.until_more()
        admitted = proxy.metric("phoebe_exchanges_admitted_total")
        os.kill(killed, signal.SIGKILL)
        load.until_more()  # by the other one
        wait_until(lambda: proxy.metric("phoebe_workers") == 2)
        load.until_more()
        with pytest.raises(CutOffError):
            client.read_chunk()
    seen = load.seen

    event = stand.rater.tagged("killed")
    assert event.outcome == "proxy_error"
    # Taken up by the worker of the same number, not by the other one: the producer goes on.
    wait_until(lambda: not stand.rater.last_status(event.producer_id).open_exchanges)
    assert not stand.rater.last_status(event.producer_id).stopped
    assert proxy.metric("phoebe_exchanges_admitted_total") > admitted
    assert proxy.metric("phoebe_workers_died_total") == died + 1
    # Nobody was refused, and only who was connected to the killed one was cut off.
    assert seen["CutOffError"] <= 6
    assert seen.keys() <= {"200", "CutOffError"}


def test_a_reload_under_load_refuses_nothing_and_streams_go_on(stand: Stand) -> None:
    proxy = stand.proxy
    before = set(stand.workers())
    stand.go_on.clear()
    with (
        Load(proxy, "around a reload") as load,
        RawClient(proxy) as client,
        RawClient(proxy) as idle,
        Http2Client(proxy) as http2,
    ):
        received = stand.begin_stream(client, "over a reload")
        idle.send(post(CHAT, IDENTITY))
        idle.read_answer()
        streamed = http2.post(CHAT, IDENTITY, STREAM)
        http2.read_until(lambda: VLLM in streamed.body)
        load.until_more()

        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for_log("reloaded: old workers end")
        load.until_more()
        idle.send(post(CHAT, IDENTITY))
        last = idle.read_answer()
        beside = http2.post(CHAT, IDENTITY, b'{"model":"m"}')
        http2.read_until(lambda: beside.ended)
        assert not http2.is_told_to_go  # a client that takes GOAWAY for the end would lose its stream
        stand.go_on.set()
        received += b"".join(iter(client.read_chunk, b""))
        http2.read_until(lambda: streamed.ended and http2.is_told_to_go)

    assert load.seen.keys() == {"200"}
    assert received == streamed.body == VLLM + VLLM_USAGE + DONE
    assert (last.status, last.headers["connection"]) == (200, "close")
    assert beside.status == 200
    assert stand.rater.tagged("over a reload").outcome == "completed"
    wait_until(lambda: len(stand.workers()) == 2)
    assert not before & set(stand.workers())


def test_told_to_stop_it_ends_once_what_is_under_way_has_and_all_is_delivered(stand: Stand) -> None:
    proxy = stand.proxy
    stand.go_on.clear()
    with RawClient(proxy) as client:
        received = stand.begin_stream(client, "over the end")
        proxy.process.send_signal(signal.SIGTERM)
        proxy.wait_for_log(
            "phoebe: stopping: what is under way", proxy.log().count("workers that serve: ") * 2
        )
        assert proxy.process.poll() is None

        stand.go_on.set()
        received += b"".join(iter(client.read_chunk, b""))

    assert proxy.ended() == 0
    assert received == VLLM + VLLM_USAGE + DONE
    assert stand.rater.tagged("over the end").outcome == "completed"
    assert depth_of(stand.spool) == 0
    assert "Traceback" not in proxy.log()


def test_what_a_worker_says_at_its_start_is_the_reason_to_give_up(tmp_path: Path) -> None:
    command = phoebe("proxy", "--workers", "2", "--", "--mode", "transparent", "--set", f"confdir={tmp_path}")
    running = start("proxy", command, tmp_path / "log", folder=PROJECT)

    assert running.process.wait(timeout=60) == 1
    assert "--mode transparent can't be metered" in running.said
    assert "worker 1 ended with status 1 before it served. What it said is above" in running.said
    assert "worker 2" not in running.said


def test_a_file_of_settings_holds_for_every_worker(tmp_path: Path) -> None:
    settings = tmp_path / "phoebe.yaml"
    settings.write_text("proxy:\n  workers: 2\naddon:\n  upstream: http://127.0.0.1:9\n  body_limit: huge\n")
    options = ("--set", f"confdir={tmp_path}", "--set", f"phoebe_spool={tmp_path / 'spool'}")
    command = phoebe("proxy", "--config", str(settings), "--", *options)
    running = start("proxy", command, tmp_path / "log", folder=PROJECT)

    assert running.process.wait(timeout=60) == 1
    assert "phoebe_body_limit: 'huge' is not a size" in running.said
    assert "worker 1 ended with status 1" in running.said
