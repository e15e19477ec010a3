"""A proxy that hostile bytes are sent to, and what is known afterwards of what became of them."""

import contextlib
import json
import selectors
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import httpx

from phoebe_addon.gate.built_in_routes import built_in_routes
from phoebe_addon.gate.routes import METHODS_WITH_BODY, Match, RouteTable
from rig.programs import PROJECT
from tests.harness import hostile_http1
from tests.harness.events import EventRecorder
from tests.harness.proxy import Proxy
from tests.harness.tls_client import open_http2
from tests.harness.waiting import WAIT_S, wait_until
from tests.harness.witness_engine import Witnessed

IDENTITY = {"X-Saturn-Auth-Id": "auth-1", "X-Saturn-Resource-Id": "resource-1"}
# How long a connection on which nothing more comes is watched before it is left.
SILENCE_S = 0.15
ROUTES = RouteTable(built_in_routes())


class Witness(Protocol):
    """An engine that tells what reached it.

    seen: the requests as it understood them. faults: what came and was no request to it.
    """

    seen: list[Witnessed]
    faults: list[str]

    port: int

    @property
    def url(self) -> str:
        """Where it is asked."""

    def close(self) -> None:
        """End it."""


class Stand:
    """A proxy, the engine behind it that bears witness, and the rater that gets the events."""

    def __init__(self, folder: Path, rater: EventRecorder, engine: Witness) -> None:
        self.engine = engine
        self.errors = folder / "errors"
        self.rater = rater
        self._errors_known = 0
        self._events_known = 0
        self._free_seen = 0
        self.proxy = Proxy(
            folder,
            *("--mode", f"reverse:{self.engine.url}", "-s", str(PROJECT / "tests/harness/errors_script.py")),
            options={"phoebe_rater": f"127.0.0.1:{rater.port}", "phoebe_body_limit": "100k"},
            environment={"ERRORS_FILE": str(self.errors)},
        )

    def close(self) -> None:
        try:
            assert self.proxy.stop() == 0
            assert "Traceback" not in self.proxy.log()
            assert "crashed" not in self.proxy.log()
        finally:
            self.engine.close()

    def check(self) -> None:
        """Check that all is well: the proxy serves, and what the engine saw is what was admitted."""
        answer = httpx.post(
            f"{self.proxy.url}/v1/chat/completions", content=hostile_http1.BODY, headers=IDENTITY, timeout=20
        )
        assert answer.status_code == 200, answer.text
        self._wait_for(answer.headers["x-request-id"])
        # Only what is new: a case that failed must not fail the ones after it, among which is a smaller one.
        known, errors = self._errors_known, self.errors.read_text()
        self._errors_known = len(errors)
        faults, self.engine.faults = self.engine.faults, []
        assert errors[known:] == ""
        assert faults == []
        seen, self.engine.seen = self.engine.seen, []
        assert [each for each in seen if each.body and not _may_have_body(each)] == []
        metered = Counter(_request_id(each) for each in seen if not _is_free(each))
        admitted = int(self.proxy.metric("phoebe_exchanges_admitted_total"))
        self.rater.wait_for_all(lambda event: True, admitted)
        events = Counter(event.request_id for event in self.rater.events)
        assert set(events.values()) == {1}
        assert metered <= events, "the engine was asked for what was not metered"
        answered = {
            event.request_id for event in self.rater.events[self._events_known :] if event.status_code
        }
        assert answered <= metered.keys(), "an exchange was answered by something else than its request"
        self._events_known = len(self.rater.events)
        self._free_seen += len(seen) - metered.total()
        assert self.proxy.metric("phoebe_exchanges_free_total") >= self._free_seen

    def _wait_for(self, request_id: str) -> None:
        """Wait until the witness has told of a request, and so of all that came before it."""
        wait_until(
            lambda: any(
                each.header(b"x-request-id") == [request_id.encode()] for each in list(self.engine.seen)
            )
        )

    def memory_mib(self) -> float:
        status = Path(f"/proc/{self.proxy.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _is_free(seen: Witnessed) -> bool:
    match = ROUTES.find(seen.method, seen.target.partition("?")[0])
    assert isinstance(match, Match), f"no route leads to {seen.method} {seen.target}"
    return not match.route.families


def _may_have_body(seen: Witnessed) -> bool:
    try:
        return seen.method in METHODS_WITH_BODY and isinstance(json.loads(seen.body), dict)
    except ValueError:
        return False


def _request_id(seen: Witnessed) -> str:
    (name,) = seen.header(b"x-request-id")
    return name.decode()


def until_silent(connections: Sequence[socket.socket], *, answered: bool) -> list[bytes]:
    """Read from all until each is closed, or nothing has come on any of them for a while.

    answered: something must come first on each, however busy the machine is.
    """
    if answered:
        for connection in connections:
            connection.settimeout(WAIT_S)
            connection.recv(1, socket.MSG_PEEK)
    received = dict.fromkeys(connections, b"")
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ, connection)
        while selector.get_map() and (ready := selector.select(SILENCE_S)):
            for key, _ in ready:
                connection = key.data
                try:
                    data = connection.recv(65536)
                except (ssl.SSLWantReadError, BlockingIOError):
                    continue
                except OSError:
                    data = b""
                received[connection] += data
                if not data:
                    selector.unregister(connection)
    return list(received.values())


def send_all(
    stand: Stand,
    sent: Sequence[Sequence[bytes]],
    connect: Callable[[], socket.socket],
    *,
    answered: bool = False,
) -> list[bytes]:
    """Open a connection for each, send its pieces, read what comes, leave.

    answered: each is sent something that has to be answered; only without TLS.
    """
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect()) for _ in sent]
        for connection, pieces in zip(connections, sent, strict=True):
            connection.settimeout(5)
            for piece in pieces:
                # A proxy that has closed the connection takes no more.
                with contextlib.suppress(OSError):
                    connection.sendall(piece)
        return until_silent(connections, answered=answered)


def in_clear(stand: Stand) -> Callable[[], socket.socket]:
    def connect() -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", stand.proxy.port), timeout=5)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    return connect


def in_tls(stand: Stand) -> Callable[[], socket.socket]:
    return lambda: open_http2(stand.proxy, timeout_s=10)
