"""How long something lasts, in the words of people."""

from datetime import timedelta

from phoebe_runtime.counts import counted

_UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60))


def in_words(span: timedelta) -> str:
    """Say it in the largest unit of which there are two at least: `7 minutes`, `90 seconds`."""
    seconds = max(round(span.total_seconds()), 0)
    for unit, length in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}s"
    return counted(seconds, "second")
