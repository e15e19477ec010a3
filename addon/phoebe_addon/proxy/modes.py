"""mitmproxy's modes: only a reverse proxy can be metered."""

from collections.abc import Sequence

from mitmproxy.proxy import mode_specs

from phoebe_addon.gate.declared import Declared
from phoebe_addon.gate.upstreams import Upstream, Upstreams, declare, single

# Where mitmproxy believes to forward to when Phoebe made it a reverse proxy. Nothing goes there: the guard
# lets pass only flows whose upstream Phoebe has set. The name can't be resolved (RFC 6761).
NO_UPSTREAM = "http://upstream.invalid"


class ModeError(ValueError):
    """A mode carries traffic past the gate. The message names it and says what to do."""


def check_modes(modes: Sequence[str]) -> None:
    """Check that mitmproxy's `mode` option names reverse proxies for HTTP, or the default mode.

    Raises ModeError.
    """
    for mode in map(mode_specs.ProxyMode.parse, modes):
        reverse = isinstance(mode, mode_specs.ReverseMode) and mode.scheme in {"http", "https"}
        if not (reverse or isinstance(mode, mode_specs.RegularMode)):
            raise ModeError(f"--mode {mode.full_spec} can't be metered: give reverse:http(s)://… or none")


def without_http3(modes: Sequence[str]) -> bool:
    """Let mitmproxy listen on TCP only, for each of these modes. Returns whether any would have taken UDP.

    For `reverse:https://…` it would also take HTTP/3 over UDP, where it can't ask engines that speak another
    HTTP. It keeps what it has parsed, and asks that when it begins to listen.
    """
    found = [
        mode
        for mode in map(mode_specs.ProxyMode.parse, modes)
        if isinstance(mode, mode_specs.ReverseMode) and mode.transport_protocol != mode_specs.TCP
    ]
    for mode in found:
        mode.transport_protocol = mode_specs.TCP
    return bool(found)


def upstreams_of(modes: Sequence[str], declared: Declared) -> Upstreams:
    """Return the upstream that `--mode reverse:URL` names, for every resource. declared: what is known of it.

    Raises ModeError if that is not the only mode.
    """
    parsed = [mode_specs.ProxyMode.parse(mode) for mode in modes]
    mode = parsed[0] if len(parsed) == 1 else None
    if not isinstance(mode, mode_specs.ReverseMode) or mode.data == NO_UPSTREAM:
        raise ModeError("no model server: give --mode reverse:http://HOST:PORT or --set phoebe_upstream=URL")
    return single(declare(Upstream(mode.scheme, *mode.address), declared), declared)


def reversed_modes(modes: Sequence[str]) -> list[str]:
    """Return the same modes with every default mode made a reverse proxy, on the address it listens on."""
    return [_reversed(mode_specs.ProxyMode.parse(mode)) for mode in modes]


def _reversed(mode: mode_specs.ProxyMode) -> str:
    if isinstance(mode, mode_specs.ReverseMode):
        return mode.full_spec
    listen = mode.full_spec.partition("@")[2]
    return f"reverse:{NO_UPSTREAM}{f'@{listen}' if listen else ''}"
