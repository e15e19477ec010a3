"""Run the demo: `make demo`, or `python -m demo` in the project's environment."""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from demo import report
from demo.bill import Bill
from demo.demonstration import Demo
from demo.parts import PROJECT
from demo.processes import DemoError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

EPILOG = """\
The parts, all on loopback: a rater (phoebe serve) on an embedded PostgreSQL, a toy OpenAI-compatible
engine, and mitmdump with addon/phoebe.py in front of it. The last line of the output starts with
"demo ok:" (exit status 0) or "demo failed:" (1). Ctrl-C stops everything.

environment:
  UPSTREAM           http://host:port of a real OpenAI-compatible engine, in the place of the toy
  UPSTREAM_MODEL     its base model to use; default: the first it lists
  UPSTREAM_API_KEY   sent to it as a bearer token
  DEMO_DATABASE_URL  a PostgreSQL (15 or newer) in the place of the embedded one; the demo migrates it and
                     writes its price file and events into it, so name one made for this purpose.
                     DATABASE_URL and PHOEBE_* are ignored.
"""


async def _run(console: Console, folder: Path) -> int:
    """One demo with its data in `folder`; gives the exit status."""
    demo = Demo(folder, console, os.environ)
    work = asyncio.create_task(demo.run())
    received: list[signal.Signals] = []

    def interrupt(number: signal.Signals) -> None:
        # Only the work is cancelled, never the stopping that follows: it would leave processes.
        received.append(number)
        work.cancel()

    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, interrupt, number)
    problems: list[str] = []
    result: Bill | None = None
    try:
        result = await work
    except DemoError as error:
        problems.append(str(error))
    except asyncio.CancelledError:
        pass  # the signal is in `received`
    finally:
        problems += await demo.stop()
    console.print("demo    all parts stopped", markup=False)
    if problems:
        demo.show_logs()
    return _conclude(console, result, problems, received)


def _conclude(
    console: Console, result: Bill | None, problems: Sequence[str], received: Sequence[signal.Signals]
) -> int:
    if problems:
        console.print(f"demo failed: {'; '.join(problems)}", markup=False, soft_wrap=True)
        return 1
    if result is None:
        console.print(f"demo stopped by {received[0].name}", markup=False)
        return 128 + received[0]
    console.print(report.last_line(result), markup=False, soft_wrap=True)
    return 0


def main() -> None:
    """The command line of the demo."""
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description="Metered, rated inference traffic through the real parts, in about 10 seconds.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs and the database")
    arguments = parser.parse_args()
    console = report.open_console()
    parent = PROJECT / ".phoebe"
    parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="demo-", dir=parent, delete=not arguments.keep) as folder:
        fate = "kept" if arguments.keep else "removed at the end; --keep keeps it"
        console.print(f"demo    logs and data in {os.path.relpath(folder)} ({fate})", markup=False)
        status = asyncio.run(_run(console, Path(folder)))
    sys.exit(status)


if __name__ == "__main__":
    main()
