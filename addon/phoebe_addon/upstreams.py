"""Which engine serves a resource: one URL, a template, or a YAML map.

Parsing and looking up are pure; `UpstreamsFile` reads the map from disk and notices when it changes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import yaml

PLACEHOLDER = "{resource_id}"
# What may be put into a URL: nothing that could change its meaning.
_TEMPLATE_RESOURCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_ENTRY_KEYS = {"url", "engine", "models"}


class UpstreamsError(ValueError):
    """The upstream setting can't be used. The message says why, all faults at once."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a resource's requests go. path_prefix: put in front of every path; empty or starts with a slash.

    engine: the model server's kind, as declared. models: the only models it serves; empty: any.
    """

    scheme: str
    host: str
    port: int
    path_prefix: str = ""
    engine: str | None = None
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Upstreams:
    """Upstreams by resource id, and the one for every other resource: an upstream or a URL template."""

    by_resource: Mapping[str, Upstream]
    default: Upstream | str | None = None

    def find(self, resource_id: str) -> Upstream | None:
        """Find the upstream of a resource; None if it has none."""
        found = self.by_resource.get(resource_id, self.default)
        if not isinstance(found, str):
            return found
        if not _TEMPLATE_RESOURCE_ID.fullmatch(resource_id):
            return None
        return parse_url(found.replace(PLACEHOLDER, resource_id))


def parse_url(url: str) -> Upstream:
    """Parse an upstream URL: http or https, host, optional port and path. Raises UpstreamsError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UpstreamsError(f"{_shown(url)}: {error}") from None
    fault = _url_fault(parts)
    if fault:
        raise UpstreamsError(f"{_shown(url)}: {fault}")
    assert parts.hostname
    return Upstream(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or (443 if parts.scheme == "https" else 80),
        path_prefix=parts.path.rstrip("/"),
    )


def _url_fault(parts: SplitResult) -> str | None:
    if parts.scheme not in {"http", "https"}:
        return "the URL must start with http:// or https://"
    if not parts.hostname or not re.fullmatch(r"[A-Za-z0-9._:-]+", parts.hostname):
        return "the URL has no valid host"
    if parts.username is not None or parts.password is not None:
        return "the URL must not have a user name or password"
    if parts.query or parts.fragment:
        return "the URL must not have a query or fragment"
    if parts.path.rstrip("/").endswith("/v1"):
        return "the URL must not end with /v1, which is part of every request's path already"
    return None


def parse_setting(setting: str) -> Upstreams | Path:
    """Parse the option `phoebe_upstream`: a URL, a URL template, or the path of a map (returned as such)."""
    if "://" not in setting:
        return Path(setting).expanduser()
    if PLACEHOLDER in setting:
        parse_url(setting.replace(PLACEHOLDER, "resource"))
        return Upstreams({}, setting)
    return Upstreams({}, parse_url(setting))


def parse_map(text: str, source: str) -> Upstreams:
    """Parse a map from resource id to `{url, engine, models}`, in YAML.

    Only `url` is required; a URL may stand in place of the mapping; the resource id `default` stands for
    every other resource and may be a template. Raises UpstreamsError with all faults.
    """
    try:
        document = yaml.load(text, _UniqueKeyLoader)  # noqa: S506  (a SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise UpstreamsError(f"{source}: not YAML: {error}") from None
    if not isinstance(document, dict) or not document:
        raise UpstreamsError(f"{source}: a mapping from resource id to {{url, engine, models}} is needed")
    faults: list[str] = []
    upstreams: dict[str, Upstream] = {}
    default: Upstream | str | None = None
    for key, value in document.items():
        try:
            if key == "default" and isinstance(value, str) and PLACEHOLDER in value:
                default = _template(value)
            elif key == "default":
                default = _parse_entry(value)
            else:
                upstreams[_resource_id(key)] = _parse_entry(value)
        except UpstreamsError as error:
            faults.append(f"{source}: {_shown(key)}: {error}")
    if faults:
        raise UpstreamsError("\n".join(faults))
    return Upstreams(upstreams, default)


def _template(value: str) -> str:
    parse_url(value.replace(PLACEHOLDER, "resource"))
    return value


def _resource_id(key: object) -> str:
    if not isinstance(key, str) or not key:
        raise UpstreamsError("a resource id must be text (put it in quotes)")
    return key


def _parse_entry(value: object) -> Upstream:
    if isinstance(value, str):
        return parse_url(value)
    if not isinstance(value, dict):
        raise UpstreamsError("must be a URL or a mapping with the key url")
    unknown = sorted(_shown(key) for key in value if key not in _ENTRY_KEYS)
    if unknown:
        raise UpstreamsError(f"unknown key {', '.join(unknown)}; known: {', '.join(sorted(_ENTRY_KEYS))}")
    url, engine, models = value.get("url"), value.get("engine"), value.get("models", [])
    if not isinstance(url, str):
        raise UpstreamsError("url is missing or not text")
    if engine is not None and not isinstance(engine, str):
        raise UpstreamsError("engine must be text")
    if not isinstance(models, list) or not all(isinstance(model, str) and model for model in models):
        raise UpstreamsError("models must be a list of names")
    parsed = parse_url(url)
    return Upstream(parsed.scheme, parsed.host, parsed.port, parsed.path_prefix, engine, tuple(models))


class UpstreamsFile:
    """A map on disk, read again when it changed. Raises UpstreamsError if it can't be read at first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, int] | None = None
        self.upstreams = Upstreams({})
        self.refresh()

    def refresh(self) -> bool:
        """Read the map if it changed since it was last read, and say whether it had.

        Raises UpstreamsError for a map that can't be used; the one in use stays.
        """
        try:
            status = self._path.stat()
            version = (status.st_mtime_ns, status.st_size)
            if version == self._version:
                return False
            self._version = version
            self.upstreams = parse_map(self._path.read_text("utf-8"), str(self._path))
        except (OSError, UnicodeDecodeError) as error:
            raise UpstreamsError(f"{self._path}: can't be read: {error}") from None
        return True


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses duplicate keys instead of taking the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.value in seen if isinstance(key_node, yaml.ScalarNode) else False:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {_shown(key_node.value)}", key_node.start_mark
                )
            if isinstance(key_node, yaml.ScalarNode):
                seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def _shown(value: object) -> str:
    return ascii(str(value)[:100])
