"""Whether anybody but Phoebe looks at exchanges: then they go mitmproxy's own way, step by step.

Of mitmproxy's own addons each does something only if an option says so. So all options are at their defaults
that do not stand here, and no other addon has a hook for what passes.
"""

from collections.abc import Iterable

from mitmproxy import addonmanager
from mitmproxy.optmanager import OptManager

# Where to listen, as whom, by which certificates, how much to log, and when to connect: none of it looks at
# what passes. `scripts` are addons, which are looked at themselves.
_HARMLESS_OPTIONS = frozenset(
    {
        "add_upstream_certs_to_client_chain",
        "allow_hosts",
        "block_global",
        "block_private",
        "cert_passphrase",
        "certs",
        "ciphers_client",
        "ciphers_server",
        "client_certs",
        "confdir",
        "connect_addr",
        "connection_strategy",
        "flow_detail",
        "ignore_hosts",
        "keep_host_header",
        "key_size",
        "listen_host",
        "listen_port",
        "mode",
        "onboarding",
        "onboarding_host",
        "rawtcp",
        "request_client_cert",
        "scripts",
        "server",
        "ssl_insecure",
        "ssl_verify_upstream_trusted_ca",
        "ssl_verify_upstream_trusted_confdir",
        "strip_ech",
        "tcp_timeout",
        "termlog_verbosity",
        "tls_ecdh_curve_client",
        "tls_ecdh_curve_server",
        "tls_version_client_max",
        "tls_version_client_min",
        "tls_version_server_max",
        "tls_version_server_min",
        "upstream_cert",
        "validate_inbound_headers",
        "websocket",
    }
)
_OWN_OPTIONS = "phoebe_"
# Beyond it mitmproxy prints bodies.
_FLOW_DETAIL_MAX = 1
_HOOKS = (
    *("requestheaders", "request", "responseheaders", "response", "error", "update"),
    *("websocket_start", "websocket_message", "websocket_end"),
)
_OWN_PACKAGES = ("mitmproxy.addons.", "phoebe_addon.")
# It keeps flows for a screen.
_WATCHING_MODULES = ("mitmproxy.addons.view",)


def nobody_watches(chain: Iterable[object], options: OptManager) -> bool:
    """Whether nobody but Phoebe looks at exchanges. chain: mitmproxy's addons."""
    return not (
        any(_watches(addon) for addon in addonmanager.traverse(chain))
        or getattr(options, "flow_detail", 0) > _FLOW_DETAIL_MAX
        or any(option.has_changed() for name, option in options.items() if not _is_harmless(name))
    )


def _is_harmless(option: str) -> bool:
    return option in _HARMLESS_OPTIONS or option.startswith(_OWN_OPTIONS)


def _watches(addon: object) -> bool:
    module = type(addon).__module__
    if module.startswith(_OWN_PACKAGES) and module not in _WATCHING_MODULES:
        return False
    return any(getattr(addon, hook, None) is not None for hook in _HOOKS)
