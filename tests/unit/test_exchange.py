from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from phoebe_addon.answer_body import Strip
from phoebe_addon.exchange import Admission, Ending, Exchange, admission_event
from phoebe_addon.identity import Identity
from phoebe_addon.routes import Api
from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.event_validation import EventRow, validate

START = datetime(2026, 11, 20, 12, 0, 0, 250_000, tzinfo=UTC)
FIRST_BYTE = START + timedelta(seconds=1)
END = START + timedelta(seconds=2)

ADMISSION = Admission(
    request_id="01939f2e-0000-7000-8000-000000000000",
    client_request_id="client-1",
    identity=Identity("auth-1", "res-1", "base", "user-1", "group-1", "deployment"),
    api=Api.OPENAI_CHAT,
    requested_model="asked",
    prompt_count=1,
    strip=Strip.NOTHING,
    start_time=START,
)
USAGE = b'"usage":{"prompt_tokens":0,"completion_tokens":2}'
STREAM = "text/event-stream"
JSON = "application/json"
CHUNK = b'data: {"model":"m","choices":[{"delta":{}}]}\n\n'
FINISHED = b'data: {"choices":[{"finish_reason":"stop"}]}\n\n'
FINAL_USAGE = b'data: {"choices":[],' + USAGE + b"}\n\n"
ERROR = b'data: {"error":{"message":"no"}}\n\n'
DONE = b"data: [DONE]\n\n"


def ended(
    ending: Ending,
    status_code: int | None = 200,
    content_type: str = JSON,
    body: bytes = b"",
    *,
    admission: Admission = ADMISSION,
    only_model: str | None = None,
) -> MeteringEvent:
    exchange = Exchange(admission, "connection-1", only_model)
    if status_code is not None:
        exchange.answer_began(status_code, content_type)
        if body:
            exchange.answer_bytes(body, FIRST_BYTE)
        if ending is Ending.ANSWER_COMPLETE:
            exchange.answer_complete()
    event = exchange.end(ending, END)
    assert event is not None
    return event


COMPLETE, GONE, FAILED, STOPPED = Ending


@pytest.mark.parametrize(
    ("ending", "status_code", "content_type", "body", "outcome"),
    [
        (COMPLETE, 200, JSON, b"{" + USAGE + b"}", "completed"),
        (COMPLETE, 200, JSON, b"", "completed"),
        (COMPLETE, 200, JSON, b'{"error":{"message":"no"}}', "upstream_error"),
        (COMPLETE, 204, "", b"", "completed"),
        (COMPLETE, 307, "", b"", "upstream_error"),
        (COMPLETE, 400, JSON, b"{}", "upstream_error"),
        (COMPLETE, 500, "", b"", "upstream_error"),
        (COMPLETE, 500, STREAM, DONE, "upstream_error"),
        (COMPLETE, 200, STREAM, CHUNK + FINISHED + DONE, "completed"),
        (COMPLETE, 200, STREAM, CHUNK + FINISHED, "completed"),
        (COMPLETE, 200, STREAM, CHUNK, "upstream_error"),
        (COMPLETE, 200, STREAM, b"", "upstream_error"),
        (COMPLETE, 200, STREAM, CHUNK + ERROR + DONE, "upstream_error"),
        (GONE, None, "", b"", "aborted"),
        (GONE, 200, JSON, b"", "aborted"),
        (GONE, 200, JSON, b"{" + USAGE + b"}", "aborted"),
        (GONE, 200, STREAM, CHUNK, "aborted"),
        (GONE, 200, STREAM, CHUNK + FINISHED, "aborted"),
        (GONE, 200, STREAM, CHUNK + FINISHED + DONE, "completed"),
        (GONE, 200, STREAM, CHUNK + ERROR, "upstream_error"),
        (GONE, 503, JSON, b"", "upstream_error"),
        (FAILED, None, "", b"", "upstream_error"),
        (FAILED, 200, JSON, b"{", "upstream_error"),
        (FAILED, 200, STREAM, CHUNK + FINISHED, "upstream_error"),
        (FAILED, 200, STREAM, CHUNK + FINISHED + DONE, "completed"),
        (STOPPED, None, "", b"", "proxy_error"),
        (STOPPED, 200, STREAM, CHUNK + FINISHED + DONE, "proxy_error"),
        (STOPPED, 500, JSON, b"", "proxy_error"),
    ],
)
def test_how_an_exchange_ended_decides_its_outcome(
    ending: Ending, status_code: int | None, content_type: str, body: bytes, outcome: str
) -> None:
    assert ended(ending, status_code, content_type, body).outcome == outcome


@pytest.mark.parametrize("ending", Ending)
@pytest.mark.parametrize("again", Ending)
def test_an_exchange_makes_one_event_however_often_it_ends(ending: Ending, again: Ending) -> None:
    exchange = Exchange(ADMISSION, "connection-1")

    assert exchange.end(ending, END) is not None
    assert exchange.end(again, END) is None


def test_an_event_says_all_that_is_known() -> None:
    body = (
        b'{"model":"m","choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2,'
    )
    body += b'"prompt_tokens_details":{"cached_tokens":0}}}'

    event = ended(COMPLETE, 200, JSON, body)

    assert validate(MeteringEvent.FromString(_numbered(event))) == EventRow(
        request_id=UUID(ADMISSION.request_id),
        client_request_id="client-1",
        producer_id="producer-1",
        producer_seq=1,
        auth_id="auth-1",
        user_id="user-1",
        group_id="group-1",
        resource_id="res-1",
        resource_type="deployment",
        base_model="base",
        model_id="m",
        requested_model="asked",
        api="openai.chat",
        prompt_tokens=5,
        cached_tokens=0,
        completion_tokens=2,
        reasoning_tokens=None,
        usage_found=True,
        usage_raw='{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":0}}',
        outcome="completed",
        status_code=200,
        finish_reason="stop",
        streamed=False,
        event_time=END,
        start_time=START,
        first_byte_time=FIRST_BYTE,
    )


def test_what_was_not_reported_is_absent_and_zero_is_zero() -> None:
    event = ended(COMPLETE, 200, JSON, b"{" + USAGE + b"}")

    assert event.HasField("prompt_tokens")
    assert event.prompt_tokens == 0
    assert not event.HasField("cached_tokens")
    assert not event.HasField("reasoning_tokens")


def test_an_exchange_the_engine_never_answered_has_neither_status_nor_first_byte_nor_usage() -> None:
    event = ended(GONE, None)

    for name in ("status_code", "first_byte_time", "prompt_tokens", "completion_tokens"):
        assert not event.HasField(name)
    assert (event.usage_found, event.usage_raw, event.model_id, event.streamed) == (False, "", "", False)


def test_usage_that_is_malformed_is_kept_and_not_counted() -> None:
    event = ended(COMPLETE, 200, JSON, b'{"model":"m","usage":{"prompt_tokens":5,"completion_tokens":-1}}')

    assert event.usage_raw == '{"prompt_tokens":5,"completion_tokens":-1}'
    assert not event.usage_found
    assert not event.HasField("prompt_tokens")


def test_an_aborted_stream_keeps_the_last_counts_it_gave() -> None:
    running = b'data: {"choices":[{"index":0}],' + USAGE + b"}\n\n"

    event = ended(GONE, 200, STREAM, running + CHUNK[:10])

    assert (event.outcome, event.usage_found, event.completion_tokens) == ("aborted", True, 2)
    assert event.streamed


def test_the_first_byte_time_is_that_of_the_first_bytes_only() -> None:
    exchange = Exchange(ADMISSION, "connection-1")
    exchange.answer_began(200, STREAM)
    exchange.answer_bytes(CHUNK, FIRST_BYTE)
    exchange.answer_bytes(DONE, END)
    event = exchange.end(COMPLETE, END)

    assert event is not None
    assert event.first_byte_time.ToDatetime(UTC) == FIRST_BYTE


def test_the_only_model_of_a_resource_is_named_where_the_engine_names_none() -> None:
    nameless = b"{" + USAGE + b"}"
    named = b'{"model":"other",' + USAGE + b"}"

    assert ended(COMPLETE, body=nameless, only_model="m").model_id == "m"
    assert ended(COMPLETE, body=named, only_model="m").model_id == "other"
    assert ended(COMPLETE, body=b"{}", only_model="m").model_id == ""


def test_the_model_the_client_asked_for_never_stands_in_for_the_engines() -> None:
    assert ended(COMPLETE, body=b"{" + USAGE + b"}").model_id == ""


def test_usage_is_taken_out_only_of_a_successful_answer() -> None:
    admission = replace(ADMISSION, strip=Strip.FINAL)
    for status_code, passed in ((200, b""), (400, FINAL_USAGE)):
        exchange = Exchange(admission, "connection-1")
        exchange.answer_began(status_code, STREAM)

        assert exchange.answer_bytes(FINAL_USAGE, FIRST_BYTE) + exchange.answer_complete() == passed


@pytest.mark.parametrize("status_code", [0, 99, 600, 999])
def test_a_status_that_http_does_not_have_is_not_carried(status_code: int) -> None:
    assert not ended(COMPLETE, status_code).HasField("status_code")


HOSTILE = "a\x00\ud800\udcffü\U0001f600" + "x" * 1000


def test_texts_of_clients_are_bounded_and_storable() -> None:
    event = ended(
        GONE, None, admission=replace(ADMISSION, client_request_id=HOSTILE, requested_model=HOSTILE)
    )

    for text in (event.client_request_id, event.requested_model):
        assert text.startswith("a\N{REPLACEMENT CHARACTER}??ü\U0001f600x")
        assert len(text) == 256
    _assert_storable(event)


def test_texts_of_engines_are_bounded_and_storable() -> None:
    name = '"a\\u0000\\ud800\\udcff\\ud83d\\ude00' + "x" * 1000 + '"'
    body = (
        f'{{"model":{name},"choices":[{{"finish_reason":{name}}}],"usage":{{"prompt_tokens":1,"x":{name}}}}}'
    )

    event = ended(COMPLETE, 200, JSON, body.encode())

    assert (len(event.model_id), len(event.finish_reason)) == (256, 64)
    assert event.usage_raw == f'{{"prompt_tokens":1,"x":{name}}}'
    _assert_storable(event)


@pytest.mark.parametrize("status_code", [None, 0, 200, 999])
@pytest.mark.parametrize("ending", Ending)
def test_every_event_keeps_the_rules_of_its_fields(ending: Ending, status_code: int | None) -> None:
    _assert_storable(ended(ending, status_code))


def test_an_admission_alone_is_an_event_of_a_failed_proxy() -> None:
    event = admission_event(replace(ADMISSION, client_request_id=None, requested_model=None))

    assert event.outcome == "proxy_error"
    assert event.event_time.ToDatetime(UTC) == START
    assert (event.auth_id, event.resource_id, event.base_model) == ("auth-1", "res-1", "base")
    assert (event.client_request_id, event.requested_model) == ("", "")
    _assert_storable(event)


def _numbered(event: MeteringEvent) -> bytes:
    event.producer_id = "producer-1"
    event.producer_seq = 1
    return event.SerializeToString()


def _assert_storable(event: MeteringEvent) -> None:
    assert isinstance(validate(MeteringEvent.FromString(_numbered(event))), EventRow)
