"""OPTIONS requests, which the proxy answers itself: browsers ask so whether a page may call an API.

A browser sends no credentials with such a request (Fetch standard, "CORS-preflight fetch"), so the edge can't
say whose it is. It costs nothing, names nobody, and no engine hears of it. What a page may read of the answer
to its real request, the engine says in that answer.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from phoebe_addon.gate.refusal import Refusal, RefusalReason
from phoebe_addon.gate.routes import RouteTable

# How long a browser may remember the answer. Browsers cap it themselves, Chromium at 7200.
_MAX_AGE_S = 600
_HEADER_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")


@dataclass(frozen=True, slots=True)
class Preflight:
    """The answer to an OPTIONS request: 204 with these headers and no body."""

    headers: tuple[tuple[str, str], ...]


ANY_ORIGIN = "*"
_ORIGIN = re.compile(r"https?://(?:[0-9a-z._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")


def is_origin(text: str) -> bool:
    """Whether a text is an origin as browsers write it, such as https://chat.example.com, or any."""
    return text == ANY_ORIGIN or _ORIGIN.fullmatch(text) is not None


def answer_preflight(
    path: str, headers: Mapping[str, Sequence[str]], routes: RouteTable, origins: frozenset[str]
) -> Preflight | Refusal:
    """Say what a path takes. headers: every value of each header, by lower-case name.

    origins: whose pages may call what is served, with whatever headers they ask for; to others nothing is
    said of that, which browsers take for a no. A Refusal (404) if nothing is served on the path.
    """
    methods = routes.methods(path)
    if not methods:
        found = routes.find("OPTIONS", path)
        assert isinstance(found, Refusal)
        return found
    if _has_body(headers):
        return Refusal(400, RefusalReason.BAD_BODY, "An OPTIONS request has no body.")
    allowed = ", ".join((*methods, "OPTIONS"))
    answer = [("Allow", allowed)]
    origin = ",".join(headers.get("origin", ()))
    if ANY_ORIGIN not in origins:
        answer.append(("Vary", "Origin"))
    if origin and (origin in origins or ANY_ORIGIN in origins):
        answer += [
            ("Access-Control-Allow-Origin", ANY_ORIGIN if ANY_ORIGIN in origins else origin),
            ("Access-Control-Allow-Methods", allowed),
            ("Access-Control-Max-Age", str(_MAX_AGE_S)),
        ]
        asked = ",".join(headers.get("access-control-request-headers", ()))
        if _HEADER_NAMES.fullmatch(asked):
            answer.append(("Access-Control-Allow-Headers", asked))
    return Preflight(tuple(answer))


def _has_body(headers: Mapping[str, Sequence[str]]) -> bool:
    lengths = headers.get("content-length", ())
    return "transfer-encoding" in headers or any(length.strip() not in {"", "0"} for length in lengths)
