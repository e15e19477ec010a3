"""Admitted exchanges and the one event each makes: a real mitmdump between real sockets."""

import contextlib
import itertools
import json
import re
import threading
import uuid

import httpx
import openai
import pytest

from phoebe_proto.v1 import metering_pb2
from tests.e2e.conftest import IDENTITY
from tests.harness import engine as engines
from tests.harness.engine import Engine, EngineRequest, Line
from tests.harness.events import EventRecorder
from tests.harness.proxy import Proxy

CHAT = "/v1/chat/completions"
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "engine/model",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"},
    ],
    "usage": {
        "prompt_tokens": 11,
        "completion_tokens": 5,
        "total_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 0},
    },
}
USAGE = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}


def chunk(content: str | None = None, finish_reason: str | None = None, **more: object) -> bytes:
    delta = {} if content is None else {"content": content}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    document = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "engine/model"}
    return b"data: " + json.dumps({**document, "choices": choices, **more}).encode() + b"\n\n"


CHUNKS = [chunk("a"), chunk("b"), chunk("c"), chunk(finish_reason="stop")]
USAGE_CHUNK = chunk(choices=[], usage=USAGE)
DONE = b"data: [DONE]\n\n"


def event_of(rater: EventRecorder, response: httpx.Response) -> metering_pb2.MeteringEvent:
    request_id = response.headers["x-request-id"]
    return rater.wait_for(lambda event: event.request_id == request_id)


def test_a_plain_answer_is_passed_on_and_metered(
    client: httpx.Client, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = engines.document(COMPLETION)
    headers = {
        "X-Request-Id": "the client's",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "vendor=1",
        "X-Saturn-Base-Model": "meta/base",
        "X-Saturn-User-Id": "user-1",
        "X-Saturn-Group-Id": "group-1",
        "X-Saturn-Resource-Type": "deployment",
    }
    response = client.post(CHAT, json={"model": "asked/for"}, headers=headers)
    assert response.json() == COMPLETION

    event = event_of(rater, response)
    assert uuid.UUID(event.request_id).version == 7
    assert event.client_request_id == "the client's"
    assert event.trace_id == "0af7651916cd43dd8448eb211c80319c"
    asked = engine.requests[0].headers
    assert {name: asked[name] for name in ("traceparent", "tracestate")} == {
        name: headers[name] for name in ("traceparent", "tracestate")
    }
    assert (event.auth_id, event.resource_id, event.base_model) == ("auth-1", "resource-1", "meta/base")
    assert (event.user_id, event.group_id, event.resource_type) == ("user-1", "group-1", "deployment")
    assert (event.model_id, event.requested_model, event.api) == ("engine/model", "asked/for", "openai.chat")
    assert (event.prompt_tokens, event.cached_tokens, event.completion_tokens) == (11, 4, 5)
    assert event.HasField("reasoning_tokens")
    assert event.reasoning_tokens == 0
    assert event.usage_found
    assert json.loads(event.usage_raw) == COMPLETION["usage"]
    assert (event.outcome, event.status_code, event.finish_reason) == ("completed", 200, "stop")
    assert event.answer_bytes == len(response.content)
    assert not event.streamed
    assert event.start_time.ToNanoseconds() <= event.first_byte_time.ToNanoseconds()
    assert event.first_byte_time.ToNanoseconds() <= event.event_time.ToNanoseconds()


def test_the_engine_gets_the_minted_id_and_no_identity(client: httpx.Client, engine: Engine) -> None:
    engine.script = engines.document(COMPLETION)
    body = b'{ "model":"m",  "x": 1.0000000000000000001, "x": "\\u00e9" }'
    response = client.post(CHAT, content=body, headers={"X-Request-Id": "mine", "X-Saturn-User-Id": "u"})
    (request,) = engine.requests
    assert request.body == body
    assert request.headers["x-request-id"] == response.headers["x-request-id"] != "mine"
    assert not [name for name in request.headers if name.startswith("x-saturn")]
    assert request.headers["host"] == f"127.0.0.1:{engine.port}"


def test_a_stream_is_asked_for_usage_that_the_client_never_sees(
    client: httpx.Client, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = engines.stream([*CHUNKS, USAGE_CHUNK, DONE])
    with client.stream("POST", CHAT, json={"model": "m", "stream": True}) as response:
        content = response.read()
    assert content == b"".join([*CHUNKS, DONE])
    assert json.loads(engine.requests[0].body)["stream_options"] == {"include_usage": True}
    event = event_of(rater, response)
    assert (event.prompt_tokens, event.completion_tokens) == (11, 3)
    assert not event.HasField("cached_tokens")
    assert (event.outcome, event.streamed, event.finish_reason) == ("completed", True, "stop")


def test_a_client_that_asked_for_usage_gets_every_byte(client: httpx.Client, engine: Engine) -> None:
    engine.script = engines.stream([*CHUNKS, USAGE_CHUNK, DONE])
    body = {"model": "m", "stream": True, "stream_options": {"include_usage": True}}
    assert client.post(CHAT, json=body).content == b"".join([*CHUNKS, USAGE_CHUNK, DONE])


def test_a_client_cannot_opt_out_of_metering(
    client: httpx.Client, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = engines.stream([*CHUNKS, USAGE_CHUNK, DONE])
    body = {"model": "m", "stream": True, "stream_options": {"include_usage": False}}
    response = client.post(CHAT, json=body)
    assert response.content == b"".join([*CHUNKS, DONE])
    assert json.loads(engine.requests[0].body)["stream_options"] == {"include_usage": True}
    assert event_of(rater, response).usage_found


def test_a_chunked_request_is_changed_and_goes_on_with_its_length(
    client: httpx.Client, engine: Engine
) -> None:
    engine.script = engines.stream([DONE])
    response = client.post(CHAT, content=iter([b'{"model": "m", ', b'"stream": true}']))
    assert response.content == DONE
    (request,) = engine.requests
    assert b'"include_usage":true' in request.body
    assert request.headers["content-length"] == str(len(request.body))
    assert "transfer-encoding" not in request.headers


def test_chunks_go_on_as_they_come(client: httpx.Client, engine: Engine) -> None:
    seen = threading.Event()

    def script(_request: EngineRequest, line: Line) -> None:
        line.send_stream_head()
        line.send_chunk(CHUNKS[0])
        assert seen.wait(10), "the first chunk was held back"
        line.send_chunk(DONE)
        line.send(b"0\r\n\r\n")

    engine.script = script
    with client.stream("POST", CHAT, json={"model": "m", "stream": True}) as response:
        pieces = response.iter_raw()
        assert next(pieces) == CHUNKS[0]
        seen.set()
        assert b"".join(pieces) == DONE


def test_a_stream_with_a_content_length_loses_nothing(
    client: httpx.Client, engine: Engine, rater: EventRecorder
) -> None:
    content = b"".join([*CHUNKS, USAGE_CHUNK, DONE])
    engine.script = engines.document(content, content_type="text/event-stream")
    response = client.post(CHAT, json={"model": "m", "stream": True})
    assert response.content == b"".join([*CHUNKS, DONE])
    assert event_of(rater, response).usage_found


def test_completions_are_metered_too(client: httpx.Client, engine: Engine, rater: EventRecorder) -> None:
    engine.script = engines.document({**COMPLETION, "object": "text_completion"})
    response = client.post("/v1/completions?api-version=1", json={"model": "m", "prompt": "x"})
    assert engine.requests[0].path == "/v1/completions?api-version=1"
    assert event_of(rater, response).api == "openai.completions"


def test_free_routes_pass_without_an_event(proxy: Proxy, client: httpx.Client, engine: Engine) -> None:
    admitted = proxy.metric("phoebe_exchanges_admitted_total")
    engine.script = engines.document({"object": "list", "data": []})
    assert client.get("/v1/models").json() == {"object": "list", "data": []}
    assert client.get("/v1/models/meta/llama").status_code == 200
    assert proxy.metric("phoebe_exchanges_admitted_total") == admitted


def test_a_client_gone_before_the_headers_makes_one_aborted_event(
    client: httpx.Client, engine: Engine, rater: EventRecorder
) -> None:
    closed = threading.Event()

    def script(_request: EngineRequest, line: Line) -> None:
        if line.wait_until_closed():
            closed.set()

    engine.script = script
    with pytest.raises(httpx.ReadTimeout):
        client.post(CHAT, json={"model": "m"}, headers={"X-Request-Id": "gone-early"}, timeout=0.5)
    event = rater.tagged("gone-early")
    assert (event.outcome, event.usage_found, event.HasField("status_code")) == ("aborted", False, False)
    assert closed.wait(10), "the engine goes on working for nobody"


def test_a_client_gone_mid_stream_makes_one_aborted_event(
    client: httpx.Client, engine: Engine, rater: EventRecorder
) -> None:
    def script(_request: EngineRequest, line: Line) -> None:
        line.send_stream_head()
        line.send_chunk(CHUNKS[0])
        line.wait_until_closed()

    engine.script = script
    with client.stream("POST", CHAT, json={"model": "m", "stream": True}) as response:
        next(response.iter_raw())
    event = event_of(rater, response)
    assert (event.outcome, event.usage_found, event.status_code) == ("aborted", False, 200)
    assert event.model_id == "engine/model"


def test_a_client_that_hangs_up_on_done_has_a_completed_exchange(
    client: httpx.Client, engine: Engine, rater: EventRecorder
) -> None:
    def script(_request: EngineRequest, line: Line) -> None:
        line.send_stream_head()
        line.send_chunk(b"".join([*CHUNKS, USAGE_CHUNK, DONE]))
        line.wait_until_closed()

    engine.script = script
    with client.stream("POST", CHAT, json={"model": "m", "stream": True}) as response:
        for piece in response.iter_raw():
            if DONE in piece:
                break
    event = event_of(rater, response)
    assert (event.outcome, event.usage_found) == ("completed", True)


@pytest.mark.parametrize("status", ["400 Bad Request", "429 Too Many Requests", "500 Internal Server Error"])
def test_an_engine_error_is_passed_on_and_free(
    client: httpx.Client, engine: Engine, rater: EventRecorder, status: str
) -> None:
    engine.script = engines.document({"error": {"message": "no"}}, status=status)
    response = client.post(CHAT, json={"model": "m", "stream": True})
    assert response.json() == {"error": {"message": "no"}}
    event = event_of(rater, response)
    assert (event.outcome, event.usage_found, event.status_code) == (
        "upstream_error",
        False,
        response.status_code,
    )


def test_an_error_inside_a_stream_is_an_upstream_error(
    client: httpx.Client, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = engines.stream([CHUNKS[0], b'data: {"error": {"message": "boom"}}\n\n', DONE])
    response = client.post(CHAT, json={"model": "m", "stream": True})
    assert event_of(rater, response).outcome == "upstream_error"


def test_an_engine_that_breaks_off_mid_stream_is_an_upstream_error(
    client: httpx.Client, engine: Engine, rater: EventRecorder
) -> None:
    def script(_request: EngineRequest, line: Line) -> None:
        line.send_stream_head()
        line.send_chunk(CHUNKS[0])
        line.connection.close()

    engine.script = script
    with (
        client.stream("POST", CHAT, json={"model": "m", "stream": True}) as response,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        response.read()
    assert event_of(rater, response).outcome == "upstream_error"


def test_an_engine_that_breaks_off_around_the_end_of_an_event_makes_one_event_with_what_it_said(
    client: httpx.Client, engine: Engine, rater: EventRecorder
) -> None:
    events = [CHUNKS[0], CHUNKS[3], USAGE_CHUNK, DONE]
    whole = b"".join(events)
    seen_by_client = b"".join([CHUNKS[0], CHUNKS[3], DONE])
    # A last event counts without its blank line: the connection ended instead.
    blank_line = len(b"\n\n")
    usage_end = len(whole) - len(DONE) - blank_line
    ends = itertools.accumulate(map(len, events))
    # Within each event, and at each byte around its end. A test of the reader breaks off at every byte.
    for cut in sorted({end - back for end in ends for back in (20, 4, 3, 2, 1, 0)}):

        def script(_request: EngineRequest, line: Line, cut: int = cut) -> None:
            line.send_stream_head()
            line.send_chunk(whole[:cut])
            line.connection.close()

        engine.script = script
        content = b""
        with (
            client.stream("POST", CHAT, json={"model": "m", "stream": True}) as response,
            contextlib.suppress(httpx.RemoteProtocolError),
        ):
            for piece in response.iter_raw():
                content += piece
        event = event_of(rater, response)
        assert seen_by_client.startswith(content)
        assert event.usage_found == (cut >= usage_end)
        assert event.outcome == ("completed" if cut >= len(whole) - blank_line else "upstream_error")


def test_an_engine_that_breaks_off_before_the_headers_is_a_502_in_json(
    client: httpx.Client, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = lambda _request, line: line.connection.close()
    response = client.post(CHAT, json={"model": "m"}, headers={"X-Request-Id": "no-answer"})
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "upstream"
    assert str(engine.port) not in response.text
    assert rater.tagged("no-answer").outcome == "upstream_error"


def test_an_answer_that_is_no_json_is_completed_without_usage_and_the_log_names_its_resource(
    proxy: Proxy, client: httpx.Client, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = engines.document(b"<html>" + b"\xff" * 100, content_type="text/html")
    headers = {"X-Saturn-Resource-Id": "mute"}
    event = event_of(rater, client.post(CHAT, json={"model": "m"}, headers=headers))
    assert (event.outcome, event.usage_found, event.model_id) == ("completed", False, "")
    assert "phoebe: the resource 'mute' answers without usage, which is on no bill" in proxy.log()


def test_malformed_usage_is_kept_raw_counted_and_not_billed(
    proxy: Proxy, client: httpx.Client, engine: Engine, rater: EventRecorder
) -> None:
    malformed = proxy.metric("phoebe_usage_malformed_total")
    engine.script = engines.document({"model": "m", "usage": {}})
    assert not event_of(rater, client.post(CHAT, json={"model": "m"})).usage_found
    assert proxy.metric("phoebe_usage_malformed_total") == malformed
    usage = b'{"prompt_tokens": -1,  "completion_tokens": 5}'
    engine.script = engines.document(b'{"model": "m", "usage": ' + usage + b"}")
    event = event_of(rater, client.post(CHAT, json={"model": "m"}))
    assert not event.usage_found
    assert not event.HasField("completion_tokens")
    assert event.usage_raw == usage.decode()
    assert proxy.metric("phoebe_usage_malformed_total") == malformed + 1


def test_a_model_name_with_nul_and_lone_surrogates_is_storable(
    client: httpx.Client, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = engines.document(
        b'{"model": "\\ud800\\u0000' + b"x" * 500 + b'", "usage": {"prompt_tokens": 1}}'
    )
    event = event_of(rater, client.post(CHAT, content=b'{"model": "\\udfff"}'))
    assert event.model_id.endswith("x")
    assert len(event.model_id) == 256
    assert "\0" not in event.model_id


def test_http_1_0_clients_get_an_answer_that_ends_with_the_connection(
    proxy: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    from tests.e2e.test_refusals import raw_exchange

    engine.script = engines.stream([*CHUNKS, USAGE_CHUNK, DONE])
    identity = "".join(f"{name}: {value}\r\n" for name, value in IDENTITY.items())
    body = b'{"model":"m","stream":true}'
    head = f"POST {CHAT} HTTP/1.0\r\n{identity}Content-Length: {len(body)}\r\n\r\n"
    answer = raw_exchange(proxy, head.encode() + body)
    assert answer.endswith(b"\r\n\r\n" + b"".join([*CHUNKS, DONE]))
    request_id = re.search(rb"(?i)x-request-id: (\S+)", answer)
    assert request_id
    rater.wait_for(lambda event: event.request_id.encode() == request_id[1])


def test_the_official_client_works_unchanged(proxy: Proxy, engine: Engine, rater: EventRecorder) -> None:
    with openai.OpenAI(base_url=f"{proxy.url}/v1", api_key="unused", default_headers=IDENTITY) as client:
        engine.script = engines.document(COMPLETION)
        plain = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
        assert plain.choices[0].message.content == "hi"

        engine.script = engines.stream([*CHUNKS, USAGE_CHUNK, DONE])
        streamed = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "x"}], stream=True
        )
        text = "".join(piece.choices[0].delta.content or "" for piece in streamed)
        assert text == "abc"
        request_id = streamed.response.headers["x-request-id"]
        assert rater.wait_for(lambda event: event.request_id == request_id).usage_found

        engine.script = engines.document({"error": {"message": "x"}}, status="400 Bad Request")
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="m", messages=[])


def test_an_openai_client_without_identity_is_told_what_is_wrong(proxy: Proxy) -> None:
    client = openai.OpenAI(base_url=f"{proxy.url}/v1", api_key="unused", max_retries=0)
    with client, pytest.raises(openai.BadRequestError, match="X-Saturn-Resource-Id is missing"):
        client.chat.completions.create(model="m", messages=[])
