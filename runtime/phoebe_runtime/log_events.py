"""What each line of a log is called, for programs that search it: the field `event` of a line as JSON.

Words of a line may change, its event does not. docs/watching.md lists what they mean.
"""

import logging
from collections.abc import Mapping

from phoebe_runtime.log_lines import EventOf

type Events = Mapping[str, Mapping[str, str]]
"""By the module that writes a line, and by its words before anything is put into them."""

TROUBLE = ("%s", "%s; for %s now", "%s, after %s")
"""The words of troubles.py, which writes lines for whoever is in trouble."""
EVENTS: Events = {
    "background": {
        "the task %s is down, %s: it crashed and is started again in %g s: %s": "task.down",
        "the task %s is up again": "task.up",
    },
    "followed_files": {
        "what was in use stays in use: %s": "file.refused",
        "%s is as it was, and in use": "file.restored",
        "%s was read again": "file.taken",
        "%s": "file.warning",
    },
    "operator_port": {
        "a connection to the operators' port failed": "metrics.failed",
        "the page %s failed": "metrics.failed",
    },
    "spans": {
        **dict.fromkeys(TROUBLE, "tracing.trouble"),
    },
}


def naming(package: str, events: Events) -> EventOf:
    """Make what gives the event of a line, or None for a line of somebody else.

    package: whose lines they are besides those of this one; events: its own.
    """
    known = {f"{package}.{module}": words for module, words in events.items()} | {
        f"{__package__}.{module}": words for module, words in EVENTS.items()
    }

    def event_of(record: logging.LogRecord) -> str | None:
        return known.get(record.name, {}).get(str(record.msg))

    return event_of
