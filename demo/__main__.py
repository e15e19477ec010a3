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
from rig.errors import RigError
from rig.interrupts import interruptible
from rig.programs import PROJECT

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
  DEMO_EDGE, DEMO_RATER, DEMO_METRICS
                     an edge (http://host:port), a rater and the metrics of a proxy (host:port) that run
                     already, as in compose.yaml; no part is started then
                     DATABASE_URL and PHOEBE_* are ignored.
"""


async def _run(console: Console, folder: Path, *, kept: bool) -> int:
    """One demo with its data in `folder`, which is kept or not; gives the exit status."""
    demo = Demo(folder, console, os.environ)
    problems: list[str] = []
    result: Bill | None = None
    interrupted: signal.Signals | None = None
    try:
        result, interrupted = await interruptible(demo.run())
    except RigError as error:
        problems.append(str(error))
    finally:
        problems += await demo.stop()
    console.print("demo    all parts stopped", markup=False)
    if problems:
        demo.show_logs()
    if result is not None and not problems:
        bills = folder / "data" if kept and not os.environ.get("DEMO_DATABASE_URL") else None
        console.print(
            report.next_steps(bills, composed="DEMO_EDGE" in os.environ), markup=False, soft_wrap=True
        )
    return _conclude(console, result, problems, interrupted)


def _conclude(
    console: Console, result: Bill | None, problems: Sequence[str], interrupted: signal.Signals | None
) -> int:
    if problems:
        console.print(f"demo failed: {'; '.join(problems)}", markup=False, soft_wrap=True)
        return 1
    if interrupted is not None:
        console.print(f"demo stopped by {interrupted.name}", markup=False)
        return 128 + interrupted
    assert result is not None
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
        status = asyncio.run(_run(console, Path(folder), kept=arguments.keep))
    sys.exit(status)


if __name__ == "__main__":
    main()
