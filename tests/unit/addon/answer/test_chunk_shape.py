"""The shape of a chunk with running usage: what it takes for the same, and what it does not look at."""

import pytest

from phoebe_addon.answer.chunk_shape import data_in, events_of, shape_of, without_usage

HEAD = b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"'
MIDDLE = b'"},"finish_reason":null}]'
EVENT = HEAD + b"a" + MIDDLE + b',"usage":{"prompt_tokens":9,"completion_tokens":2,"details":null}}\n\n'


def event(text: bytes, usage: bytes, middle: bytes = MIDDLE) -> bytes:
    return HEAD + text + middle + b',"usage":' + usage + b"}\n\n"


def has_shape(other: bytes) -> bool:
    shape = shape_of(EVENT)
    assert shape
    return shape.usage_start(other) is not None


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        pytest.param(b"another text", (9, 3), id="another text"),
        pytest.param(b"", (9, 3), id="no text"),
        pytest.param(rb"\"\n\u00fc\\", (9, 3), id="escapes"),
        pytest.param("ü😀".encode(), (9, 3), id="other characters"),
        pytest.param(b"\xff\t", (9, 3), id="bytes that are no characters"),
        pytest.param(b"a", (120, 4096), id="other counts"),
        pytest.param(b"a", (999_999_999_999_999, 1), id="high counts"),
    ],
)
def test_text_and_counts_may_differ(text: bytes, counts: tuple[int, int]) -> None:
    assert has_shape(event(text, b'{"prompt_tokens":%d,"completion_tokens":%d,"details":null}' % counts))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(EVENT.replace(b'"c"', b'"d"'), id="another id"),
        pytest.param(EVENT.replace(b'reason":null', b'reason":"stop"'), id="a finish reason"),
        pytest.param(EVENT.replace(b":2,", b":0,"), id="a zero"),
        pytest.param(EVENT.replace(b":2,", b":02,"), id="no number of JSON"),
        pytest.param(EVENT.replace(b":2,", b":,"), id="no number at all"),
        pytest.param(EVENT.replace(b":2,", b":2.5,"), id="no whole number"),
        pytest.param(EVENT.replace(b":2,", b":1000000000000000,"), id="a number that may be too high"),
        pytest.param(EVENT.replace(b':"a"', b':"a\\x"'), id="no escape of JSON"),
        pytest.param(EVENT.replace(b':"a"', b':"a"b"'), id="a string that ends early"),
        pytest.param(EVENT.replace(b':"a"', b':"a\n"'), id="a line end in the text"),
        pytest.param(EVENT.replace(b"}}\n\n", b'},"x":1}\n\n'), id="a member behind the usage"),
        pytest.param(EVENT[:-1], id="a part"),
        pytest.param(EVENT + EVENT, id="two"),
    ],
)
def test_nothing_else_may_differ(other: bytes) -> None:
    assert not has_shape(other)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(EVENT.replace(b'"content"', b'"finish_reason"'), id="no text by its name"),
        pytest.param(EVENT.replace(b':"a"', b':""'), id="no text yet"),
        pytest.param(EVENT.replace(b"usage", b"use"), id="no usage"),
        pytest.param(EVENT.replace(b"}}\n\n", b'},"x":{}}\n\n'), id="a usage that is not last"),
        pytest.param(EVENT.replace(b"null}}", b"null}]}"), id="no JSON"),
        pytest.param(
            EVENT.replace(b'{"id"', b'{"x":{"id"').replace(b"}\n", b"}}\n"), id="a usage further in"
        ),
        pytest.param(EVENT.replace(b"\n\n", b"\r\n\r\n"), id="other line ends"),
        pytest.param(b"event: x\n" + EVENT, id="a name"),
        pytest.param(EVENT.replace(b'"index"', b'\ndata: "index"'), id="several lines"),
        pytest.param(b'data: {"x":1,"usage":{"content":"a"}}\n\n', id="a text in the usage"),
        pytest.param(b'data: {"content":"a,"usage":{"x":1}}\n\n', id="a text that does not end"),
    ],
)
def test_an_event_that_is_not_of_text_with_running_usage_has_no_shape(other: bytes) -> None:
    assert shape_of(other) is None


def test_spaces_are_part_of_a_shape() -> None:
    spaced = b'data: {"content": "a", "usage": {"prompt_tokens": 9, "completion_tokens": 2}}\n\n'
    shape = shape_of(spaced)

    assert shape
    assert shape.usage_start(spaced.replace(b"2", b"31")) == spaced.index(b', "usage"')
    assert shape.usage_start(spaced.replace(b": 2", b":2")) is None


def test_the_usage_goes_with_its_comma_and_nothing_else() -> None:
    shape = shape_of(EVENT)
    assert shape
    start = shape.usage_start(EVENT)
    assert start

    assert without_usage(EVENT, start) == HEAD + b"a" + MIDDLE + b"}\n\n"
    assert data_in(EVENT) == EVENT[6:-2]


@pytest.mark.parametrize(
    ("chunk", "events"),
    [
        (b"", []),
        (b"a", [b"a"]),
        (b"a\n\n", [b"a\n\n"]),
        (b"a\n\nb\n\nc", [b"a\n\n", b"b\n\n", b"c"]),
        (b"a\n\n\n", [b"a\n\n", b"\n"]),
    ],
)
def test_bytes_are_cut_behind_each_blank_line(chunk: bytes, events: list[bytes]) -> None:
    assert list(events_of(chunk)) == events
