"""The operator's own routes: a YAML file that adds to the built-in ones or takes their place.

metered:
  POST /team-a/v1/chat/completions: POST /v1/chat/completions   # metered like the built-in route
free:
  - GET /docs
  - POST /v1/files: form           # what its body must be: json (the default), form or none
refused:
  POST /v1/audio/transcriptions: transcriptions are not offered here
"""

from dataclasses import replace

import yaml

from phoebe_addon.formats.text_yaml import TextLoader
from phoebe_addon.gate.built_in_routes import built_in_routes
from phoebe_addon.gate.routes import (
    METHODS_WITH_BODY,
    BodyKind,
    Route,
    RouteError,
    RouteTable,
    make_route,
)
from phoebe_runtime.errors import OperatorError

_KEYS = ("metered", "free", "refused")


class RoutesFileError(OperatorError):
    """The file can't be used. The message says why, all faults at once."""


def parse_routes(text: str, source: str) -> RouteTable:
    """Parse the text of a routes file. Raises RoutesFileError."""
    try:
        document = yaml.load(text, TextLoader)  # noqa: S506  (it makes nothing but text)
    except (yaml.YAMLError, RecursionError) as error:
        raise RoutesFileError(f"{source}: not YAML: {error}") from None
    if not isinstance(document, dict) or not document:
        raise RoutesFileError(f"{source}: a mapping with the keys {', '.join(_KEYS)} is needed")
    if unknown := [ascii(str(key)[:100]) for key in document if key not in _KEYS]:
        raise RoutesFileError(f"{source}: unknown key {', '.join(unknown)}; known: {', '.join(_KEYS)}")
    reader = _Reader(source)
    routes = [
        *reader.metered(document.get("metered", {})),
        *reader.free(document.get("free", [])),
        *reader.refused(document.get("refused", {})),
    ]
    if reader.faults:
        raise RoutesFileError("\n".join(reader.faults))
    return RouteTable((*built_in_routes(), *routes))


class _Reader:
    """Reads the three lists and collects what is wrong with them."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._built_in = {f"{route.method} {route.path}": route for route in built_in_routes()}
        self.faults: list[str] = []

    def metered(self, entries: object) -> list[Route]:
        routes: list[Route] = []
        for name, model in self._pairs("metered", entries):
            like = self._built_in.get(model)
            if like is None or not like.families:
                self._fault(f"metered: {name}: {model[:100]!a} is not a built-in metered route")
            elif (route := self._route(name)) and route.method not in METHODS_WITH_BODY:
                self._fault(f"metered: {name}: a {route.method} has no body to read the model from")
            elif route:
                routes.append(Route(route.method, route.path, like.families))
        return routes

    def free(self, entries: object) -> list[Route]:
        if not isinstance(entries, list):
            self._fault("free: must be a list of routes")
            return []
        return [route for entry in entries if (route := self._free_route(entry))]

    def _free_route(self, entry: object) -> Route | None:
        """Read `METHOD /path`, or `METHOD /path: kind of body`."""
        if isinstance(entry, str):
            return self._route(entry)
        name, word = next(iter(entry.items())) if isinstance(entry, dict) and len(entry) == 1 else ("", entry)
        kind = next((kind for kind in BodyKind if kind == word), None)
        if kind is None:
            kinds, shown = ", ".join(BodyKind), ascii(str(word)[:100])
            self._fault(
                f"free: must be a list of routes, alone or with the kind of their body ({kinds}), not {shown}"
            )
            return None
        route = self._route(name)
        if route and route.method not in METHODS_WITH_BODY and kind is not BodyKind.NONE:
            self._fault(f"free: {name}: a {route.method} has no body")
            return None
        return replace(route, free_body=kind) if route else None

    def refused(self, entries: object) -> list[Route]:
        pairs = self._pairs("refused", entries)
        return [
            Route(route.method, route.path, why_refused=why)
            for name, why in pairs
            if (route := self._route(name))
        ]

    def _pairs(self, key: str, entries: object) -> list[tuple[str, str]]:
        if not isinstance(entries, dict) or not all(isinstance(value, str) for value in entries.values()):
            self._fault(f"{key}: must be a mapping from route to text")
            return []
        return list(entries.items())

    def _route(self, name: str) -> Route | None:
        try:
            return make_route(name)
        except RouteError as error:
            self._fault(str(error))
            return None

    def _fault(self, text: str) -> None:
        self.faults.append(f"{self._source}: {text}")
