"""What hostile clients send in HTTP/2: frames of any kind in any order, and headers that are none."""

from collections.abc import Sequence

import hpack
from hypothesis import strategies as st

from tests.harness.hostile_http1 import BODY, SMUGGLED

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM, END_HEADERS, PADDED, PRIORITIZED = 0x1, 0x4, 0x8, 0x20

type Fields = Sequence[tuple[bytes, bytes]]

IDENTITY: Fields = ((b"x-saturn-auth-id", b"auth-1"), (b"x-saturn-resource-id", b"resource-1"))
REQUEST: Fields = (
    (b":method", b"POST"),
    (b":scheme", b"https"),
    (b":authority", b"proxy"),
    (b":path", b"/v1/chat/completions"),
)


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """Write a frame (RFC 9113, 4.1), whether it is allowed or not."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload


def block(fields: Fields) -> bytes:
    """Write a block of headers that needs and changes no state of the connection."""
    literal = bytearray()
    for name, value in fields:
        literal.append(0x10)  # both as literals, never indexed (RFC 7541, 6.2.3)
        for text in (name, value):
            literal += hpack.hpack.encode_integer(len(text), 7) + text
    return bytes(literal)


def request(stream_id: int, body: bytes = BODY, fields: Fields = (*REQUEST, *IDENTITY)) -> bytes:
    """Write a whole request."""
    head = frame(HEADERS, END_HEADERS, stream_id, block(fields))
    return head + frame(DATA, END_STREAM, stream_id, body)


PATHS = st.sampled_from(
    (
        *(b"/v1/chat/completions", b"/v1/models", b"/v1/models?a HTTP/1.1\r\nX-Any: 1\r\n\r\n", b"", b"*"),
        *(
            b"/v1/chat/completions HTTP/1.1",
            b"//v1/models",
            b"http://evil.invalid/v1/models",
            b"/v1/\x00models",
        ),
        *(b"/v1/models?" + b"a" * 60_000, b"/v1/models\xff", b"/v1/models?a\tb", b"v1/models"),
    )
)
STRANGE_FIELDS = st.sampled_from(
    (
        *((b":path", b"/v1/models"), (b":status", b"200"), (b":unknown", b"1"), (b":method", b"GET")),
        *(
            (b"Upper-Case", b"1"),
            (b"", b"1"),
            (b"a b", b"1"),
            (b"a:b", b"1"),
            (b"a\r\nb", b"1"),
            (b"a\x00", b"1"),
        ),
        *((b"x-any", b"a\r\nx-more: b"), (b"x-any", b"a\x00b"), (b"x-any", b" a "), (b"x-any", b"\xff")),
        *((b"transfer-encoding", b"chunked"), (b"content-length", b"5"), (b"content-length", b"-1")),
        *((b"content-length", b"13"), (b"connection", b"keep-alive"), (b"upgrade", b"h2c"), (b"te", b"gzip")),
        *((b"host", b"evil.invalid"), (b"x-saturn-auth-id", b"mallory"), (b"x_saturn_auth_id", b"mallory")),
        *((b"x-any", b"a" * 70_000), (b"expect", b"100-continue"), (b"content-encoding", b"gzip")),
    )
)
METHODS = st.sampled_from(
    (b"POST", b"POST", b"GET", b"CONNECT", b"post", b"POST /v1/models HTTP/1.1\r\n\r\n", b"")
)
SCHEMES = st.sampled_from((b"https", b"http", b"https://evil.invalid/v1/models?", b""))
AUTHORITIES = st.sampled_from((b"proxy", b"", b"evil.invalid\r\nX-Any: 1", b"a b", b"u:p@evil.invalid:99999"))
STREAM_IDS = st.sampled_from((1, 1, 1, 3, 3, 5, 7, 0, 2, 2**31 - 1, 2**32 - 1))
_NUMBERS = st.sampled_from((0, 1, 2, 100, 16_384, 65_535, 2**24 - 1, 2**31 - 1, 2**31, 2**32 - 1))


@st.composite
def heads(draw: st.DrawFn) -> Fields:
    """Write the headers of a request, right or wrong."""
    pseudo = [
        *((b":method", draw(METHODS)), (b":scheme", draw(SCHEMES))),
        *((b":authority", draw(AUTHORITIES)), (b":path", draw(PATHS))),
    ]
    if draw(st.booleans()):
        pseudo = list(REQUEST)
    fields = [*pseudo, *IDENTITY, *draw(st.lists(STRANGE_FIELDS, max_size=2))]
    return draw(st.permutations(fields)) if draw(st.integers(0, 4)) == 0 else fields


@st.composite
def headers_frames(draw: st.DrawFn) -> bytes:
    """Write headers in one frame or several, in the right or a wrong order."""
    stream_id, payload = draw(STREAM_IDS), block(draw(heads()))
    flags = draw(st.sampled_from((0, END_STREAM, END_STREAM | PADDED, PRIORITIZED)))
    if draw(st.booleans()):
        return frame(HEADERS, flags | END_HEADERS, stream_id, payload)
    cut = draw(st.integers(0, len(payload)))
    rest_id = draw(st.sampled_from((stream_id, stream_id, stream_id ^ 2)))
    rest_flags = draw(st.sampled_from((END_HEADERS, END_HEADERS, 0)))
    return frame(HEADERS, flags, stream_id, payload[:cut]) + frame(
        CONTINUATION, rest_flags, rest_id, payload[cut:]
    )


@st.composite
def settings_frames(draw: st.DrawFn) -> bytes:
    """Write settings: those there are with any value, and unknown ones."""
    pairs = draw(st.lists(st.tuples(st.integers(0, 9), _NUMBERS), max_size=3))
    payload = b"".join(name.to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in pairs)
    return frame(SETTINGS, draw(st.sampled_from((0, 0, 1))), 0, payload)


@st.composite
def other_frames(draw: st.DrawFn) -> bytes:
    """Write a frame of any other kind, mostly well-formed."""
    kind = draw(
        st.sampled_from((PRIORITY, RST_STREAM, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, 10, 12, 255))
    )
    sizes = {PRIORITY: 5, RST_STREAM: 4, PUSH_PROMISE: 4, PING: 8, GOAWAY: 8, WINDOW_UPDATE: 4}
    size = draw(st.sampled_from((sizes.get(kind, 4), sizes.get(kind, 4), 0, 3, 17)))
    number = draw(_NUMBERS).to_bytes(4, "big")
    return frame(kind, draw(st.integers(0, 255)), draw(STREAM_IDS), (number * 5)[:size])


DATA_FRAMES = st.builds(
    frame,
    st.just(DATA),
    st.sampled_from((0, END_STREAM, END_STREAM | PADDED)),
    STREAM_IDS,
    st.sampled_from((BODY, BODY, b"", SMUGGLED, b"\xff" + BODY, b"a" * 16_385)),
)
WHOLE_REQUESTS = st.builds(request, st.sampled_from((1, 3, 5)), st.sampled_from((BODY, SMUGGLED)), heads())
FRAMES = st.one_of(
    *(
        WHOLE_REQUESTS,
        headers_frames(),
        DATA_FRAMES,
        settings_frames(),
        other_frames(),
        st.binary(max_size=30),
    )
)


@st.composite
def connections(draw: st.DrawFn) -> bytes:
    """Write all that one connection sends."""
    start = draw(st.sampled_from((PREFACE, PREFACE, PREFACE, PREFACE, b"", PREFACE[:-1])))
    return start + frame(SETTINGS, 0, 0, b"") + b"".join(draw(st.lists(FRAMES, min_size=1, max_size=8)))
