"""What mitmproxy says of each connection and each flow: left out, so that what matters is seen.

At its own default it writes four lines for a connection and two for a flow, on a good day as on a bad one.
Who asks for them sees them, by `phoebe_log_level=debug` or `termlog_verbosity=debug`.
"""

import logging
from typing import override

from mitmproxy import optmanager

from phoebe_runtime.log_lines import LogFormat

CONNECTIONS = "mitmproxy.proxy.server"
_OF_CLIENTS = frozenset({"client connect", "client disconnect"})
_OF_ENGINES = ("server connect ", "server disconnect ")
_OURS = "phoebe: "
# mitmproxy's default, which prints the request line of each flow, and what became of it.
_FLOW_DETAIL_DEFAULT = 1
_DEBUG = "debug"


class ConnectionLines(logging.Filter):
    """Leaves out that connections come and go, and says once a minute what else happens to them.

    It stands before a RepeatGuard, which counts what is said again.
    """

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether to write a record; mark it as one that may be said again and again."""
        if record.name != CONNECTIONS or record.levelno != logging.INFO:
            return True
        text = record.getMessage()
        if text in _OF_CLIENTS or text.startswith(_OF_ENGINES):
            return False
        if not text.startswith(_OURS):
            record.repeat_key = text  # an engine that can't be reached, for example: at each request
        return True


def are_wanted(options: optmanager.OptManager) -> bool:
    """Whether somebody asked for these lines."""
    return _DEBUG in (options.phoebe_log_level, options.termlog_verbosity)


def flow_detail(options: optmanager.OptManager) -> int:
    """Give how much mitmdump is to print of flows: what was asked for, and by itself nothing.

    With JSON nothing at all: what is printed is none.
    """
    asked: int = options.flow_detail
    if options.phoebe_log_format == LogFormat.JSON:
        return 0
    return 0 if asked == _FLOW_DETAIL_DEFAULT and not are_wanted(options) else asked
