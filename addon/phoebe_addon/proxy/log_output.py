"""How mitmdump writes its log: lines as the rater has them, mitmproxy's own lines too.

mitmproxy's have no date and no level, and most say only that connections come and go (`connection_lines`).
And `mitmdump -q` leaves out all but errors; that events can't be delivered, or that a disk is full, is
written all the same.
"""

import logging
import sys

from mitmproxy import addonmanager, http, optmanager

from phoebe_addon.addon_version import addon_version
from phoebe_addon.gate.identity import HeaderNames, Identity
from phoebe_addon.gate.refusal import Refusal
from phoebe_addon.log_events import event_of
from phoebe_addon.proxy import connection_lines
from phoebe_addon.proxy.connection_lines import ConnectionLines
from phoebe_runtime.log_lines import LogFormat, RepeatGuard, formatter, told

logger = logging.getLogger(__name__)

OURS = ("phoebe_addon", "phoebe_runtime")
_TEXT_CHARS_MAX = 64


class LeftOutLines(logging.Handler):
    """Writes what of Phoebe's warnings and errors, or of what was asked for, mitmproxy's handler leaves out.

    own: mitmproxy's handler. level: from which level on Phoebe's lines are asked for.
    """

    def __init__(self, own: logging.Handler, level: int) -> None:
        super().__init__()
        self._own = own
        self._from = level if level < logging.INFO else max(level, logging.WARNING)
        self.addFilter(self._is_left_out)
        self.addFilter(RepeatGuard())

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, as mitmproxy's handler does."""
        sys.stdout.write(self.format(record) + "\n")
        sys.stdout.flush()

    def _is_left_out(self, record: logging.LogRecord) -> bool:
        return self._from <= record.levelno < self._own.level and record.name.startswith(OURS)


class LogOutput:
    """The log of a mitmproxy, written as the options say."""

    def __init__(self) -> None:
        self._asked: tuple[object, ...] = ()
        self._left_out: LeftOutLines | None = None

    def use(self, addons: addonmanager.AddonManager, options: optmanager.OptManager, name: str) -> None:
        """Write it as the options say from now on. name: what people call the proxy."""
        termlog = addons.get("termlog")
        if termlog is None:
            return
        shown = connection_lines.are_wanted(options)
        asked = (options.phoebe_log_format, options.phoebe_log_level, name, shown)
        if asked == self._asked:
            return
        self._asked = asked
        level = logging.getLevelNamesMapping()[options.phoebe_log_level.upper()]
        for ours in OURS:
            logging.getLogger(ours).setLevel(level)
        own: logging.Handler = termlog.logger
        own.setFormatter(
            formatter(LogFormat(options.phoebe_log_format), "phoebe-addon", addon_version(), name, event_of)
        )
        for each in [each for each in own.filters if isinstance(each, ConnectionLines | RepeatGuard)]:
            own.removeFilter(each)
        if not shown:
            own.addFilter(ConnectionLines())
        own.addFilter(RepeatGuard())
        self.end()
        self._left_out = LeftOutLines(own, level)
        self._left_out.setFormatter(own.formatter)
        logging.getLogger().addHandler(self._left_out)
        detail = connection_lines.flow_detail(options)
        if detail != options.flow_detail:
            options.update(flow_detail=detail)

    def end(self) -> None:
        """Write no more than mitmproxy does."""
        if self._left_out:
            logging.getLogger().removeHandler(self._left_out)
            self._left_out = None


def log_refusal(flow: http.HTTPFlow, refusal: Refusal, names: HeaderNames, identity: Identity | None) -> None:
    """Say that a request was refused, and why; of one peer and reason at most once a minute.

    identity: of a request whose head was in order; then its headers do not have it any more.
    """
    headers, peer = flow.request.headers, flow.client_conn.peername
    address = peer[0] if peer else None
    fields = {
        "request_id": _clipped(headers.get("X-Request-Id")),
        "auth_id": _clipped(identity.auth_id if identity else headers.get(names.auth_id)),
        "resource_id": _clipped(identity.resource_id if identity else headers.get(names.resource_id)),
    }
    logger.info(
        "phoebe: refused %d %s: %s",
        *(refusal.status, refusal.reason.value, refusal.message),
        extra=told(
            (address, refusal.reason),
            reason=refusal.reason.value,
            **fields,
            **{
                "network.peer.address": address,
                "http.request.method": _clipped(flow.request.method),
                "url.path": _clipped(flow.request.path.partition("?")[0], 200),
                "http.response.status_code": refusal.status,
            },
        ),
    )


def _clipped(text: str | None, chars_max: int = _TEXT_CHARS_MAX) -> str | None:
    return None if text is None else text[:chars_max]
