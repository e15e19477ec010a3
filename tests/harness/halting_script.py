"""For `mitmdump -s`, before the addon: keeps the errors of flows to itself."""

from mitmproxy import exceptions, http


def error(_flow: http.HTTPFlow) -> None:
    """Let no addon behind this one hear of it."""
    raise exceptions.AddonHalt
