"""Refusals: why an exchange is not let through, and what the client is told."""

import json
from dataclasses import dataclass
from enum import StrEnum

from phoebe_addon.apis.family import ErrorShape


class RefusalReason(StrEnum):
    """Why an exchange was refused; the label of the metric and the `code` in the client's error."""

    UNTRUSTED_PEER = "untrusted_peer"
    EDGE_SECRET = "edge_secret"  # noqa: S105
    IDENTITY = "identity"
    UNKNOWN_ROUTE = "unknown_route"
    UNMETERABLE = "unmeterable"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CONNECT = "connect"
    PROTOCOL_UPGRADE = "protocol_upgrade"
    NO_UPSTREAM = "no_upstream"
    MODEL_NOT_SERVED = "model_not_served"
    BAD_BODY = "bad_body"
    UNBILLABLE = "unbillable"
    BODY_TOO_LARGE = "body_too_large"
    NOT_DURABLE = "not_durable"
    NOT_READY = "not_ready"
    BUSY = "busy"
    AUTH_BUSY = "auth_busy"
    TOO_SLOW = "too_slow"
    INTERNAL = "internal"
    BAD_HTTP = "bad_http"
    UPSTREAM = "upstream"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer given in place of the engine's.

    status: HTTP status, 400 to 599. message: for the client, says what is wrong and what to do.
    headers: extra response headers (`Allow`, `Retry-After`).
    """

    status: int
    reason: RefusalReason
    message: str
    headers: tuple[tuple[str, str], ...] = ()


_OPENAI_TYPES = {403: "permission_error", 413: "request_too_large", 429: "rate_limit_error"}
# Source: the Anthropic API reference, "Errors".
_ANTHROPIC_TYPES = {
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def error_body(refusal: Refusal, shape: ErrorShape) -> bytes:
    """Put a refusal in the error shape of an API family."""
    error: dict[str, object]
    if shape is ErrorShape.ANTHROPIC:
        kind = "api_error" if refusal.status >= 500 else "invalid_request_error"
        kind = _ANTHROPIC_TYPES.get(refusal.status, kind)
        error = {"type": "error", "error": {"type": kind, "message": refusal.message}}
    elif shape is ErrorShape.TEXT:
        error = {"error": refusal.message}
    elif shape is ErrorShape.TGI:
        error = {"error": refusal.message, "error_type": refusal.reason.value}
    elif shape is ErrorShape.COHERE:
        error = {"message": refusal.message}
    else:
        kind = "server_error" if refusal.status >= 500 else "invalid_request_error"
        kind = _OPENAI_TYPES.get(refusal.status, kind)
        code = refusal.reason.value
        error = {"error": {"message": refusal.message, "type": kind, "param": None, "code": code}}
    return json.dumps(error).encode()


_RETRY_AFTER = (("Retry-After", "5"),)
STARTING = Refusal(503, RefusalReason.NOT_READY, "The proxy is starting.", _RETRY_AFTER)
STOPPING = Refusal(503, RefusalReason.NOT_READY, "The proxy is stopping.", _RETRY_AFTER)
TOO_BUSY = Refusal(503, RefusalReason.BUSY, "Too many requests are under way in this proxy.", _RETRY_AFTER)
AUTH_BUSY = Refusal(
    429,
    RefusalReason.AUTH_BUSY,
    "Too many of your requests are under way. Try again when some of them have ended.",
    _RETRY_AFTER,
)
NOT_DURABLE = Refusal(
    503, RefusalReason.NOT_DURABLE, "The request can't be recorded for billing now.", _RETRY_AFTER
)
INTERNAL_ERROR = Refusal(
    500,
    RefusalReason.INTERNAL,
    "Phoebe failed while admitting this request, so it was not forwarded. Its log has the details.",
)
