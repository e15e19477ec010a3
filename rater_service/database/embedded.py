"""A real PostgreSQL server from a Python wheel, for machines that have none.

It is nobody else's: it listens on no network, its socket is in a folder that only its user may enter, and it
asks the kernel who is calling (`peer`). Processes on the same data share it; the last to leave stops it. Only
what is known to be the server is ever sent a signal: the process that the kernel says listens on its socket.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rater_service.database.embedded_data import DataFolder, listening_pid
from rater_service.database.embedded_programs import Programs, find_programs, quoted
from rater_service.database.interrupts import interrupts_put_off
from rater_service.errors import OperatorError

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
# Children of a server that was killed go within moments; until then no other can start on its data.
_START_AGAIN_S = 10.0
_POLL_S = 0.05
# Paths of sockets are at most 107 bytes long, wherever the data is.
_SOCKETS = Path("/tmp")  # noqa: S108 - a folder of a random name is made in it, which nobody else may enter
_PREFIX = "phoebe-pg-"
_ROLE = "postgres"
_LOG_SHOWN_LINES = 5
# Children that go on after this process has left them: Python warns of one that it forgets.
_LEFT_TO_OTHERS: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running server, as used by this process. Its URL holds no secret."""

    url: str
    socket_folder: Path
    programs: Programs
    _data: DataFolder = field(repr=False)
    _membership: int = field(repr=False)
    _process: subprocess.Popen[bytes] | None = field(repr=False)  # None: another process started it

    def __str__(self) -> str:
        """Say which it is."""
        return f"the embedded PostgreSQL {self.programs.version} in {self._data.path}"


@asynccontextmanager
async def server(data_dir: Path) -> AsyncIterator[EmbeddedServer]:
    """Run the server as long as the context lasts; see `start` and `stop`."""
    running = None
    try:
        with interrupts_put_off():
            running = await _started(data_dir)
        yield running
    finally:
        with interrupts_put_off():
            if running:
                await _stopped(running)


async def _started(data_dir: Path) -> EmbeddedServer:
    """Start the server in a thread; if this task is cancelled meanwhile, the thread stops it once it runs.

    The thread is waited for in any case: Python does not do so at its end if Ctrl-C is pressed once more.
    """
    with ThreadPoolExecutor(1, "embedded PostgreSQL") as thread:
        starting = thread.submit(start, data_dir)
        try:
            return await asyncio.wrap_future(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_stop_started)
            raise


async def _stopped(running: EmbeddedServer) -> None:
    """Stop the server in a thread, and wait for that even if this task is cancelled."""
    with ThreadPoolExecutor(1, "embedded PostgreSQL") as thread:
        await asyncio.wrap_future(thread.submit(stop, running))


def _stop_started(starting: Future[EmbeddedServer]) -> None:
    if not starting.cancelled() and starting.exception() is None:
        stop(starting.result())


def has_data(data_dir: Path) -> bool:
    """Tell whether there is data of a server in `data_dir`."""
    return (data_dir / "postgresql" / "PG_VERSION").exists()


def start(data_dir: Path) -> EmbeddedServer:
    """Run the server on the data in `data_dir`/postgresql, which is made if it is not there.

    A server that already runs there, started by another process, is shared. Raises OperatorError when the
    wheel is not installed or the server does not start. Blocks for seconds.
    """
    running = None
    try:
        with interrupts_put_off() as let_through:
            running = _joined(data_dir, let_through)
    except KeyboardInterrupt:
        if running:
            stop(running)
        raise
    return running


def _joined(data_dir: Path, let_through: Callable[[], None]) -> EmbeddedServer:
    """Become a user of the server, and start it if nobody is one."""
    programs = find_programs()
    try:
        data = DataFolder.make(data_dir, programs)
        with data.turn():
            membership = data.join()
            try:
                process, sockets = None, _running(data, let_through)
                if sockets is None:
                    process, sockets = _start(data, programs, let_through)
            except BaseException:
                os.close(membership)
                raise
    except OSError as error:
        raise OperatorError(f"the embedded PostgreSQL in {data_dir} does not start: {error}") from error
    url = f"postgresql://{_ROLE}@/{_ROLE}?host={sockets}"
    return EmbeddedServer(url, sockets, programs, data, membership, process)


def stop(running: EmbeddedServer) -> None:
    """Leave the server; the last process to leave stops it."""
    with interrupts_put_off():
        with running._data.turn():
            os.close(running._membership)
            stopped = _stop_unused(running._data)
        if running._process and stopped:
            running._process.wait()
        elif running._process:
            _LEFT_TO_OTHERS.append(running._process)


def stop_left_behind(data_dir: Path) -> bool:
    """Stop a server that runs on the data although nobody uses it any more. Returns whether there was one."""
    if not (data_dir / "postgresql").exists():
        return False
    data = DataFolder.make(data_dir, find_programs())
    with data.turn():
        return _stop_unused(data)


def _running(data: DataFolder, let_through: Callable[[], None]) -> Path | None:
    """Return the folder of the socket of a server that runs on the data; None: none does.

    Raises OperatorError for one that others started.
    """
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while noted := data.noted_server():
        if listening_pid(noted.sockets) == noted.pid:
            if noted.sockets.name.startswith(_PREFIX) and data.owns(noted.sockets):
                if noted.is_ready:
                    return noted.sockets
            else:
                raise OperatorError(
                    f"a PostgreSQL that this version of Phoebe did not start runs on {data.path} (process "
                    f"{noted.pid}): stop what uses it, or end it with `kill -INT {noted.pid}`"
                )
        elif not data.is_worked_in_by(noted.pid):
            # Its number may be another process's by now, which PostgreSQL would take for a server.
            data.forget_server()
            _remove_sockets(data, noted.sockets)
            return None
        if time.monotonic() > deadline_s:
            raise OperatorError(
                f"the process {noted.pid} works on {data.path} and does not answer: end it with "
                f"`kill -INT {noted.pid}`"
            )
        let_through()
        time.sleep(_POLL_S)  # it is starting or stopping
    return None


def _start(
    data: DataFolder, programs: Programs, let_through: Callable[[], None]
) -> tuple[subprocess.Popen[bytes], Path]:
    data.fill(programs)
    again_until_s = time.monotonic() + _START_AGAIN_S
    while True:
        sockets = _make_sockets(programs)
        process = _launch(data, programs, sockets)
        is_ready = False
        try:
            is_ready = _is_ready(data, process, let_through)
        finally:
            # Also when Ctrl-C ends the wait: nobody would ever stop it.
            if not is_ready:
                _give_up(data, process, sockets)
        if is_ready:
            return process, sockets
        if time.monotonic() > again_until_s:
            raise OperatorError(
                f"the embedded PostgreSQL in {data.path} does not start; its log, {data.log}, ends with: "
                + " | ".join(data.log.read_text(errors="replace").splitlines()[-_LOG_SHOWN_LINES:])
            )
        time.sleep(_POLL_S)


def _give_up(data: DataFolder, process: subprocess.Popen[bytes], sockets: Path) -> None:
    """End a server that is not ready."""
    if process.poll() is None:
        process.send_signal(signal.SIGQUIT)
        process.wait()
    _remove_sockets(data, sockets)


def _make_sockets(programs: Programs) -> Path:
    """Make a folder for the socket that only the server's user may enter, and say who may connect."""
    sockets = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_SOCKETS))
    # The kernel says who is calling: only whoever runs Phoebe is let in, not even the server's own user.
    (sockets / "pg_hba.conf").write_text("local all all peer map=phoebe\n")
    (sockets / "pg_ident.conf").write_text(f"phoebe {quoted(programs.caller)} {_ROLE}\n")
    if programs.user:
        for path in (sockets, *sockets.iterdir()):
            os.chown(path, programs.user.pw_uid, programs.user.pw_gid)
    return sockets


def _launch(data: DataFolder, programs: Programs, sockets: Path) -> subprocess.Popen[bytes]:
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
        "hba_file": str(sockets / "pg_hba.conf"),
        "ident_file": str(sockets / "pg_ident.conf"),
        "logging_collector": "off",
        # A page that changes after a checkpoint is logged whole. Vacuum changes each page of events once.
        "wal_compression": "on",
    }
    with data.open_log() as log, data.reachable(programs) as (path, keep_open):
        return subprocess.Popen(  # noqa: S603 - the program is the wheel's, its words are ours
            [
                *(programs.folder / "postgres", "-D", path),
                *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
            ],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for who uses it; and it goes on when others use it, too.
            start_new_session=True,
            pass_fds=keep_open,
            **programs.run_as(),
        )


def _is_ready(data: DataFolder, process: subprocess.Popen[bytes], let_through: Callable[[], None]) -> bool:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline_s:
        noted = data.noted_server()
        if noted and noted.pid == process.pid and noted.is_ready:
            return True
        let_through()
        time.sleep(_POLL_S)
    return False


def _stop_unused(data: DataFolder) -> bool:
    """Stop the server if nobody uses it. Returns whether it did."""
    noted = data.noted_server()
    if noted is None or data.is_used() or listening_pid(noted.sockets) != noted.pid:
        return False
    with suppress(ProcessLookupError):
        os.kill(noted.pid, signal.SIGINT)  # "fast shutdown": sessions are ended, and all is written
    deadline_s = time.monotonic() + STOP_TIMEOUT_S
    while data.noted_server():
        if time.monotonic() > deadline_s:
            raise OperatorError(f"the embedded PostgreSQL in {data.path} does not stop (process {noted.pid})")
        time.sleep(_POLL_S)
    _remove_sockets(data, noted.sockets)
    return True


def _remove_sockets(data: DataFolder, sockets: Path) -> None:
    if sockets.name.startswith(_PREFIX) and data.owns(sockets):
        shutil.rmtree(sockets, ignore_errors=True)
