"""Stands in the place of a program that serves, so that the commands behind it can be run.

    python -m tests.docs.in_background PROGRAM [ARGUMENT…]

Starts the program in the background, ends the one of the same kind that ran before, waits until it says that
it serves, and ends. A reader would open a second terminal. It fails, with what the program said, when that
ends. The folder in PAGE_SERVERS has a log and the process id of each kind.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil

from rig.ports import accepts

READY = {
    "mitmdump": r"phoebe: metering",
    "proxy": r"workers that serve: ",
    "serve": r"listening on \S+:\d+",
}
"""What programs say once they serve; `proxy` and `serve` are commands of phoebe."""
TIMEOUT_S = 90.0
POLL_S = 0.05


def main(arguments: list[str]) -> int:
    """Run as the module says; returns the exit status."""
    kind = Path(arguments[0]).name
    kind = arguments[1] if kind == "phoebe" else kind
    folder = Path(os.environ["PAGE_SERVERS"])
    end(folder, "proxy" if kind == "mitmdump" else kind)
    end(folder, "mitmdump" if kind == "proxy" else kind)
    log = folder / f"{kind}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    (folder / f"{kind}.pid").write_text(str(process.pid))
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if re.search(READY[kind], log.read_text(errors="replace")) and is_open(arguments, kind):
            return 0
        time.sleep(POLL_S)
    if process.poll() == 0:
        # It was only asked for something, such as its settings.
        sys.stdout.write(log.read_text(errors="replace"))
        return 0
    sys.stderr.write(f"{' '.join(arguments)} does not serve:\n{log.read_text(errors='replace')}")
    return 1


def is_open(arguments: list[str], kind: str) -> bool:
    """Tell whether the port of a proxy takes connections; a rater says so itself."""
    if kind == "serve":
        return True
    return accepts(int(arguments[arguments.index("--listen-port") + 1]))


def end(folder: Path, kind: str) -> None:
    """End the program of this kind, if one was started, and wait until it has ended."""
    file = folder / f"{kind}.pid"
    if not file.exists():
        return
    pid = int(file.read_text())
    file.unlink()
    try:
        process = psutil.Process(pid)
        process.terminate()
        deadline = time.monotonic() + TIMEOUT_S
        # One that has ended stays a zombie until whoever has adopted it looks.
        while process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(POLL_S)
    except psutil.NoSuchProcess:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
