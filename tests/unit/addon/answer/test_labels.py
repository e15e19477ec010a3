"""Answers whose headers say something else than what their bodies are."""

import json

import pytest

from phoebe_addon.answer import body as answer_body
from phoebe_addon.answer.body import CodedBody, Mislabel, PlainBody, open_body
from phoebe_addon.answer.reader import Answer, AnswerReader, RequestFacts
from phoebe_addon.answer.removal import Removal
from phoebe_addon.apis.families.openai_chat import CONTINUOUS_USAGE, STREAM_USAGE
from phoebe_addon.apis.usage import Usage
from phoebe_addon.formats.body_form import Form
from tests.harness.content_codings import ENCODERS, encode
from tests.harness.engine_streams import DONE, VLLM, VLLM_USAGE
from tests.harness.known import family

NOTHING = Removal()
FINAL = Removal((STREAM_USAGE,))
BOTH = Removal((STREAM_USAGE, CONTINUOUS_USAGE))
SSE = "text/event-stream"
JSON = "application/json"


def reader_of(api: str = "openai.chat") -> AnswerReader:
    return AnswerReader((family(api).answer,), RequestFacts())


def opened(
    content_type: str, removal: Removal = NOTHING, coding: str = ""
) -> tuple[PlainBody | CodedBody, AnswerReader]:
    reader = reader_of()
    return open_body(content_type, coding, reader, removal), reader


EVENTS, LINES, DOCUMENT = Form


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        (SSE, EVENTS),
        ("text/event-stream; charset=utf-8", EVENTS),
        ("Text/Event-Stream", EVENTS),
        (" text/event-stream ;x", EVENTS),
        ("application/x-ndjson", LINES),
        ("Application/NDJSON; charset=utf-8", LINES),
        ("application/jsonl", LINES),
        (JSON, DOCUMENT),
        ("application/json; charset=utf-8", DOCUMENT),
        ("application/problem+json", DOCUMENT),
        ("", None),
        ("text/plain", None),
        ("text/event-stream-x", None),
        ("application/octet-stream", None),
    ],
)
def test_before_its_first_bytes_a_body_has_the_form_that_its_label_says(
    content_type: str, form: Form | None
) -> None:
    for coding in ("", "gzip", "unheard-of"):
        assert opened(content_type, coding=coding)[0].form is form
        assert opened(content_type, FINAL, coding)[0].form is form


DATA = b'{"model":"m","choices":[],"usage":{"prompt_tokens":5}}'
STARTS = [b"", b"\n", b"\r\n\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n", b" \n", b" \t\r\n \n"]
EVENT_STARTS = [
    b"",
    b": ping\n\n",
    b":\n\n",
    b"event: x\n",
    b"id: 1\r\n",
    b"retry:1\n",
    b"data\n\n",
    b":\r:\r",
]
LABELS = [SSE, JSON, "application/x-ndjson", "", "text/plain", "application/octet-stream"]


@pytest.mark.parametrize("content_type", LABELS)
@pytest.mark.parametrize("start", EVENT_STARTS)
def test_an_event_stream_is_one_whatever_its_label(content_type: str, start: bytes) -> None:
    for before in STARTS:
        content = before + start + b"data: " + DATA + b"\n\n"
        # What stands before the data without a blank line belongs to the event that is taken out.
        without = before + start if start.endswith(b"\n\n") else before
        for removal, passed in ((NOTHING, content), (FINAL, without)):
            body, reader = opened(content_type, removal)

            assert b"".join(body.feed(bytes((byte,))) for byte in content) + body.finish() == passed
            assert (body.form, reader.answer().usage) == (EVENTS, Usage(prompt=5))


@pytest.mark.parametrize("content_type", LABELS)
@pytest.mark.parametrize("start", [*STARTS, b" ", b"\t", b"\n  "])
def test_a_document_is_one_whatever_its_label(content_type: str, start: bytes) -> None:
    for document in (DATA, json.dumps(json.loads(DATA), indent=1).encode()):
        for removal in (NOTHING, BOTH):
            body, reader = opened(content_type, removal)
            content = start + document

            assert b"".join(body.feed(bytes((byte,))) for byte in content) + body.finish() == content
            assert reader.answer().usage == Usage(prompt=5)
            is_lines = "ndjson" in content_type and b"\n" not in document
            assert body.form is (LINES if is_lines else DOCUMENT)


@pytest.mark.parametrize("content_type", LABELS)
def test_json_lines_are_read_whatever_their_label(content_type: str) -> None:
    first, last = b'{"model":"m","done":false}\r\n', b'{"done":true,"prompt_eval_count":5,"eval_count":2}'
    for content in (first + last, first + b"\n" + last + b"\n", b"\n" + first + b" \n" + last + b"\n\n"):
        reader = reader_of("ollama.chat")
        body = open_body(content_type, "", reader, NOTHING)

        assert b"".join(body.feed(bytes((byte,))) for byte in content) + body.finish() == content
        assert body.form is LINES
        answer = reader.answer()
        assert (answer.model, answer.usage, answer.finished) == ("m", Usage(prompt=5, completion=2), True)


@pytest.mark.parametrize(
    ("content_type", "form"),
    [(SSE, EVENTS), (JSON, None), ("application/x-ndjson", None), ("", None), ("text/plain", None)],
)
@pytest.mark.parametrize("content", [b"<html>", b"date: 1", b"dat", b" data: {}\n\n", b"OK", b"\0\0\x80?"])
def test_where_the_first_bytes_tell_nothing_the_label_does(
    content_type: str, form: Form | None, content: bytes
) -> None:
    body, reader = opened(content_type, BOTH)

    assert body.feed(content) + body.finish() == content
    assert body.form is form
    assert reader.answer() == Answer(garbled=content_type in {JSON, "application/x-ndjson"})


@pytest.mark.parametrize("content", [b"", b" ", b"\r\n\n", b"\xef\xbb\xbf"])
def test_an_empty_body_is_not_garbled(content: bytes) -> None:
    for content_type in LABELS:
        body, reader = opened(content_type, BOTH)

        assert body.feed(content) + body.finish() == content
        assert not reader.answer().garbled


def test_a_control_character_is_no_blank_however_it_comes() -> None:
    for chunks in ([b"\x0b\x00"], [b"\x0b", b"\x00"]):
        body, reader = opened("application/x-ndjson")
        for chunk in chunks:
            body.feed(chunk)
        body.finish()
        assert reader.answer().garbled


@pytest.mark.parametrize(
    ("content_type", "content", "found"),
    [
        (JSON, VLLM, EVENTS),
        ("", VLLM, EVENTS),
        ("application/x-ndjson", VLLM, EVENTS),
        (SSE, DATA, DOCUMENT),
        ("text/plain", DATA, DOCUMENT),
        (JSON, DATA + b"\n" + DATA, LINES),
        (JSON, DATA, None),
        (SSE, VLLM, None),
        ("application/x-ndjson", DATA, None),
        ("application/problem+json", DATA, None),
        ("audio/wav", b"RIFF", None),
    ],
)
def test_a_label_that_is_wrong_is_told(content_type: str, content: bytes, found: Form | None) -> None:
    wrong = [Mislabel("Content-Type", content_type, found.value)] if found else []
    for coding in ("", "gzip"):
        body, _ = opened(content_type, coding=coding)
        body.feed(encode(coding, content) if coding else content)
        body.finish()

        assert body.mislabels() == wrong


@pytest.mark.parametrize(
    ("named", "real"),
    [
        *((named, "") for named in ("gzip", "x-gzip", "deflate", "br", "zstd", "gzip, br")),
        *((named, "") for named in ("none", "utf-8", "UTF8", "unheard-of")),
        *((named, real) for named in ("deflate", "br", "zstd") for real in ("gzip",)),
        ("gzip", "zlib"),
        ("gzip", "zstd"),
        ("none", "gzip"),
        ("", "gzip"),
        ("unheard-of", "zstd"),
        ("gzip, gzip", "gzip"),
    ],
)
def test_a_body_is_read_by_the_coding_it_has_whatever_is_named(named: str, real: str) -> None:
    for content_type, plain in ((JSON, DATA), (SSE, VLLM + VLLM_USAGE + DONE)):
        content = encode(real, plain) if real else plain
        body, reader = opened(content_type, coding=named)

        assert body.feed(content[:1]) + body.feed(content[1:]) + body.finish() == content
        assert reader.answer().usage is not None
        assert not reader.answer().unreadable
        wrong = Mislabel("Content-Encoding", named.lower(), ENCODERS[real][0] if real else "")
        assert body.mislabels() == [wrong]


def test_a_coding_that_is_none_is_no_coding() -> None:
    for coding in ("", "identity", "identity, identity"):
        body, reader = opened(JSON, FINAL, coding)

        assert body.feed(DATA) + body.finish() == DATA
        assert body.mislabels() == []
        assert reader.answer().usage == Usage(prompt=5)


def test_what_was_asked_for_is_taken_out_of_a_plain_body_whatever_coding_is_named() -> None:
    for coding in ("gzip", "br", "none", "unheard-of"):
        body, _ = opened(SSE, FINAL, coding)

        assert body.feed(VLLM + VLLM_USAGE + DONE) + body.finish() == VLLM + DONE


def test_what_is_neither_as_it_is_labelled_nor_text_is_unreadable_and_passed_on() -> None:
    for coding in ("gzip", "zstd", "unheard-of"):
        body, reader = opened(SSE, coding=coding)

        assert body.feed(b"\0\1") + body.feed(b"\2\3\4") + body.finish() == b"\0\1\2\3\4"
        assert reader.answer().unreadable


def test_a_coded_answer_that_unfolds_to_too_much_is_passed_on_and_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answer_body, "UNFOLDED_BYTES_MAX", 10_000)
    padded = b'data: {"x":"' + b"x" * 10_000_000 + b'"}\n\n' + VLLM_USAGE
    content = encode("gzip", padded)
    body, reader = opened(SSE, coding="gzip")

    assert body.feed(content) + body.finish() == content
    assert (reader.answer().usage, reader.answer().unreadable) == (None, True)
    body, reader = opened(SSE, FINAL, "gzip")
    assert body.feed(content) + body.finish() == padded.removesuffix(VLLM_USAGE)
