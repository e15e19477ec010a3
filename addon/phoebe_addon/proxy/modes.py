"""mitmproxy's modes: only a reverse proxy can be metered."""

from collections.abc import Sequence

from mitmproxy.proxy import mode_specs

from phoebe_addon.gate.upstreams import Upstream

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


def upstream_of(modes: Sequence[str]) -> Upstream | None:
    """Return the upstream that `--mode reverse:URL` names, if it is the only mode."""
    parsed = [mode_specs.ProxyMode.parse(mode) for mode in modes]
    mode = parsed[0] if len(parsed) == 1 else None
    if not isinstance(mode, mode_specs.ReverseMode) or mode.data == NO_UPSTREAM:
        return None
    return Upstream(mode.scheme, *mode.address)


def reversed_modes(modes: Sequence[str]) -> list[str]:
    """Return the same modes with every default mode made a reverse proxy, on the address it listens on."""
    return [_reversed(mode_specs.ProxyMode.parse(mode)) for mode in modes]


def _reversed(mode: mode_specs.ProxyMode) -> str:
    if isinstance(mode, mode_specs.ReverseMode):
        return mode.full_spec
    listen = mode.full_spec.partition("@")[2]
    return f"reverse:{NO_UPSTREAM}{f'@{listen}' if listen else ''}"
