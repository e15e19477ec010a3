"""Which requests are metered, which pass free, which are refused, and why. Everything else is refused too.

The lists are data: `built_in_routes` has those of every proxy, `routes_file` reads an operator's own. A route
is a method and a path: `POST /v1/chat/completions`. In a path, `{name}` is one segment, `{name...}` one or
more, as in a model's name that has slashes. Where GET is free, HEAD is.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import unquote

from phoebe_addon.apis.family import ErrorShape, Family
from phoebe_addon.gate.refusal import Refusal, RefusalReason


class BodyKind(StrEnum):
    """What the body of a request must be."""

    NONE = "none"
    JSON = "json"
    JSON_OR_NONE = "json_or_none"
    FORM = "form"


METHODS_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
"""Methods whose requests have a body. To the body of any other HTTP gives no meaning (RFC 9110, 9.3.1).

Some servers leave such a body unread, and take it for the next request on the connection.
"""


@dataclass(frozen=True, slots=True)
class Route:
    """A route. families: those that can be meant, none if it passes free. why_refused: None if it is not.

    A path with several families tells them apart by the members of the request's body. free_body: what the
    body of a request must be that passes free; None: a JSON object where the method has a body.
    """

    method: str
    path: str
    families: tuple[Family, ...] = ()
    why_refused: str | None = None
    free_body: BodyKind | None = None

    @property
    def body(self) -> BodyKind:
        """What the body of a request must be."""
        if self.method not in METHODS_WITH_BODY:
            return BodyKind.NONE
        if self.families:
            return BodyKind.FORM if self.families[0].request.form else BodyKind.JSON
        return self.free_body or BodyKind.JSON


@dataclass(frozen=True, slots=True)
class Match:
    """A request's route. parameters: what stands in its path for `{name}`."""

    route: Route
    parameters: Mapping[str, str]


class RouteError(ValueError):
    """A route is not written as one."""


# Official clients encode the slashes of a model's name.
_SLASH = "(?:/|%2[Ff])"
# No segment may be empty or made of dots only: servers on the way could resolve such a path to another one.
_SEGMENT = rf"(?!\.+(?:{_SLASH}|$))[A-Za-z0-9._~:@+-]+"
_SEGMENTS_MAX = 16  # no route has as many; a path may have thousands
_PARAMETER = re.compile(r"\{([a-z_]+)(\.\.\.)?\}")
_ROUTE = re.compile(r"([A-Z]+) (/[^\s?#]*)")


class _Pattern:
    """A path with parameters.

    Its expression is made when a path first begins as it does: there are many, and few of them are asked for.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._beginning = path[: path.index("{")]
        self._expression: re.Pattern[str] | None = None

    def parameters_of(self, path: str) -> Mapping[str, str] | None:
        """Find what stands in a request's path for the parameters; None: the path is another one."""
        if not path.startswith(self._beginning):
            return None
        if self._expression is None:
            self._expression = _expression(self._path)
        match = self._expression.fullmatch(path)
        return match and {name: unquote(value) for name, value in match.groupdict().items()}


class RouteTable:
    """All routes of a proxy. A path without parameters goes before one with; else the last added holds."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, dict[str, Route]] = {}  # by path and method
        self._patterns: dict[str, tuple[_Pattern, dict[str, Route]]] = {}
        # Error shapes of metered paths, by the beginning of a path and how many segments follow it.
        self._shapes: dict[str, dict[int, set[ErrorShape]]] = {}
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        for follow, begin in enumerate(_beginnings(route.path) if route.families else ()):
            shapes = self._shapes.setdefault(begin, {}).setdefault(follow, set())
            shapes.update(family.errors for family in route.families)
        if "{" in route.path:
            _, methods = self._patterns.setdefault(route.path, (_Pattern(route.path), {}))
        else:
            methods = self._exact.setdefault(route.path, {})
        methods[route.method] = route
        if route.method == "GET" and not route.families:
            methods["HEAD"] = replace(route, method="HEAD")

    def routes(self) -> list[Route]:
        """List all routes."""
        exact = [route for methods in self._exact.values() for route in methods.values()]
        return exact + [route for _, methods in self._patterns.values() for route in methods.values()]

    def find(self, method: str, path: str) -> Match | Refusal:
        """Find the route of a request.

        path: the request target without query, exactly as sent: an encoded character (but for a slash in
        `{name...}`) or a doubled slash matches nothing. A Refusal is 405 (with Allow) when only the method is
        wrong, else 404.
        """
        allowed: set[str] = set()
        for methods, parameters in self._matching(path):
            route = methods.get(method)
            if route is None:
                allowed |= {name for name, each in methods.items() if each.why_refused is None}
            elif route.why_refused is None:
                return Match(route, parameters)
            else:
                return _not_served(method, path, route.why_refused)
        return _unknown(method, path, allowed)

    def methods(self, path: str) -> tuple[str, ...]:
        """List the methods that are served on a path, in order of the alphabet."""
        first: dict[str, Route] = {}
        for methods, _ in self._matching(path):
            first = dict(methods) | first
        return tuple(sorted(name for name, route in first.items() if route.why_refused is None))

    def error_shape(self, path: str) -> ErrorShape:
        """Find what errors look like for the clients of a path.

        Of a path that is not metered, they look as on the shortest metered paths that begin as it does, if
        those agree.
        """
        shapes = [
            family.errors
            for methods, _ in self._matching(path)
            for route in methods.values()
            for family in route.families
        ]
        if shapes:
            return shapes[0]
        known = (self._shapes[begin] for begin in _beginnings(path) if begin in self._shapes)
        by_length = next(known, {0: set[ErrorShape]()})
        alike = by_length[min(by_length)]
        return next(iter(alike)) if len(alike) == 1 else ErrorShape.OPENAI

    def _matching(self, path: str) -> Iterator[tuple[Mapping[str, Route], Mapping[str, str]]]:
        """Find the routes of a path by method, and the parameters in it; what goes before comes first."""
        exact = self._exact.get(path)
        if exact:
            yield exact, {}
            return
        for pattern, methods in reversed(self._patterns.values()):
            parameters = pattern.parameters_of(path)
            if parameters is not None:
                yield methods, parameters


def make_route(
    name: str,
    families: tuple[Family, ...] = (),
    why_refused: str | None = None,
    free_body: BodyKind | None = None,
) -> Route:
    """Make a route of its name, `METHOD /path`. Raises RouteError."""
    match = _ROUTE.fullmatch(name)
    if match is None:
        raise RouteError(f"{_shown(name)}: must be a method and a path, such as POST /v1/chat/completions")
    method, path = match.groups()
    if "{" in _PARAMETER.sub("", path) or "}" in _PARAMETER.sub("", path):
        raise RouteError(f"{_shown(name)}: a parameter is written {{name}} or {{name...}}")
    parameters = [parameter for parameter, _ in _PARAMETER.findall(path)]
    if len(parameters) > len(set(parameters)):
        raise RouteError(f"{_shown(name)}: two parameters have the same name")
    return Route(method, path, families, why_refused, free_body)


def _beginnings(path: str) -> list[str]:
    """List the beginnings of a path that end in a segment, the longest first."""
    segments = path.split("/")[:_SEGMENTS_MAX]
    return ["/".join(segments[:count]) for count in range(len(segments), 1, -1) if segments[count - 1]]


def _expression(path: str) -> re.Pattern[str]:
    parts: list[str] = []
    position = 0
    for match in _PARAMETER.finditer(path):
        name, several = match.groups()
        segments = f"{_SEGMENT}(?:{_SLASH}{_SEGMENT})*" if several else _SEGMENT
        parts += (re.escape(path[position : match.start()]), f"(?P<{name}>{segments})")
        position = match.end()
    return re.compile("".join([*parts, re.escape(path[position:])]))


def _not_served(method: str, path: str, why: str) -> Refusal:
    return Refusal(404, RefusalReason.UNMETERABLE, f"{_shown(method)} {_shown(path)} is not served: {why}.")


def _unknown(method: str, path: str, methods: Iterable[str]) -> Refusal:
    allowed = ", ".join(sorted(methods))
    if allowed:
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
