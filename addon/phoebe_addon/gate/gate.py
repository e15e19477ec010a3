"""The gate: the checks that decide whether an exchange is let through. What can't be billed is refused."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from phoebe_addon.formats.content_coding import ContentCodingError, open_decoder
from phoebe_addon.formats.steps import Steps
from phoebe_addon.gate.billing import check_billing
from phoebe_addon.gate.edge_secrets import SECRET_HEADER, EdgeSecrets
from phoebe_addon.gate.identity import HeaderNames, Identity, read_identity
from phoebe_addon.gate.preflight import ANY_ORIGIN, Preflight, answer_preflight
from phoebe_addon.gate.refusal import Refusal, RefusalReason
from phoebe_addon.gate.request_body import (
    Asking,
    BadBodyError,
    RequestBody,
    UsagePolicy,
    check_body_kind,
    read_request,
)
from phoebe_addon.gate.routes import BodyKind, Match, RouteTable
from phoebe_addon.gate.trusted_edges import Network, is_trusted
from phoebe_addon.gate.upstreams import Upstream, Upstreams

# Real clients and edges send dozens. Servers refuse as many, or are slow with them.
_HEADERS_MAX = 256
# Text unfolds to ten times its size, hardly ever to more. Small bodies may.
_UNFOLDED_RATIO_MAX = 100
_UNFOLDED_BYTES_FREE = 1024 * 1024
# So much of a compressed body is decoded in one step, which is over earlier if it gives a piece.
_DECODED_AT_ONCE_BYTES = 4 * 1024
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NOT_IN_TARGETS = re.compile(r"[^!-~]")


@dataclass(frozen=True, slots=True)
class RequestHead:
    """What the checks need of a request before its body is there.

    target: path and query as sent. headers: every value of each header, by lower-case name. peer: the IP
    address the connection comes from.
    """

    method: str
    target: str
    headers: Mapping[str, Sequence[str]]
    peer: str


@dataclass(frozen=True, slots=True)
class Pass:
    """An exchange whose head is in order.

    content_type, content_encoding: of the request's body, the values of all such headers joined with commas.
    """

    identity: Identity
    upstream: Upstream
    match: Match
    content_type: str
    content_encoding: str

    def is_free(self) -> bool:
        """Whether it passes without an event."""
        return not self.match.route.families


@dataclass(frozen=True, slots=True)
class GateRules:
    """What the gate checks against.

    body_bytes_max: of a request body, decoded, in bytes. asking: what is asked of engines of which the
    resource map does not say it. secret_header: the one with the edge's secret. allowed_unbillable: kinds of
    requests that pass although they can't be billed. cors_origins: whose pages may call from a browser.
    """

    trusted_edges: tuple[Network, ...]
    header_names: HeaderNames
    body_bytes_max: int
    routes: RouteTable
    asking: Asking = Asking.AUTO
    secret_header: str = SECRET_HEADER
    allowed_unbillable: frozenset[str] = frozenset()
    cors_origins: frozenset[str] = frozenset({ANY_ORIGIN})


def check_head(
    head: RequestHead, rules: GateRules, upstreams: Upstreams, secrets: EdgeSecrets
) -> Pass | Preflight | Refusal:
    """Check everything that can be known before the body.

    Which is: peer, the edge's secret, protocol, size, identity, route, upstream. A Preflight needs no
    identity and goes no further.
    """
    refusal = (
        _check_peer(head, rules)
        or secrets.check(head.headers, rules.secret_header)
        or _check_protocol(head)
        or _check_characters(head)
        or _check_body_headers(head, rules)
    )
    if refusal:
        return refusal
    path = head.target.partition("?")[0]
    if head.method == "OPTIONS":
        return answer_preflight(path, head.headers, rules.routes, rules.cors_origins)
    identity = read_identity(head.headers, rules.header_names)
    if isinstance(identity, Refusal):
        return identity
    match = rules.routes.find(head.method, path)
    if isinstance(match, Refusal):
        return match
    upstream = upstreams.find(identity.resource_id)
    if upstream is None:
        return Refusal(
            404,
            RefusalReason.NO_UPSTREAM,
            f"No model server is known for the resource {identity.resource_id!a}.",
        )
    return Pass(
        identity,
        upstream,
        match,
        ",".join(head.headers.get("content-type", ())),
        ",".join(head.headers.get("content-encoding", ())),
    )


def check_body(content: bytes, passed: Pass, rules: GateRules) -> Steps[RequestBody | Refusal]:
    """Check the body of a metered request against what its API needs and what its resource serves.

    What takes long is done in steps. The first of several does nothing.
    """
    upstream = passed.upstream
    policy = UsagePolicy(upstream.engine, upstream.asking or rules.asking)
    try:
        decoded = yield from _decoded(content, passed.content_encoding, rules.body_bytes_max)
        if decoded is None or len(decoded) > rules.body_bytes_max:
            return body_too_large(rules.body_bytes_max)
        if passed.match.route.body is BodyKind.NONE:
            yield from check_body_kind(decoded, passed.content_type, BodyKind.NONE)
        body = yield from read_request(decoded, passed.content_type, passed.match, policy)
    except (BadBodyError, ContentCodingError) as error:
        return Refusal(400, RefusalReason.BAD_BODY, str(error))
    return check_billing(body, upstream, rules.allowed_unbillable)


def check_free_body(content: bytes, passed: Pass, rules: GateRules) -> Steps[bytes | Refusal]:
    """Check the body of a request that passes free, as `check_body` does. Gives it as the engine gets it.

    An engine that leaves a body unread takes it for the next request, which nobody would have admitted. So no
    body goes on that could be one: there is none, or it is all of the kind that the route takes.
    """
    kind = passed.match.route.body
    try:
        decoded: bytes | None = content
        if kind is not BodyKind.NONE:
            decoded = yield from _decoded(content, passed.content_encoding, rules.body_bytes_max)
        if decoded is None or len(decoded) > rules.body_bytes_max:
            return body_too_large(rules.body_bytes_max)
        yield from check_body_kind(decoded, passed.content_type, kind)
    except (BadBodyError, ContentCodingError) as error:
        return Refusal(400, RefusalReason.BAD_BODY, str(error))
    return decoded


def _decoded(content: bytes, content_encoding: str, bytes_max: int) -> Steps[bytes | None]:
    """Decode a body; None: it is larger than allowed. Raises ContentCodingError."""
    decoder = open_decoder(content_encoding) if content_encoding else None
    if decoder is None:
        return content
    decoded = bytearray()
    for start in range(0, len(content), _DECODED_AT_ONCE_BYTES):
        yield
        for piece in decoder.feed(content[start : start + _DECODED_AT_ONCE_BYTES]):
            decoded += piece
            if len(decoded) > bytes_max:
                return None
            if len(decoded) > _UNFOLDED_BYTES_FREE and len(decoded) > _UNFOLDED_RATIO_MAX * len(content):
                raise ContentCodingError(
                    f"The compressed request body unfolds to more than {_UNFOLDED_RATIO_MAX} times its size."
                )
            yield
    if not decoder.complete:
        raise ContentCodingError("the compressed request body is cut short")
    return bytes(decoded)


def body_too_large(body_bytes_max: int) -> Refusal:
    """Make the refusal of a request body that is too large."""
    return Refusal(
        413, RefusalReason.BODY_TOO_LARGE, f"The request body is larger than {body_bytes_max} bytes."
    )


def too_slow(request_timeout_s: float) -> Refusal:
    """Make the refusal of a request that does not come to its end."""
    return Refusal(
        408, RefusalReason.TOO_SLOW, f"The request was not there within {request_timeout_s:g} seconds."
    )


def connect_refused() -> Refusal:
    """Make the refusal of a CONNECT request."""
    return Refusal(
        405,
        RefusalReason.CONNECT,
        "CONNECT is not supported: this proxy serves model APIs and opens no tunnels.",
        (("Allow", "GET, POST"),),
    )


def _check_peer(head: RequestHead, rules: GateRules) -> Refusal | None:
    if is_trusted(head.peer, rules.trusted_edges):
        return None
    return Refusal(
        403,
        RefusalReason.UNTRUSTED_PEER,
        "Requests are taken only from trusted edges. Your address is not one of them.",
    )


def _check_protocol(head: RequestHead) -> Refusal | None:
    if head.method == "CONNECT":
        return connect_refused()
    if "upgrade" in head.headers:
        return Refusal(
            501,
            RefusalReason.PROTOCOL_UPGRADE,
            "Protocol upgrades (WebSocket, h2c) are not supported: their traffic could not be metered.",
        )
    return None


def _check_characters(head: RequestHead) -> Refusal | None:
    """Refuse what HTTP does not allow but mitmproxy lets pass: an engine could read it in another way.

    A line break in a value, for one, begins a header of its own for some servers (RFC 9112, 5.2), and a blank
    in a path of HTTP/2 would end the path of HTTP/1.
    """
    if sum(map(len, head.headers.values())) > _HEADERS_MAX:
        return bad_http(431, f"A request may have {_HEADERS_MAX} headers.")
    if _NOT_IN_TARGETS.search(head.target):
        return bad_http(400, "The request's target has characters that are not printable ASCII.")
    if any(_CONTROL.search(value) for values in head.headers.values() for value in values):
        return bad_http(400, "A header has control characters or goes on in another line.")
    return None


def bad_http(status: int, message: str) -> Refusal:
    """Make the refusal of a request that is not well-formed HTTP."""
    return Refusal(status, RefusalReason.BAD_HTTP, message)


def _check_body_headers(head: RequestHead, rules: GateRules) -> Refusal | None:
    if any(coding.strip().lower() != "chunked" for coding in head.headers.get("transfer-encoding", ())):
        return bad_http(501, "Of transfer codings, only chunked is supported.")
    codings = head.headers.get("content-encoding", ())
    try:
        if codings:
            open_decoder(",".join(codings))
    except ContentCodingError as error:
        return Refusal(400, RefusalReason.BAD_BODY, f"{error}.")
    length = head.headers.get("content-length", ("0",))[0]
    if length.isdecimal() and int(length[:20]) > rules.body_bytes_max:
        return body_too_large(rules.body_bytes_max)
    return None
