"""Between mitmproxy's flows and the values the gate and the exchange work with."""

from mitmproxy import http
from mitmproxy.proxy import mode_specs

from phoebe_addon.gate.forwarding import Forwarding
from phoebe_addon.gate.gate import RequestHead
from phoebe_addon.gate.preflight import Preflight
from phoebe_addon.gate.upstreams import Upstream

REQUEST_ID_HEADER = "X-Request-Id"


def request_head(flow: http.HTTPFlow) -> RequestHead:
    """Read what the gate needs of a request's head."""
    headers: dict[str, list[str]] = {}
    for name, value in flow.request.headers.items(multi=True):
        headers.setdefault(name.lower(), []).append(value)
    peer = flow.client_conn.peername
    # As it was sent: mitmproxy's own `method` is in upper case, and HTTP knows no "post".
    method = flow.request.data.method.decode("latin-1")
    return RequestHead(method, flow.request.path, headers, peer[0] if peer else "")


def joined_headers(headers: http.Headers) -> dict[str, str]:
    """Read headers by lower-case name; several of one name are joined with commas."""
    joined: dict[str, str] = {}
    for name, value in headers.items(multi=True):
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined


def is_reverse_proxied(flow: http.HTTPFlow) -> bool:
    """Whether the flow came in while mitmproxy was a reverse proxy."""
    return isinstance(flow.client_conn.proxy_mode, mode_specs.ReverseMode)


def hide_secret(flow: http.HTTPFlow, forwarding: Forwarding) -> None:
    """Take the edge's secret out of a request, before anybody can log or keep it."""
    headers = flow.request.headers
    headers.fields = forwarding.without_secret(headers.fields)


def direct_to(flow: http.HTTPFlow, upstream: Upstream, forwarding: Forwarding, content: bytes) -> None:
    """Send a request to an upstream, with the headers that are for it. content: its body, decoded."""
    request = flow.request
    if content is not request.raw_content:
        request.headers.pop("content-encoding", None)
        request.content = content
    request.scheme = upstream.scheme
    request.data.host = upstream.host
    request.port = upstream.port  # which says the host in the head, too
    request.path = upstream.path_prefix + request.path
    if not request.is_http2:
        request.authority = ""  # what a client asked a proxy for in full, a server is asked for by its path
    body_bytes = len(request.raw_content or b"")
    request.headers.fields = forwarding.to_engine(request.headers.fields, request.method, body_bytes)


def preflight_response(preflight: Preflight) -> http.Response:
    """Make the answer to an OPTIONS request."""
    response = http.Response.make(204, b"", dict(preflight.headers))
    # An answer with this status has no body, and no length of one (RFC 9110, 8.6).
    response.headers.pop("content-length", None)
    return response


def hold_back_end(flow: http.HTTPFlow) -> None:
    """Frame a streamed answer so that its end is a message of its own, which mitmproxy sends last.

    With a Content-Length the client would know the end from the bytes themselves.
    """
    response = flow.response
    assert response
    response.headers.pop("content-length", None)
    if flow.request.http_version == "HTTP/1.1":
        response.headers["Transfer-Encoding"] = "chunked"
    else:
        # HTTP/1.0 ends with the connection, HTTP/2 has frames of its own.
        response.headers.pop("transfer-encoding", None)
