"""The fast lane of streams in a real mitmdump: it is taken, and each chunk leaves when it comes."""

import threading
from pathlib import Path
from typing import override

import pytest

from rig.programs import PROJECT
from tests.e2e.conftest import IDENTITY
from tests.harness.engine import LAST_CHUNK, Engine, EngineRequest, Line
from tests.harness.engine_streams import DONE, VLLM, VLLM_USAGE
from tests.harness.events import EventRecorder
from tests.harness.proxy import Proxy
from tests.harness.raw_client import CutOffError, RawClient, post
from tests.harness.tls_client import TlsRawClient

SCRIPT = PROJECT / "tests/harness/lane_script.py"
EVENTS = [event + b"\n\n" for event in (VLLM + VLLM_USAGE + DONE).split(b"\n\n") if event]
WITHIN_S = 20


class OneByOne:
    """An engine that sends the next chunk once its client has the last."""

    def __init__(self) -> None:
        self.has_it = threading.Semaphore(0)

    def __call__(self, _request: EngineRequest, line: Line) -> None:
        line.send_stream_head()
        for event in EVENTS:
            assert self.has_it.acquire(timeout=WITHIN_S)
            line.send_chunk(event)
        assert self.has_it.acquire(timeout=WITHIN_S)
        line.send(LAST_CHUNK)


@pytest.mark.parametrize(
    ("options", "connect", "in_lane"),
    [
        pytest.param({}, RawClient, True, id="as it is set"),
        pytest.param({}, TlsRawClient, True, id="to a client with TLS"),
        pytest.param({"store_streamed_bodies": "true"}, RawClient, False, id="while answers are kept"),
    ],
)
def test_each_chunk_of_a_stream_leaves_when_it_comes(
    tmp_path: Path,
    rater: EventRecorder,
    engine: Engine,
    *,
    options: dict[str, str],
    connect: type[RawClient],
    in_lane: bool,
) -> None:
    script = engine.script = OneByOne()
    lane_file = tmp_path / "lane"
    proxy = Proxy(
        tmp_path / "proxy",
        "-s",
        str(SCRIPT),
        options={
            "phoebe_upstream": engine.url,
            "phoebe_rater": f"127.0.0.1:{rater.port}",
            "phoebe_usage": "none",
            **options,
        },
        environment={"LANE_FILE": str(lane_file)},
    )
    tag = f"one-by-one-{in_lane}-{connect.__name__}"
    with connect(proxy) as client:
        client.send(
            post("/v1/chat/completions", {**IDENTITY, "X-Request-Id": tag}, b'{"model":"m","stream":true}')
        )
        client.read_head()
        for event in EVENTS:
            script.has_it.release()
            assert client.read_chunk() == event
        script.has_it.release()
        assert client.read_chunk() == b""
    metered = rater.wait_for(lambda event: event.client_request_id == tag)
    assert (metered.prompt_tokens, metered.completion_tokens) == (17, 3)
    assert proxy.stop() == 0
    # All but the first, which tells whether the body is to be read in turns; and the end of the answer.
    assert int(lane_file.read_text()) == (len(EVENTS) if in_lane else 0)


class Breaking(OneByOne):
    """The same engine, whose connection breaks after some events."""

    @override
    def __call__(self, _request: EngineRequest, line: Line) -> None:
        line.send_stream_head()
        for event in EVENTS[:3]:
            assert self.has_it.acquire(timeout=WITHIN_S)
            line.send_chunk(event)
        assert self.has_it.acquire(timeout=WITHIN_S)
        raise ConnectionAbortedError  # the engine's server closes the connection


@pytest.mark.parametrize("breaks", [True, False], ids=["the engine breaks off", "the client leaves"])
def test_a_stream_to_a_client_with_tls_ends_as_one_without(
    proxy: Proxy, rater: EventRecorder, engine: Engine, *, breaks: bool
) -> None:
    ended: list[tuple[object, ...]] = []
    connects: tuple[type[RawClient], ...] = (RawClient, TlsRawClient)
    for connect in connects:
        script = engine.script = Breaking() if breaks else OneByOne()
        tag = f"ends-{breaks}-{connect.__name__}"
        head = {**IDENTITY, "X-Request-Id": tag}
        with connect(proxy) as client:
            client.send(post("/v1/chat/completions", head, b'{"model":"m","stream":true}'))
            client.read_head()
            for event in EVENTS[:3]:
                script.has_it.release()
                assert client.read_chunk() == event
            if breaks:
                script.has_it.release()
                with pytest.raises(CutOffError):
                    client.read_chunk()
        metered = rater.wait_for(lambda each: each.client_request_id == tag)  # noqa: B023
        script.has_it.release(len(EVENTS))  # only now: else more of the answer would be on its way
        ended.append((metered.outcome, metered.status_code, metered.answer_bytes, metered.usage_found))

    assert ended[0] == ended[1]
    assert ended[0][0] == ("upstream_error" if breaks else "aborted")
