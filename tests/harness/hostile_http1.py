"""What hostile clients send in HTTP/1: requests that can be read in two ways, and bytes that are none."""

from hypothesis import strategies as st

BODY = b'{"model":"m"}'
# Whoever takes this for a request of its own has been smuggled one: it says nobody who pays.
SMUGGLED = b"POST /v1/chat/completions HTTP/1.1\r\nHost: e\r\nContent-Length: 13\r\n\r\n" + BODY
_IDENTITY = b"X-Saturn-Auth-Id: auth-1\r\nX-Saturn-Resource-Id: resource-1\r\n"


def _mostly(usual: bytes, *others: bytes) -> st.SearchStrategy[bytes]:
    return st.one_of(st.just(usual), st.just(usual), st.sampled_from((usual, *others)))


METHODS = _mostly(
    b"POST",
    *(
        b"GET",
        b"post",
        b"HEAD",
        b"PUT",
        b"CONNECT",
        b"PRI",
        b"",
        b"PO\x00ST",
        b"POST\t",
        b"P\xd6ST",
        b"OPTIONS",
    ),
)
TARGETS = _mostly(
    b"/v1/chat/completions",
    *(
        b"/v1/models",
        b"/health",
        b"//v1/chat/completions",
        b"/v1//chat/completions",
        b"/v1/./chat/completions",
    ),
    *(b"/v1/x/../chat/completions", b"/%76%31/chat/completions", b"/v1/chat%2fcompletions", b"/", b"*", b""),
    *(
        b"/v1/chat/completions/",
        b"/v1/chat/completions;a=b",
        b"/v1/chat/completions#f",
        b"/V1/CHAT/COMPLETIONS",
    ),
    *(
        b"/v1/chat/completions?a=%00",
        b"/v1/chat/completions?\x00",
        b"/v1/chat/completions?\xff",
        b"\\v1\\models",
    ),
    *(b"/v1/models/..%2f..%2fv1/chat/completions", b"/v1/models/a/b%2Fc", b"/v1/chat/completions?a\x0bb"),
    *(
        b"http://evil.invalid/v1/chat/completions",
        b"https://u:p@evil.invalid:1/v1/models",
        b"evil.invalid:80",
    ),
    *(
        b"HTTP://evil.invalid/v1/models",
        b"ftp://evil.invalid/v1/models",
        b"http:///v1/models",
        b"http://[::1/",
    ),
    *(b"/v1/models HTTP/1.1\r\nX-Any: 1\r\n\r\nGET /v1/models", b"/" + b"a" * 70_000),
)
VERSIONS = _mostly(
    b"HTTP/1.1",
    *(
        b"HTTP/1.0",
        b"HTTP/0.9",
        b"HTTP/2.0",
        b"HTTP/3.0",
        b"HTTP/1.9",
        b"http/1.1",
        b"HTTP/1.1 x",
        b"",
        b"HTTP/1",
    ),
)
LINE_ENDS = _mostly(b"\r\n", b"\n", b"\r", b"\n\r", b"\r\r\n")
SEPARATORS = _mostly(b" ", b"  ", b"\t", b"\x0b", b"\r", b"\xa0")
LENGTHS = st.sampled_from(
    (
        *(b"13", b"13", b"0", b"5", b"14", b"+13", b"-1", b"0x0d", b"1_3", b"13, 13", b"13,14", b"", b"013"),
        *(
            b" 13",
            b"13 ",
            b"13\x0b",
            b"13\x00",
            b"9" * 30,
            b"1e1",
            "\uff11\uff13".encode(),
            b"13\r\n 0",
            b"81",
            b"94",
        ),
    )
)
CODINGS = st.sampled_from(
    (
        *(b"chunked", b"chunked", b"Chunked", b"\tchunked", b"chunked\x0b", b"xchunked", b"chunked, chunked"),
        *(
            b"gzip, chunked",
            b"chunked, gzip",
            b"identity",
            b"",
            b"chunked;q=1",
            b'"chunked"',
            b"chun\r\n ked",
        ),
    )
)
NAMES_OF_LENGTH = _mostly(
    b"Content-Length: ", b"Content-Length : ", b"content_length: ", b"\x00Content-Length: "
)
NAMES_OF_CODING = _mostly(
    b"Transfer-Encoding: ", b"Transfer-Encoding : ", b"transfer_encoding: ", b"X: y\r\n Transfer-Encoding: "
)
OTHER_HEADERS = st.sampled_from(
    (
        *(
            b"",
            b"X-Any: 1",
            b"Host: a\r\nHost: b",
            b"Host:",
            b"Host: a b",
            b"Host: evil.invalid/../",
            b"Host: [::1",
        ),
        *(
            b"X-Saturn-Auth-Id: mallory",
            b"x_saturn_auth_id: mallory",
            b"X-Any: a\r\n X-Saturn-Auth-Id: mallory",
        ),
        *(
            b"Connection: X-Saturn-Auth-Id",
            b"Connection: close",
            b"Connection: Content-Length, Transfer-Encoding",
        ),
        *(b"Expect: 100-continue", b"Expect: 200-ok", b"Upgrade: websocket\r\nConnection: Upgrade"),
        *(
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
            b"TE: trailers",
        ),
        *(
            b"X-Request-Id: a\r\nX-Request-Id: b",
            b"X-Any: a\x00b",
            b"X-Any: a\rX-More: b",
            b"X-Any",
            b": no name",
        ),
        *(
            b"Content-Encoding: gzip",
            b"Content-Encoding: identity",
            b"Trailer: X-Saturn-Auth-Id",
            b"\xffX: 1",
        ),
        *(
            b"X-Any: " + b"a" * 70_000,
            b"\r\n".join([b"X-Any: 1"] * 300),
            b"Content-Type: multipart/form-data",
        ),
    )
)
CHUNKED = st.sampled_from(
    (
        b"d\r\n" + BODY + b"\r\n0\r\n\r\n",
        b"D;a=b\r\n" + BODY + b"\r\n0;c\r\n\r\n",
        b"d;" + b"a" * 70_000 + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
        b"d\n" + BODY + b"\n0\n\n",
        b"0d \r\n" + BODY + b"\r\n0\r\n\r\n",
        b"0x0d\r\n" + BODY + b"\r\n0\r\n\r\n",
        b"-1\r\n" + BODY + b"\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\n" + BODY,
        b"fffffffe\r\n" + BODY,
        b"d\r\n" + BODY + b"XX0\r\n\r\n",
        b"d\r\n" + BODY + b"\r\n0\r\nX-Saturn-Auth-Id: mallory\r\nContent-Length: 99\r\n\r\n",
        b"d\r\n" + BODY + b"\r\n0\r\n" + b"X-Any: 1\r\n" * 20_000 + b"\r\n",
        b"\r\nd\r\n" + BODY + b"\r\n0\r\n\r\n",
        b"5\r\n" + BODY[:5] + b"\r\n8\r\n" + BODY[5:] + b"\r\n00000\r\n\r\n",
        b"0\r\n\r\n",
    )
)
BODIES = st.one_of(
    st.just(BODY), st.just(BODY), st.just(b""), st.just(SMUGGLED), CHUNKED, st.binary(max_size=40)
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Write a request that is wrong in none, one or several places."""
    end, separator = draw(LINE_ENDS), draw(SEPARATORS)
    lines = [separator.join((draw(METHODS), draw(TARGETS), draw(VERSIONS)))]
    head = [b"Host: proxy", *_IDENTITY.split(b"\r\n")[:2]]
    if draw(st.integers(0, 3)):
        head += [draw(NAMES_OF_LENGTH) + draw(LENGTHS) for _ in range(draw(_counts))]
        head += [draw(NAMES_OF_CODING) + draw(CODINGS) for _ in range(draw(_counts))]
    else:
        head.append(b"Content-Length: 13")
    head += draw(st.lists(OTHER_HEADERS, max_size=2))
    lines += draw(st.permutations(head))
    body = draw(BODIES) + draw(st.sampled_from((b"", b"", SMUGGLED, b"\r\n", b"GET / HTTP/1.1\r\n")))
    written: bytes = end.join(lines) + end + end + body
    return written


_counts = st.sampled_from((0, 1, 1, 2))
NOISE = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
            b"\x16\x03\x01\xff\xff" + bytes(70_000),
            b"\r\n" * 50_000,
            b"\x00" * 70_000,
            b"CONNECT evil.invalid:443 HTTP/1.1\r\n\r\n" + SMUGGLED,
            b"SSH-2.0-hostile\r\n",
            b"\x05\x01\x00",
            b"GET /v1/models",
        )
    ),
)


@st.composite
def in_pieces(draw: st.DrawFn) -> list[bytes]:
    """Write what one connection sends, cut anywhere."""
    sent = b"".join(draw(st.lists(st.one_of(requests(), requests(), NOISE), min_size=1, max_size=3)))
    cuts = sorted({cut % (len(sent) + 1) for cut in draw(st.lists(st.integers(0, 2000), max_size=4))})
    return [sent[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
