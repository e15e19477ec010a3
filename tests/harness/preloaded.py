"""mitmdump as a process that begins with all imports behind it, which are most of what a start costs.

One process imports mitmproxy and the addon, does nothing else, and waits to be told command lines. For each
it forks one that goes on as `mitmdump` does, with its own arguments, environment, folder and log. Tests that
need a proxy of their own then need not import the same again. Those that many tests share are started from
nothing, and so are those of the demo, the simulator, the benchmarks and `phoebe proxy`.
"""

import atexit
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

CAN_FORK = hasattr(os, "pidfd_open")
"""Whether the system tells by a descriptor how a process ended, as Linux does. Else none is forked."""

_MESSAGE_BYTES_MAX = 200_000
_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Job:
    """What a forked process goes on as: words of its command line, its environment, and where it runs."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: str

    def run(self, log: int) -> int:
        """Be mitmdump, which writes into the file of a descriptor; returns its status."""
        for number in (1, 2):
            os.dup2(log, number)
        os.close(log)
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environment)
        sys.argv = list(self.command)
        sys.path[0] = str(Path(self.command[0]).parent)
        gc.enable()

        from mitmproxy.tools.main import mitmdump

        status = mitmdump()
        return status if isinstance(status, int) else 0


class Preloaded:
    """The process that is forked from, as the tests see it."""

    def __init__(self, folder: Path) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._statuses: dict[int, int] = {}
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        atexit.register(self.close)

    def start(self, job: Job, log: Path) -> "ForkedProcess":
        """Fork a process; what it says is added to a file."""
        with self._lock, log.open("ab") as output:
            socket.send_fds(self._line, [json.dumps(asdict(job)).encode()], [output.fileno()])
            while "pid" not in (told := self._hear()):
                self._statuses[told["ended"]] = told["status"]
        return ForkedProcess(self, told["pid"], job.command)

    def status(self, pid: int) -> int | None:
        """How a process ended, as Popen says it; None: it runs."""
        with self._lock, selectors.DefaultSelector() as selector:
            selector.register(self._line, selectors.EVENT_READ)
            while selector.select(0):
                told = self._hear()
                self._statuses[told["ended"]] = told["status"]
            return self._statuses.get(pid)

    def _hear(self) -> dict[str, int]:
        message = self._line.recv(_MESSAGE_BYTES_MAX)
        assert message, f"the process that forks has ended with status {self._process.wait()}"
        told: dict[str, int] = json.loads(message)
        return told

    def close(self) -> None:
        """End it; what it has forked goes on."""
        self._line.close()
        self._process.wait()


class ForkedProcess(subprocess.Popen[bytes]):
    """A process that another one forked, with what Popen has for one's own."""

    def __init__(self, preloaded: Preloaded, pid: int, command: Sequence[str]) -> None:
        # Nothing of Popen's own start: there is nothing to be executed.
        self._child_created = False
        self.args = list(command)
        self.stdin = self.stdout = self.stderr = None
        self.pid = pid
        self.returncode: int | None = None
        self._preloaded = preloaded

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._preloaded.status(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline_s = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if deadline_s is not None and time.monotonic() > deadline_s:
                assert timeout is not None
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(_POLL_S)
        return status

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)


def _serve(line: socket.socket) -> tuple[Job, int] | None:
    """Fork for each job that comes, and tell how processes end; in a forked one, give the job and its log.

    None: nobody is there any more who could ask.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(line, selectors.EVENT_READ, None)
        while True:
            for key, _ in selector.select():
                if key.data is not None:
                    _, status = os.waitpid(key.data, 0)
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    code = os.waitstatus_to_exitcode(status)
                    line.send(json.dumps({"ended": key.data, "status": code}).encode())
                    continue
                message, logs, _, _ = socket.recv_fds(line, _MESSAGE_BYTES_MAX, 1)
                if not message:
                    return None
                (log,) = logs
                pid = os.fork()
                if pid == 0:
                    return Job(**json.loads(message)), log
                os.close(log)
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
                line.send(json.dumps({"pid": pid}).encode())


def _main() -> int:
    # The tests end it; a Ctrl-C in the terminal reaches it, too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    for needed in ("mitmproxy.tools.main", "mitmproxy.tools.dump", "phoebe_addon.addon"):
        import_module(needed)

    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as line:
        given = _serve(line)
    if given is None:
        return 0
    signal.signal(signal.SIGINT, signal.default_int_handler)
    job, log = given
    return job.run(log)


if __name__ == "__main__":
    sys.exit(_main())
