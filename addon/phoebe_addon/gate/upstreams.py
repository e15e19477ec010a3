"""Which engine serves a resource: one URL, a template, or a YAML map."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, urlsplit

import yaml

from phoebe_addon.apis.engines import ENGINES, UNDECLARED, Engine, find_engine
from phoebe_addon.formats.text_yaml import TextLoader

PLACEHOLDER = "{resource_id}"
# What may be put into a URL: nothing that could change its meaning.
_TEMPLATE_RESOURCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9._:-]+")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*")
_ENTRY_KEYS = {"url", "engine", "models", "usage"}
_USAGES = {"final": False, "continuous": True}


class UpstreamsError(ValueError):
    """The upstream setting can't be used. The message says why, all faults at once."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a resource's requests go. path_prefix: put in front of every path; empty or starts with a slash.

    engine: what is known of its kind of model server. models: the only models it serves; empty: any.
    continuous_usage: whether to ask for usage on every chunk; None: as the option `phoebe_usage` says.
    """

    scheme: str
    host: str
    port: int
    path_prefix: str = ""
    engine: Engine = UNDECLARED
    models: tuple[str, ...] = ()
    continuous_usage: bool | None = None


@dataclass(frozen=True, slots=True)
class Upstreams:
    """Upstreams by resource id, and the one for every other resource: an upstream or a URL template.

    warnings: what the operator should know of the map, a sentence each.
    """

    by_resource: Mapping[str, Upstream]
    default: Upstream | str | None = None
    warnings: tuple[str, ...] = ()

    def find(self, resource_id: str) -> Upstream | None:
        """Find the upstream of a resource; None if it has none."""
        found = self.by_resource.get(resource_id, self.default)
        if not isinstance(found, str):
            return found
        if not _TEMPLATE_RESOURCE_ID.fullmatch(resource_id):
            return None
        try:
            return parse_url(found.replace(PLACEHOLDER, resource_id))
        except UpstreamsError:  # a path that ends with {resource_id}, and the resource "v1"
            return None


def parse_url(url: str) -> Upstream:
    """Parse an upstream URL: http or https, host, optional port and path. Raises UpstreamsError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UpstreamsError(f"{_shown_url(url)}: the URL has no valid host or port") from None
    fault = _url_fault(parts)
    if fault:
        raise UpstreamsError(f"{_shown_url(url)}: {fault}")
    assert parts.hostname
    return Upstream(
        scheme=parts.scheme,
        host=parts.hostname,
        port=(443 if parts.scheme == "https" else 80) if port is None else port,
        path_prefix=parts.path.rstrip("/"),
    )


def _url_fault(parts: SplitResult) -> str | None:
    rules = (
        (
            PLACEHOLDER in parts.netloc + parts.path,
            f"{PLACEHOLDER} can be used only in the option itself and as `default: URL` of a map",
        ),
        (parts.scheme not in {"http", "https"}, "the URL must start with http:// or https://"),
        (not _HOST.fullmatch(parts.hostname or ""), "the URL has no valid host or port"),
        (parts.port == 0, "the URL has no valid host or port"),
        ("@" in parts.netloc, "the URL must not have a user name or password"),
        (bool(parts.query or parts.fragment), "the URL must not have a query or fragment"),
        (not _PATH.fullmatch(parts.path), "the URL has characters in its path that must be percent-encoded"),
        (
            parts.path.rstrip("/").endswith("/v1"),
            "the URL must not end with /v1, which is part of every request's path already",
        ),
    )
    return next((fault for broken, fault in rules if broken), None)


def parse_setting(setting: str) -> Upstreams | None:
    """Parse the option `phoebe_upstream`: a URL or a URL template. None: it is the path of a map.

    Raises UpstreamsError.
    """
    if "://" not in setting:
        return None
    return Upstreams({}, _template(setting) if PLACEHOLDER in setting else parse_url(setting))


def parse_map(text: str, source: str) -> Upstreams:
    """Parse a map from resource id to `{url, engine, models, usage}`, in YAML.

    Only `url` is required; a URL may stand in place of the mapping; the resource id `default` stands for
    every other resource and may be a template. Raises UpstreamsError with the faults of all entries.
    """
    try:
        document = yaml.load(text, TextLoader)  # noqa: S506  (it makes nothing but text)
    except (yaml.YAMLError, RecursionError) as error:
        raise UpstreamsError(f"{source}: not YAML: {error}") from None
    if not isinstance(document, dict) or not document:
        raise UpstreamsError(
            f"{source}: a mapping from resource id to {{url, engine, models, usage}} is needed"
        )
    faults: list[str] = []
    warnings: list[str] = []
    upstreams: dict[str, Upstream] = {}
    default: Upstream | str | None = None
    for key, value in document.items():
        try:
            if key == "default" and isinstance(value, str) and PLACEHOLDER in value:
                default = _template(value)
            elif key == "default":
                default = _parse_entry(value)
            else:
                upstreams[key] = _parse_entry(value)
        except UpstreamsError as error:
            faults.append(f"{source}: {_shown(key)}: {error}")
        warnings += [f"{source}: {_shown(key)}: {warning}" for warning in _entry_warnings(value)]
    if faults:
        raise UpstreamsError("\n".join(faults))
    return Upstreams(upstreams, default, tuple(warnings))


def _entry_warnings(value: object) -> list[str]:
    if not isinstance(value, dict) or not isinstance(value.get("engine"), str):
        return []
    engine = find_engine(value["engine"])
    if engine is None:
        known = ", ".join(known.name for known in ENGINES)
        return [
            f"the engine {_shown(value['engine'])} is not one of those that are known ({known}); "
            "nothing is assumed of it"
        ]
    if engine.echoes_model and not value.get("models"):
        return [
            f"{engine.name} answers with the model name the client sent, so that clients could choose "
            "their own price: nothing it serves is billed until `models` declares what it may be called"
        ]
    return []


def _template(value: str) -> str:
    parse_url(value.replace(PLACEHOLDER, "resource"))
    return value


def _parse_entry(value: object) -> Upstream:
    if isinstance(value, str):
        return parse_url(value)
    if not isinstance(value, dict):
        raise UpstreamsError("must be a URL or a mapping with the key url")
    unknown = sorted(_shown(key) for key in value if key not in _ENTRY_KEYS)
    if unknown:
        raise UpstreamsError(f"unknown key {', '.join(unknown)}; known: {', '.join(sorted(_ENTRY_KEYS))}")
    url, engine, models = value.get("url"), value.get("engine"), value.get("models", [])
    usage = value.get("usage")
    if not isinstance(url, str):
        raise UpstreamsError("url is missing or not text")
    if engine is not None and not (isinstance(engine, str) and engine):
        raise UpstreamsError("engine must be text")
    if not isinstance(models, list) or not all(isinstance(model, str) and model for model in models):
        raise UpstreamsError("models must be a list of names")
    if usage is not None and not (isinstance(usage, str) and usage in _USAGES):
        raise UpstreamsError("usage must be final or continuous")
    return replace(
        parse_url(url),
        engine=find_engine(engine) or UNDECLARED,
        models=tuple(models),
        continuous_usage=None if usage is None else _USAGES[usage],
    )


def _shown(value: object) -> str:
    return ascii(str(value)[:100])


def _shown_url(url: str) -> str:
    return _shown(re.sub(r"//.*@", "//***@", url))
