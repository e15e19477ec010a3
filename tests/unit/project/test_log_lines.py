"""How logs are written."""

import json
import logging
from collections.abc import Iterator

import pytest

from phoebe_runtime.log_lines import LINE_BYTES_MAX, LogFormat, RepeatGuard, formatter, told


def event_of(record: logging.LogRecord) -> str | None:
    return "request.refused" if str(record.msg).startswith("refused") else None


class Written(logging.Handler):
    """What a handler writes, in lines, while time goes on only when told."""

    def __init__(self, style: LogFormat) -> None:
        super().__init__()
        self.now_s = 1000.0
        self.lines: list[str] = []
        self.setFormatter(formatter(style, "phoebe-rater", "1.2", "rater-0", event_of))
        self.addFilter(RepeatGuard(lambda: self.now_s))

    def emit(self, record: logging.LogRecord) -> None:
        record.created = 1_800_000_000.123
        self.lines.append(self.format(record))


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.getLogger("phoebe.test")
    made.propagate = False
    made.setLevel(logging.DEBUG)
    yield made
    made.handlers.clear()


@pytest.fixture(params=list(LogFormat))
def written(logger: logging.Logger, request: pytest.FixtureRequest) -> Written:
    handler = Written(request.param)
    logger.addHandler(handler)
    return handler


@pytest.fixture
def human(logger: logging.Logger) -> Written:
    handler = Written(LogFormat.HUMAN)
    logger.addHandler(handler)
    return handler


@pytest.fixture
def as_json(logger: logging.Logger) -> Written:
    handler = Written(LogFormat.JSON)
    logger.addHandler(handler)
    return handler


def test_a_line_for_people_has_the_time_in_utc_and_the_fields(human: Written, logger: logging.Logger) -> None:
    logger.info("refused %d", 403, extra=told(reason="edge_secret", auth_id=None, peer="10.0.0.1"))

    assert human.lines == [
        "2027-01-15T08:00:00.123Z INFO phoebe.test: refused 403 reason=edge_secret peer=10.0.0.1"
    ]


def test_a_line_of_json_has_the_same_and_who_wrote_it(as_json: Written, logger: logging.Logger) -> None:
    logger.warning("refused %d", 403, extra=told(reason="edge_secret", count=2))

    assert json.loads(as_json.lines[0]) == {
        "timestamp": "2027-01-15T08:00:00.123Z",
        "level": "WARNING",
        "event": "request.refused",
        "logger": "phoebe.test",
        "message": "refused 403",
        "reason": "edge_secret",
        "count": 2,
        "service.name": "phoebe-rater",
        "service.version": "1.2",
        "service.instance.id": "rater-0",
    }


def test_what_clients_write_begins_no_line_and_steers_no_terminal(
    written: Written, logger: logging.Logger
) -> None:
    logger.error("named %s", "a\nERROR forged\x1b[2J", extra=told(peer="x\r\ny"))

    (line,) = written.lines
    assert line.isprintable()


def test_a_traceback_is_one_field(as_json: Written, logger: logging.Logger) -> None:
    try:
        raise KeyError("a bug")
    except KeyError:
        logger.exception("a call failed")

    line = json.loads(as_json.lines[0])
    assert (line["exception.type"], line["exception.message"]) == ("KeyError", "'a bug'")
    assert "Traceback" in line["exception.stacktrace"]


@pytest.mark.parametrize("char", ["a", "é", "\U0001f600", "\x00"])
def test_a_line_is_never_longer_than_runtimes_take(
    as_json: Written, logger: logging.Logger, char: str
) -> None:
    logger.error("%s", char * 50_000, extra=told(reason=char * 50_000, peer=char * 50_000))

    assert len(as_json.lines[0].encode()) <= LINE_BYTES_MAX
    assert json.loads(as_json.lines[0])["level"] == "ERROR"


def test_what_is_said_again_is_counted_and_said_once_a_minute(
    written: Written, logger: logging.Logger
) -> None:
    for second in range(121):
        written.now_s = 1000.0 + second
        logger.error("the disk is full")

    assert len(written.lines) == 3
    assert "suppressed" not in written.lines[0]
    assert all("suppressed" in line and "59" in line for line in written.lines[1:])


def test_what_differs_is_all_said_and_so_is_what_only_informs(
    written: Written, logger: logging.Logger
) -> None:
    for number in range(3):
        logger.error("resource %d echoes", number)
        logger.info("an event")
        logger.critical("a file is damaged")

    assert len(written.lines) == 9


def test_a_key_makes_lines_of_different_texts_one_thing(written: Written, logger: logging.Logger) -> None:
    for number in range(5):
        logger.info("refused %d", number, extra=told(("10.0.0.1", "identity")))
        logger.info("refused %d", number, extra=told(("10.0.0.2", "identity")))

    assert len(written.lines) == 2


def test_what_is_remembered_is_bounded(human: Written, logger: logging.Logger) -> None:
    for number in range(5000):
        logger.info("refused", extra=told(number))

    (guard,) = human.filters
    assert isinstance(guard, RepeatGuard)
    assert len(guard._said) == 1000
