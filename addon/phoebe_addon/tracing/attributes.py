"""What spans say of an exchange, by the names of OpenTelemetry's semantic conventions.

HTTP: https://opentelemetry.io/docs/specs/semconv/http/http-spans/, which is stable. `gen_ai`:
https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/, which is not: only names are used here that
have stayed. What these have no name for begins with `phoebe.`.

No text of a request or an answer, no header and no query of an URL is in any of them.
"""

from mitmproxy import http

from phoebe_addon.exchange.admission import Admission
from phoebe_addon.gate.gate import Pass
from phoebe_addon.gate.identity import Identity
from phoebe_addon.gate.upstreams import Upstream
from phoebe_proto.v1.metering_pb2 import MeteringEvent

type Attributes = dict[str, str | int | bool | tuple[str, ...]]

_PATH_CHARS_MAX = 200
_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"}
)
# By the last word of an API's name. Another API's word is its operation's name.
_OPERATIONS = {
    "messages": "chat",
    "responses": "chat",
    "embed": "embeddings",
    "encode": "embeddings",
    "completions": "text_completion",
    "completion": "text_completion",
    "generate": "text_completion",
}


def operation_of(api: str) -> str:
    """Give the name of what an API does: `chat`, `embeddings`, `text_completion`, or its own word."""
    word = api.rpartition(".")[2]
    return _OPERATIONS.get(word, word)


def of_request(request: http.Request, passed: Pass | None, *, encrypted: bool) -> Attributes:
    """Describe a request as it came. passed: None if its head was refused."""
    found: Attributes = {
        "http.request.method": _method(request),
        "url.path": _path(request),
        "url.scheme": "https" if encrypted else "http",
        "network.protocol.version": request.http_version.removeprefix("HTTP/").removesuffix(".0"),
    }
    if passed:
        found["http.route"] = passed.match.route.path
        found["phoebe.resource_id"] = passed.identity.resource_id
    return found


def name_of_request(request: http.Request, passed: Pass | None) -> str:
    """Name the span of a request: of few different names, whatever clients ask for."""
    method = request.method if request.method in _METHODS else "HTTP"
    return f"{method} {passed.match.route.path}" if passed else method


def of_identity(identity: Identity) -> Attributes:
    """Say who pays and who asks."""
    named = {"auth_id": identity.auth_id, "user_id": identity.user_id, "group_id": identity.group_id}
    return {f"phoebe.{name}": value for name, value in named.items() if value}


def of_call(request: http.Request, upstream: Upstream, admission: Admission | None) -> Attributes:
    """Describe a request as its engine is asked. admission: None if it passes free."""
    found: Attributes = {
        "http.request.method": _method(request),
        "server.address": upstream.host,
        "server.port": upstream.port,
        "url.full": f"{upstream.scheme}://{upstream.host}:{upstream.port}{_path(request)}",
    }
    if admission:
        found["gen_ai.operation.name"] = operation_of(admission.api)
        found["gen_ai.provider.name"] = upstream.engine.name
        if admission.requested_model:
            found["gen_ai.request.model"] = admission.requested_model
    return found


def name_of_call(request: http.Request, admission: Admission | None) -> str:
    """Name the span of a call. Of models only declared ones are in it: clients can invent any number."""
    if admission is None:
        return _method(request)
    operation = operation_of(admission.api)
    declared = admission.requested_model in admission.served_models
    return f"{operation} {admission.requested_model}" if declared else operation


def of_event(event: MeteringEvent) -> Attributes:
    """Say what an engine answered, and what it cost in tokens."""
    found: Attributes = {"phoebe.outcome": event.outcome, "phoebe.streamed": event.streamed}
    if event.HasField("status_code"):
        found["http.response.status_code"] = event.status_code
    if event.model_id:
        found["gen_ai.response.model"] = event.model_id
    if event.finish_reason:
        found["gen_ai.response.finish_reasons"] = (event.finish_reason,)
    if event.HasField("prompt_tokens"):
        found["gen_ai.usage.input_tokens"] = event.prompt_tokens
    if event.HasField("completion_tokens"):
        found["gen_ai.usage.output_tokens"] = event.completion_tokens
    return found


def _method(request: http.Request) -> str:
    return request.method if request.method in _METHODS else "_OTHER"


def _path(request: http.Request) -> str:
    return request.path.partition("?")[0][:_PATH_CHARS_MAX]
