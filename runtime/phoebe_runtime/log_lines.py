"""How a log is written: one line an event, for people or as JSON, and none again and again.

The names of fields are OpenTelemetry's, where it has one. A record brings fields as `extra=told(…)`.
"""

import json
import logging
import time
from collections.abc import Callable, Hashable, Mapping
from datetime import UTC, datetime
from enum import StrEnum

LINE_BYTES_MAX = 16 * 1024
"""Container runtimes split longer lines."""
REPEAT_S = 60.0
"""What is said again within this time is counted, and not written."""
_KEYS_MAX = 1000
_TEXT_MAX = 3000
_TRACEBACK_MAX = 9000

type EventOf = Callable[[logging.LogRecord], str | None]


class LogFormat(StrEnum):
    """What a line looks like."""

    HUMAN = "human"
    JSON = "json"


def told(repeat_key: Hashable = None, /, **fields: object) -> dict[str, object]:
    """Make the `extra` of a record: fields for whoever searches the log; None is left out.

    repeat_key: records with an equal one say the same thing again. None: warnings and errors with the same
    text do.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    return {"fields": given, "repeat_key": repeat_key}


class HumanLines(logging.Formatter):
    """Time in UTC, level, logger, what is said, and the fields; a traceback takes more lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        fields = "".join(f" {name}={_printable(str(value))}" for name, value in _fields(record).items())
        text = _printable(record.getMessage())[:_TEXT_MAX]
        line = f"{_time(record)} {record.levelname} {record.name}: {text}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonLines(logging.Formatter):
    """An object a line, of at most LINE_BYTES_MAX bytes.

    resource: fields that all lines have. event_of: gives what a line is called, or None.
    """

    def __init__(self, resource: Mapping[str, str], event_of: EventOf) -> None:
        super().__init__()
        self._event_of = event_of
        self._resource = {name: value for name, value in resource.items() if value}

    def format(self, record: logging.LogRecord) -> str:
        """Write a record. Texts that are too long lose their ends, tracebacks their beginnings."""
        line: dict[str, object] = {
            "timestamp": _time(record),
            "level": record.levelname,
            "logger": record.name,
            **({"event": event} if (event := self._event_of(record)) else {}),
            "message": record.getMessage()[:_TEXT_MAX],
            **{name: _value(value) for name, value in _fields(record).items()},
        }
        if record.exc_info and record.exc_info[0]:
            line["exception.type"] = record.exc_info[0].__name__
            line["exception.message"] = str(record.exc_info[1])[:_TEXT_MAX]
            line["exception.stacktrace"] = self.formatException(record.exc_info)[-_TRACEBACK_MAX:]
        written = json.dumps(line | self._resource, ensure_ascii=False)
        if len(written.encode()) > LINE_BYTES_MAX:  # rare: texts of characters that take several bytes
            kept = ("timestamp", "level", "logger", "event")
            line = {name: line[name] for name in kept if name in line} | {
                "message": f"{line['message']:.1000} (cut)"
            }
            written = json.dumps(line | self._resource)
        return written


class RepeatGuard(logging.Filter):
    """Writes what is said the first time, and then once in REPEAT_S seconds with how often it was meanwhile.

    That holds for warnings and errors, and for whatever has a repeat_key; what is CRITICAL is always written.
    It belongs to a handler. clock: seconds, of which only differences count.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[Hashable, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether to write a record; note in it how many were left out before."""
        key = getattr(record, "repeat_key", None)
        if record.levelno >= logging.CRITICAL or (key is None and record.levelno < logging.WARNING):
            return True
        key = (record.name, record.levelno, record.getMessage() if key is None else key)
        now_s = self._clock()
        at_s, left_out = self._said.get(key, (now_s - REPEAT_S, 0))
        if now_s < at_s + REPEAT_S:
            self._said[key] = (at_s, left_out + 1)
            return False
        self._said.pop(key, None)  # so that the ones said longest ago come first
        self._said[key] = (now_s, 0)
        if len(self._said) > _KEYS_MAX:
            del self._said[next(iter(self._said))]
        if left_out:
            record.fields = {**getattr(record, "fields", {}), "suppressed": left_out}
        return True


def formatter(
    style: LogFormat, service: str, version: str, instance: str, event_of: EventOf
) -> logging.Formatter:
    """Make a formatter. service, version, instance: who writes the log; an empty one is left out.

    event_of: gives what a line is called for programs, or None.
    """
    if style is LogFormat.HUMAN:
        return HumanLines()
    names = ("service.name", "service.version", "service.instance.id")
    return JsonLines(dict(zip(names, (service, version, instance), strict=True)), event_of)


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    fields: Mapping[str, object] = getattr(record, "fields", {})
    return fields


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _value(value: object) -> object:
    return value if isinstance(value, int | float | bool) else str(value)[:_TEXT_MAX]


def _printable(text: str) -> str:
    """Escape what could steer a terminal or begin a line: names come from clients, engines and files."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
