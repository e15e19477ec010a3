"""The program of a worker: mitmdump, with the addon, a channel to `phoebe proxy`, and a number.

`python -m phoebe_addon.workers.worker_main NUMBER COUNT DESCRIPTOR [mitmdump's arguments]`
"""

import logging
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mitmproxy.tools import main as mitmproxy_tools

from phoebe_addon.channel import Channel
from phoebe_addon.spool.seat import Seat
from phoebe_addon.workers import inside

SCRIPT = Path(__file__).parent / "loaded" / "phoebe_worker.py"


def main(words: Sequence[str]) -> None:
    """Run mitmdump to its end."""
    number, count, descriptor, *arguments = words
    seat = Seat(int(number), int(count))
    inside.make(seat, Channel(socket.socket(fileno=int(descriptor))))
    _name_in_log(seat)
    sys.argv = ["mitmdump", *arguments]  # what its messages are headed with
    # First, so that no other script has a request before the gate.
    mitmproxy_tools.mitmdump(["-s", str(SCRIPT), *arguments])


def _name_in_log(seat: Seat) -> None:
    """Begin every line of the log with the worker's number: all workers write to one place."""
    make: Callable[..., logging.LogRecord] = logging.getLogRecordFactory()

    def named(*arguments: object, **others: object) -> logging.LogRecord:
        record = make(*arguments, **others)
        record.msg = f"worker {seat.number}: {record.msg}"
        return record

    logging.setLogRecordFactory(named)


if __name__ == "__main__":
    main(sys.argv[1:])
