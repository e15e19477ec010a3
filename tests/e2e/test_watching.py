"""Whoever watches what passes sees what mitmproxy shows: third addons, and mitmproxy's options.

One proxy serves all tests. A script within it sets options and adds addons between two requests, and counts
what took the plain lane.
"""

import base64
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rig.ports import reserve_port
from rig.programs import PROJECT
from tests.e2e.conftest import IDENTITY
from tests.harness.engine import Engine, document
from tests.harness.events import EventRecorder
from tests.harness.proxy import Proxy
from tests.harness.raw_client import RawClient, post

SCRIPT = PROJECT / "tests/harness/watching_script.py"
CHAT = "/v1/chat/completions"
ASKED = '{"model":"m"}'
ANSWER = {"model": "m", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
ANSWERED = json.dumps(ANSWER)
# Of requests. Where a process has tests of other modules in between, there are several proxies and one rater.
NUMBERS = iter(range(10**6))


class Watched:
    """A proxy with the script in it."""

    def __init__(self, folder: Path, engine: Engine, rater: EventRecorder) -> None:
        port = reserve_port()
        options = {"phoebe_rater": f"127.0.0.1:{rater.port}", "phoebe_usage": "none"}
        self.folder = folder
        self.proxy = Proxy(
            *(folder, "-s", str(SCRIPT), "--mode", f"reverse:{engine.url}"),
            options=options,
            environment={"WATCHING_PORT": str(port)},
        )
        self._rater = rater
        self._control = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._answers = self._control.makefile("r")

    def told(self, **what: Any) -> dict[str, Any]:
        """Tell the script something; return what it answers."""
        self._control.sendall(json.dumps(what).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._answers.readline())
        return answer

    def in_one_go(self) -> int:
        """Count the messages that have taken the plain lane."""
        taken: int = self.told()["in_one_go"]
        return taken

    def ask(self, **headers: str) -> httpx.Response:
        """Ask with a request that is whole, on a connection of its own."""
        with httpx.Client(timeout=20, trust_env=False) as client:
            return client.post(self.proxy.url + CHAT, content=ASKED, headers={**IDENTITY, **headers})

    def asked_raw(self) -> tuple[object, ...]:
        """Ask in one write. Returns the answer but for the id of its request, and what its event says."""
        tag = f"watching-{next(NUMBERS)}"
        with RawClient(self.proxy) as client:
            client.send(post(CHAT, {**IDENTITY, "X-Request-Id": tag}, ASKED.encode()))
            status, headers = client.read_head()
            body = client.read_bytes(int(headers["content-length"]))
        event = self._rater.wait_for(lambda each: each.client_request_id == tag)
        assert headers.pop("x-request-id") == event.request_id
        counted = (event.prompt_tokens, event.completion_tokens, event.answer_bytes)
        return status, list(headers.items()), body, event.outcome, event.model_id, counted

    def close(self) -> None:
        self._answers.close()
        self._control.close()
        assert self.proxy.stop() == 0


@pytest.fixture(scope="module")
def started(
    shared_engine: Engine, rater: EventRecorder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    made = Watched(tmp_path_factory.mktemp("watched"), shared_engine, rater)
    yield made
    made.close()


@pytest.fixture
def watched(started: Watched, engine: Engine) -> Iterator[Watched]:
    """The proxy; nobody watches yet."""
    engine.script = document(ANSWER)
    yield started
    started.told(reset=True, options=DEFAULTS)


def test_where_nobody_watches_messages_go_in_one_piece(watched: Watched) -> None:
    before = watched.in_one_go()

    watched.asked_raw()

    assert watched.in_one_go() == before + 2


@pytest.mark.parametrize(
    ("hook", "does"),
    [
        *((hook, "look") for hook in ("requestheaders", "request", "responseheaders", "response", "error")),
        *((hook, "wait") for hook in ("requestheaders", "request", "responseheaders", "response", "update")),
        *((hook, "fail") for hook in ("request", "response")),
    ],
)
def test_an_addon_with_a_hook_brings_mitmproxys_own_path_back_and_nobody_else_can_tell(
    watched: Watched, hook: str, does: str
) -> None:
    without = watched.asked_raw()
    watched.told(hooks={hook: does})
    before = watched.in_one_go()

    assert watched.asked_raw() == without
    assert watched.in_one_go() == before


def test_an_addon_sees_every_hook_with_the_bodies_that_are_there(watched: Watched) -> None:
    watched.told(hooks=dict.fromkeys(("requestheaders", "request", "responseheaders", "response"), "wait"))

    watched.asked_raw()

    assert watched.told(reset=True)["seen"] == [
        ["requestheaders", None, None],
        ["request", ASKED, None],
        ["responseheaders", ASKED, None],
        ["response", ASKED, ANSWERED],
    ]


def test_an_addon_may_change_an_answer(watched: Watched) -> None:
    watched.told(hooks={"response": "change"})
    assert watched.ask().text == "changed by an addon"


def test_an_addon_may_stream_an_answer_and_change_its_pieces(watched: Watched) -> None:
    watched.told(hooks={"responseheaders": "stream"})
    assert watched.ask().text == ANSWERED.upper()


@pytest.mark.parametrize("hook", ["websocket_start", "websocket_message", "websocket_end"])
def test_an_addon_for_websockets_has_mitmproxys_own_path_and_gets_none(watched: Watched, hook: str) -> None:
    watched.told(hooks={hook: "look"})
    before = watched.in_one_go()

    assert watched.ask().text == ANSWERED
    refused = watched.ask(Connection="Upgrade", Upgrade="websocket", **{"Sec-WebSocket-Version": "13"})

    assert refused.status_code == 501
    assert watched.told(reset=True)["seen"] == []
    assert watched.in_one_go() == before


def test_once_it_is_gone_messages_go_in_one_piece_again(watched: Watched) -> None:
    watched.told(hooks={"request": "look"})
    watched.asked_raw()
    watched.told(reset=True)
    before = watched.in_one_go()

    watched.asked_raw()

    assert watched.in_one_go() == before + 2


type Check = Callable[[Watched, Engine], None]


def _answered(text: str) -> Check:
    def check(watched: Watched, _engine: Engine) -> None:
        assert watched.ask().text == text

    return check


def _refused(status: int) -> Check:
    def check(watched: Watched, engine: Engine) -> None:
        assert watched.ask().status_code == status
        assert engine.requests == []

    return check


def _engine_gets(name: str, value: str | None, **headers: str) -> Check:
    def check(watched: Watched, engine: Engine) -> None:
        assert watched.ask(**headers).text == ANSWERED
        assert engine.requests[-1].headers.get(name) == value

    return check


def _logged(text: str) -> Check:
    def check(watched: Watched, _engine: Engine) -> None:
        assert watched.ask().text == ANSWERED
        watched.proxy.wait_for_log(text)

    return check


def _saved(watched: Watched, _engine: Engine) -> None:
    assert watched.ask().text == ANSWERED
    watched.told(options={"save_stream_file": None})
    assert ANSWERED.encode() in (watched.folder / "flows").read_bytes()


def _replayed(watched: Watched, engine: Engine) -> None:
    watched.told(options={"server_replay": [], "save_stream_file": str(watched.folder / "to-replay")})
    watched.ask()
    watched.told(options={"save_stream_file": None})
    watched.told(options={"server_replay": [str(watched.folder / "to-replay")]})
    engine.requests.clear()
    assert watched.ask().text == ANSWERED
    assert engine.requests == []


def _cookie_comes_back(watched: Watched, engine: Engine) -> None:
    head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 2\r\n\r\n{}"
    engine.script = lambda _request, line: line.send(head)
    watched.ask()
    watched.ask()
    assert engine.requests[-1].headers.get("cookie") == "a=b"


CREDENTIALS = "Basic " + base64.b64encode(b"u:p").decode()
OPTIONS: dict[str, tuple[dict[str, Any], Check]] = {
    "modify_body": ({"modify_body": ["|~s|usage|other"]}, _answered(ANSWERED.replace("usage", "other"))),
    "modify_headers": ({"modify_headers": ["|~q|X-Added|1"]}, _engine_gets("x-added", "1")),
    "map_local": ({"map_local": [f"|{CHAT}|LOCAL"]}, _answered("local")),
    "map_remote": ({"map_remote": ["|no.such.host|other"]}, _answered(ANSWERED)),
    "save_stream_file": ({"save_stream_file": "FLOWS"}, _saved),
    "hardump": ({"hardump": "HAR"}, _answered(ANSWERED)),
    "body_size_limit": ({"body_size_limit": "10"}, _answered(ANSWERED)),
    "stream_large_bodies": ({"stream_large_bodies": "1"}, _answered(ANSWERED)),
    "store_streamed_bodies": ({"store_streamed_bodies": True}, _answered(ANSWERED)),
    "stickycookie": ({"stickycookie": "."}, _cookie_comes_back),
    "stickyauth": ({"stickyauth": "."}, _answered(ANSWERED)),
    "proxyauth": ({"proxyauth": "u:p"}, _refused(401)),
    "upstream_auth": ({"upstream_auth": "u:p"}, _answered(ANSWERED)),
    "anticache": ({"anticache": True}, _engine_gets("if-none-match", None, **{"If-None-Match": "x"})),
    "anticomp": ({"anticomp": True}, _engine_gets("accept-encoding", "identity")),
    "block_list": ({"block_list": ["|~u chat|418"]}, _refused(418)),
    "server_replay": ({"server_replay": []}, _replayed),
    "flow_detail": ({"flow_detail": 3}, _logged('"completion_tokens": 2')),
    "dumper_filter": ({"dumper_filter": "~s"}, _answered(ANSWERED)),
    "proxy_debug": ({"proxy_debug": True}, _answered(ANSWERED)),
}
DEFAULTS: dict[str, Any] = {
    **{name: [] for name in ("modify_body", "modify_headers", "map_local", "map_remote", "block_list")},
    **dict.fromkeys(("save_stream_file", "body_size_limit", "stream_large_bodies", "stickycookie")),
    **dict.fromkeys(("stickyauth", "proxyauth", "upstream_auth", "dumper_filter")),
    **dict.fromkeys(("store_streamed_bodies", "anticache", "anticomp", "proxy_debug"), False),
    "hardump": "",
    "server_replay": [],
    "flow_detail": 1,
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_that_has_to_do_with_messages_works_and_has_mitmproxys_own_path(
    watched: Watched, engine: Engine, name: str
) -> None:
    options, check = OPTIONS[name]
    (watched.folder / "local").write_text("local")
    places = {"LOCAL": "local", "FLOWS": "flows", "HAR": "har"}
    text = json.dumps(options)
    for place, file in places.items():
        text = text.replace(place, str(watched.folder / file))
    watched.told(options=json.loads(text))
    before = watched.in_one_go()

    check(watched, engine)

    assert watched.in_one_go() == before or name == "server_replay"


def test_every_option_of_these_tests_is_at_its_default_between_them(watched: Watched) -> None:
    assert {name for options, _ in OPTIONS.values() for name in options} == set(DEFAULTS)
