"""Errors at the start that must be told, and must not end the process.

mitmproxy ends when an error is logged while it starts. A spool file that was found damaged and has been
replaced is such an error. So is a rater that lets nobody in, and a background task that crashed and is
started again. Exchanges can be metered all the same. What keeps them from being metered is logged by the
addon itself.
"""

import logging

from mitmproxy import addonmanager

_MENDED = ("phoebe_runtime.background", "phoebe_addon.delivery", "phoebe_addon.spool")
"""How the names of the loggers begin whose errors are none of the start."""


def tolerate(addons: addonmanager.AddonManager) -> None:
    """Let mitmproxy start in spite of such errors."""
    check = addons.get("errorcheck")
    if check:
        check.logger.addFilter(_is_of_the_start)


def _is_of_the_start(record: logging.LogRecord) -> bool:
    return not record.name.startswith(_MENDED)
