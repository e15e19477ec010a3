"""Lines of mitmproxy that say nothing but that connections come and go are left out of the log."""

import logging

import pytest
from mitmproxy.optmanager import OptManager

from phoebe_addon.proxy.connection_lines import CONNECTIONS, ConnectionLines, are_wanted, flow_detail
from phoebe_runtime.log_lines import RepeatGuard


def line(text: str, name: str = CONNECTIONS, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord(name, level, "", 0, text, None, None)


def written(*records: logging.LogRecord) -> list[str]:
    handler = logging.NullHandler()
    handler.addFilter(ConnectionLines())
    handler.addFilter(RepeatGuard(lambda: 0.0))
    return [record.getMessage() for record in records if handler.filter(record)]


def test_that_connections_come_and_go_is_not_written_and_what_happens_to_them_is_once() -> None:
    refused = "error establishing server connection: [Errno 111] Connect call failed ('127.0.0.1', 9)"
    left = "phoebe: a client has left"
    killed = "server connection to 127.0.0.1:9 killed before connect: no"
    assert written(
        *(line("client connect"), line("server connect 127.0.0.1:9"), line(refused), line(killed)),
        *(line("server disconnect 127.0.0.1:9"), line("client disconnect"), line(refused)),
        *(line(left), line(left)),
        line("client connect", "phoebe_addon.lifecycle"),
        line("client disconnect", level=logging.ERROR),
    ) == [refused, killed, left, left, "client connect", "client disconnect"]


def options(form: str = "human", level: str = "info", termlog: str = "info", detail: int = 1) -> OptManager:
    made = OptManager()
    made.add_option("phoebe_log_format", str, form, "")
    made.add_option("phoebe_log_level", str, level, "")
    made.add_option("termlog_verbosity", str, termlog, "")
    made.add_option("flow_detail", int, detail, "")
    return made


@pytest.mark.parametrize(
    ("given", "wanted", "detail"),
    [
        (options(), False, 0),
        (options(detail=3), False, 3),
        (options(detail=3, form="json"), False, 0),
        (options(level="debug"), True, 1),
        (options(termlog="debug"), True, 1),
        (options(termlog="debug", form="json"), True, 0),
    ],
)
def test_who_asks_for_lines_of_connections_and_flows_sees_them(
    given: OptManager, wanted: bool, detail: int
) -> None:
    assert (are_wanted(given), flow_detail(given)) == (wanted, detail)
