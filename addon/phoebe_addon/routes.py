"""Which requests are metered, which pass free, and how everything else is refused."""

import re
from dataclasses import dataclass
from enum import StrEnum

from .refusal import Refusal, RefusalReason


class Api(StrEnum):
    """The API family of a metered route; the event's `api`."""

    OPENAI_CHAT = "openai.chat"
    OPENAI_COMPLETIONS = "openai.completions"


@dataclass(frozen=True, slots=True)
class Route:
    """A method and an exact path. api: the metered API family; None: passes free and makes no event."""

    method: str
    path: str
    api: Api | None


# A trailing slash in the path stands for a model's name, which may have slashes. None of its segments may be
# empty or made of dots only: servers on the way could resolve such a path to one that is not on this list.
_MODEL_NAME = re.compile(r"(?:(?!\.+(?:/|$))[A-Za-z0-9._~:@+-]+(?:/(?!$)|$))+")
ROUTES = (
    Route("POST", "/v1/chat/completions", Api.OPENAI_CHAT),
    Route("POST", "/v1/completions", Api.OPENAI_COMPLETIONS),
    Route("GET", "/v1/models", None),
    Route("GET", "/v1/models/", None),
    Route("GET", "/health", None),
    Route("GET", "/version", None),
)


def _matches(route: Route, path: str) -> bool:
    if route.path.endswith("/"):
        return path.startswith(route.path) and bool(_MODEL_NAME.fullmatch(path, len(route.path)))
    return path == route.path


def find_route(method: str, path: str) -> Route | Refusal:
    """Find the route of a request.

    path: the request target without query, exactly as sent: an encoded character or a doubled slash matches
    nothing.
    A Refusal is 405 (with Allow) when only the method is wrong, else 404.
    """
    candidates = [route for route in ROUTES if _matches(route, path)]
    for route in candidates:
        if route.method == method:
            return route
    if candidates:
        allowed = ", ".join(sorted({route.method for route in candidates}))
        return Refusal(
            405,
            RefusalReason.METHOD_NOT_ALLOWED,
            f"{_shown(method)} is not allowed here; allowed: {allowed}.",
            (("Allow", allowed),),
        )
    return Refusal(
        404,
        RefusalReason.UNKNOWN_ROUTE,
        f"{_shown(method)} {_shown(path)} is not an API this proxy meters, so it is not forwarded.",
    )


def _shown(text: str) -> str:
    return ascii(text[:100])[1:-1]
