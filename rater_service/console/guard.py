"""What every answer of the console carries, and what it refuses before anything reads it."""

from dataclasses import dataclass
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rater_service.distribution import installed_version

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Phoebe-Version": installed_version(),
}
"""On every answer, errors too."""
_QUERY_BYTES_MAX = 8 * 1024


@dataclass(frozen=True, slots=True)
class Guarded:
    """Puts the headers on every answer of `inner`, and refuses what nothing is asked with.

    hosts: the values of `Host` it answers to; None: any, because callers are asked who they are.
    """

    inner: ASGIApp
    hosts: frozenset[str] | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (name.lower().encode(), value.encode())
                        for name, value in HEADERS.items()
                        if name.lower().encode() not in given
                    ),
                ]
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self.inner)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        hosts = Headers(scope=scope).getlist("host")
        if self.hosts is not None and (len(hosts) != 1 or hosts[0].lower() not in self.hosts):
            # A page of somebody else, whose name was made to lead here, would read bills.
            return PlainTextResponse("The console answers to its own address only.\n", 421)
        if len(scope["query_string"]) > _QUERY_BYTES_MAX:
            return PlainTextResponse("The address is too long.\n", 414)
        return None


def own_hosts(host: str, port: int) -> frozenset[str] | None:
    """Give the values of `Host` under which a console on loopback is reached; None for one beyond it."""
    bare = host.removeprefix("[").removesuffix("]")
    try:
        is_loopback = bare == "localhost" or ip_address(bare).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        return None
    names = {"127.0.0.1", "[::1]", "localhost", f"[{bare}]" if ":" in bare else bare}
    return frozenset(f"{name}:{port}" for name in names)
