"""Which engine serves a resource: one URL, a template, or a YAML map."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, urlsplit

import yaml

from phoebe_addon.apis.engines import UNDECLARED, Engine, UnknownEngineError, named_engine
from phoebe_addon.formats.text_yaml import TextLoader
from phoebe_addon.gate.declared import NOTHING_DECLARED, UNSAID, Declared
from phoebe_addon.gate.request_body import Asking
from phoebe_runtime.errors import OperatorError

PLACEHOLDER = "{resource_id}"
# What may be put into a URL: nothing that could change its meaning.
_TEMPLATE_RESOURCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9._:-]+")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*")
_SHOWN_MAX = 10
_ENTRY_KEYS = {"url", "engine", "models", "usage"}


class UpstreamsError(OperatorError):
    """The upstream setting can't be used. The message says why, all faults at once."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a resource's requests go. path_prefix: put in front of every path; empty or starts with a slash.

    engine: what is known of its kind of model server. models: the only models it serves; empty: any. asking:
    what it is asked for in streams; None: as the option `phoebe_usage` says.
    """

    scheme: str
    host: str
    port: int
    path_prefix: str = ""
    engine: Engine = UNDECLARED
    models: tuple[str, ...] = ()
    asking: Asking | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """A URL with a place for the resource's id. declared: what holds for all its resources."""

    url: str
    declared: Declared = UNSAID

    def find(self, resource_id: str) -> Upstream | None:
        """Make the upstream of a resource; None: its id can't be put into the URL."""
        if not _TEMPLATE_RESOURCE_ID.fullmatch(resource_id):
            return None
        try:
            return declare(parse_url(self.url.replace(PLACEHOLDER, resource_id)), self.declared)
        except UpstreamsError:  # a path that ends with {resource_id}, and the resource "v1"
            return None


@dataclass(frozen=True, slots=True)
class Upstreams:
    """Upstreams by resource id, and the one for every other resource: an upstream or a template.

    warnings: what the operator should know of the map, a sentence each.
    """

    by_resource: Mapping[str, Upstream]
    default: Upstream | Template | None = None
    warnings: tuple[str, ...] = ()

    def find(self, resource_id: str) -> Upstream | None:
        """Find the upstream of a resource; None if it has none."""
        found = self.by_resource.get(resource_id, self.default)
        return found.find(resource_id) if isinstance(found, Template) else found


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


def parse_setting(setting: str, declared: Declared = UNSAID) -> Upstreams | None:
    """Parse the option `phoebe_upstream`: a URL or a URL template. None: it is the path of a map.

    declared: what is said of the model server. Raises UpstreamsError.
    """
    return None if "://" not in setting else single(_parse_url(setting, declared), declared)


def single(upstream: Upstream | Template, declared: Declared) -> Upstreams:
    """Make upstreams of one that serves all resources."""
    return Upstreams({}, upstream, tuple(declared.warnings()))


def declare(upstream: Upstream, declared: Declared) -> Upstream:
    """Say of an upstream what is declared."""
    return replace(upstream, engine=declared.engine, models=declared.models, asking=declared.asking)


def _parse_url(url: str, declared: Declared) -> Upstream | Template:
    if PLACEHOLDER not in url:
        return declare(parse_url(url), declared)
    parse_url(url.replace(PLACEHOLDER, "resource"))
    return Template(url, declared)


def parse_map(text: str, source: str) -> Upstreams:
    """Parse a map from resource id to `{url, engine, models, usage}`, in YAML.

    Only `url` is required; a URL may stand in place of the mapping; the resource id `default` stands for
    every other resource and its URL may be a template. Raises UpstreamsError with the faults of all entries.
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
    undeclared: list[str] = []
    upstreams: dict[str, Upstream] = {}
    default: Upstream | Template | None = None
    for key, value in document.items():
        try:
            url, declared = _parse_entry(value)
            if key == "default":
                default = _parse_url(url, declared)
            else:
                upstreams[key] = declare(parse_url(url), declared)
        except UpstreamsError as error:
            faults.append(f"{source}: {_shown(key)}: {error}")
        else:
            if declared.says_nothing():
                undeclared.append(_shown(key))
            else:
                warnings += [f"{source}: {_shown(key)}: {warning}" for warning in declared.warnings()]
    if undeclared:
        more = f" and {len(undeclared) - _SHOWN_MAX} more" if len(undeclared) > _SHOWN_MAX else ""
        warnings.append(f"{source}: {', '.join(undeclared[:_SHOWN_MAX])}{more}: {NOTHING_DECLARED}")
    if faults:
        raise UpstreamsError("\n".join(faults))
    return Upstreams(upstreams, default, tuple(warnings))


def _parse_entry(value: object) -> tuple[str, Declared]:
    """Read the URL of an entry, and what it declares."""
    if isinstance(value, str):
        return value, UNSAID
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
    if usage is not None and not (isinstance(usage, str) and usage in set(Asking)):
        raise UpstreamsError(f"usage must be one of {', '.join(Asking)}")
    try:
        known_engine = named_engine(engine)
    except UnknownEngineError as error:
        raise UpstreamsError(str(error)) from None
    return url, Declared(known_engine, tuple(models), Asking(usage) if usage else None)


def _shown(value: object) -> str:
    return ascii(str(value)[:100])


def _shown_url(url: str) -> str:
    return _shown(re.sub(r"//.*@", "//***@", url))
