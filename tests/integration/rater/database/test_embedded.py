"""The embedded PostgreSQL is nobody else's, wherever its data is, and nothing but it is ever ended."""

import asyncio
import os
import pwd
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import pytest

from rater_service.cli import main
from rater_service.database import embedded_programs
from rater_service.database.embedded import EmbeddedServer, start, stop, stop_left_behind
from rater_service.database.embedded_data import SOCKET, DataFolder, listening_pid
from rater_service.database.embedded_programs import find_programs, may_reach
from rater_service.errors import OperatorError
from rig.programs import PROJECT
from tests.harness.waiting import wait_until

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
USES_IT = """
import pathlib, sys, time
from rater_service.database.embedded import start
print(start(pathlib.Path(sys.argv[1])).url, flush=True)
time.sleep(600)
"""
# Ctrl-C is pressed again and again from the moment the server is launched on.
PRESSED = """
import asyncio, os, pathlib, signal, sys, time
from rater_service.database import embedded

launch = embedded._launch

def pressed_meanwhile(*given):
    process = launch(*given)
    for _ in range(100):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.005)
    return process

async def use(path):
    async with embedded.server(path):
        await asyncio.sleep(600)

embedded._launch = pressed_meanwhile
"""
PRESSED_WHILE_IT_STARTS = {
    "at once": PRESSED + "embedded.start(pathlib.Path(sys.argv[1]))",
    "in a thread": PRESSED + "asyncio.run(use(pathlib.Path(sys.argv[1])))",
}
ANSWERS_SIGNALS = """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
signal.signal(signal.SIGTERM, lambda *_: (print("asked to end", flush=True), sys.exit(2)))
print("ready", flush=True)
while True:
    signal.pause()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder at the end of a path too long for a socket, below folders that nobody else may pass."""
    folder = tmp_path_factory.mktemp("embedded")
    for part in ("a b'c", "x" * 100, "data"):
        folder /= part
        folder.mkdir(mode=0o700)
    return folder


@contextmanager
def running(data: Path) -> Iterator[EmbeddedServer]:
    server = start(data)
    try:
        yield server
    finally:
        stop(server)


def ask(server: EmbeddedServer, question: str) -> object:
    async def ask() -> object:
        connection = await asyncpg.connect(server.url)
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    return asyncio.run(ask())


def as_user(name: str) -> dict[str, Any]:
    user = pwd.getpwnam(name)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def until_gone(pid: int) -> None:
    stat = Path(f"/proc/{pid}/stat")
    wait_until(lambda: not stat.exists() or b"Z" in stat.read_bytes().split()[2])


def test_it_listens_for_its_user_alone_and_opens_no_folder(data: Path) -> None:
    above = {path: path.stat().st_mode for path in (data, *data.parents)}
    with running(data) as server:
        assert ask(server, "SHOW listen_addresses") == ""
        assert ask(server, "SHOW wal_compression") == "pglz"
        assert ask(server, "SELECT pg_encoding_to_char(encoding) FROM pg_database LIMIT 1") == "UTF8"
        sockets = server.socket_folder.stat()
        assert (sockets.st_mode & 0o777, sockets.st_uid) == (0o700, server.programs.user_id)
        assert len(str(server.socket_folder / SOCKET)) < 60
        assert (data / "postgresql").stat().st_mode & 0o777 == 0o700
    assert {path: path.stat().st_mode for path in above} == above
    assert not server.socket_folder.exists()


@AS_ROOT
@pytest.mark.parametrize("name", ["nobody", "pgserver"])
def test_no_other_user_gets_in_not_even_the_servers_own(data: Path, name: str) -> None:
    with running(data) as server:
        refused = subprocess.run(
            [server.programs.folder / "psql", "-c", "SELECT 1", server.url],
            check=False,
            **as_user(name),
            capture_output=True,
            text=True,
            cwd="/",
        )
    assert refused.returncode != 0
    assert "Permission denied" in refused.stderr or "authentication failed" in refused.stderr


def test_processes_share_it_and_the_last_to_leave_stops_it(data: Path) -> None:
    first, second = start(data), start(data)
    assert first.url == second.url
    stop(first)
    assert ask(second, "SELECT 1") == 1
    stop(second)
    assert listening_pid(second.socket_folder) is None


def test_a_number_that_is_another_process_by_now_is_left_in_peace(data: Path) -> None:
    with running(data) as server:
        user = server.programs.run_as()
    with subprocess.Popen(["sleep", "600"], **user) as other:
        stale = data / "postgresql" / "postmaster.pid"
        stale.write_text(f"{other.pid}\n{data}/postgresql\n1\n5432\n/nowhere\n\n1 1\nready   \n")
        assert not stop_left_behind(data)
        with running(data) as server:
            assert ask(server, "SELECT 1") == 1
        assert other.poll() is None
        other.kill()


def test_a_server_that_was_killed_is_started_again(data: Path) -> None:
    with running(data) as server:
        pid = listening_pid(server.socket_folder)
        assert pid
        os.kill(pid, signal.SIGKILL)
        until_gone(pid)
        with running(data) as again:
            assert ask(again, "SELECT 1") == 1
            assert again.url != server.url
        assert not server.socket_folder.exists()


def test_what_a_killed_process_left_running_is_shared_or_stopped(
    data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen([sys.executable, "-c", USES_IT, data], stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout
        url = user.stdout.readline().strip()
        assert not stop_left_behind(data)
        user.kill()
    with running(data) as server:
        assert server.url == url
        assert not stop_left_behind(data)
    assert not stop_left_behind(data)

    with subprocess.Popen([sys.executable, "-c", USES_IT, data], stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout
        user.stdout.readline()
        user.kill()
    assert main(["embedded", "--data", str(data), "--stop"]) == 0
    assert main(["embedded", "--data", str(data), "--stop"]) == 0
    assert capfd.readouterr().out.splitlines()[-2:] == ["stopped it", "no server was left behind"]


def test_a_server_that_others_started_on_the_data_is_named_and_left_running(data: Path) -> None:
    with running(data) as server:
        programs = server.programs
    with TemporaryDirectory(prefix="other-", dir="/tmp") as sockets:
        os.chown(sockets, programs.user_id, -1)
        with DataFolder.make(data, programs).reachable(programs) as (path, keep_open):
            command: list[str | Path] = [programs.folder / "postgres", "-D", path, "-k", sockets, "-h", ""]
            other = subprocess.Popen(command, pass_fds=keep_open, **programs.run_as())
        deadline_s = time.monotonic() + 30
        while listening_pid(Path(sockets)) != other.pid:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        with pytest.raises(OperatorError, match=f"kill -INT {other.pid}"):
            start(data)
        assert other.poll() is None
        other.send_signal(signal.SIGINT)
        assert other.wait(30) == 0


def test_two_on_one_machine_know_nothing_of_each_other(data: Path, tmp_path: Path) -> None:
    with running(data) as first, running(tmp_path / "other") as second:
        ask(first, "CREATE TABLE only_here ()")
        assert ask(second, "SELECT to_regclass('only_here')") is None
        ask(first, "DROP TABLE only_here")


@AS_ROOT
def test_an_ordinary_user_runs_it_as_itself() -> None:
    user = pwd.getpwnam("nobody")
    if not may_reach(user, find_programs().folder):
        pytest.skip("another user can't run the programs")
    # Pytest's own folders are root's alone.
    with TemporaryDirectory(prefix="phoebe-test-", dir="/tmp") as name:
        folder = Path(name)
        os.chown(folder, user.pw_uid, user.pw_gid)
        assert exit_status_as(user, lambda: use_it_as_oneself(folder / "data")) == 0
        assert (folder / "data" / "postgresql").stat().st_uid == user.pw_uid


def use_it_as_oneself(data: Path) -> None:
    find_programs.cache_clear()
    with running(data) as server:
        assert server.programs.user is None
        # Not by asyncpg: the parent's event loop is not a child's.
        command = ["psql", "--no-align", "--tuples-only", "--command", "SELECT current_user", server.url]
        said = subprocess.check_output([server.programs.folder / command[0], *command[1:]], text=True)
        assert said == "postgres\n"


def exit_status_as(user: pwd.struct_passwd, do: Callable[[], None]) -> int:
    """Do something in a child that is another user's, who perhaps can't start this Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which do nothing here
        pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    status = 1
    try:
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        os.chdir("/")
        do()
        status = 0
    except BaseException:  # nothing may come back from a child
        traceback.print_exc()
    finally:
        os._exit(status)


def test_a_program_is_run_against_it(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    question = ["psql", "--no-align", "--tuples-only", "--command", "SELECT 6 * 7"]
    assert main(["embedded", "--data", str(data), "--", *question]) == 0
    assert capfd.readouterr().out == "42\n"
    assert main(["embedded", "--data", str(data), "--", "psql", "--command", "SELECT nothing"]) == 1
    assert main(["embedded", "--data", str(data), "--", "sh", "-c", "exit 2"]) == 2
    assert main(["embedded", "--data", str(data), "--", "sh", "-c", "kill -9 $$"]) == 128 + 9
    assert main(["embedded", "--data", str(data), "--", "no-such-program"]) == 1
    assert "can't run no-such-program" in capfd.readouterr().err


@contextmanager
def in_a_terminal(*command: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run a program as a terminal does, which sends Ctrl-C to the program and to all that it has started."""
    # What a shell runs in the background ignores Ctrl-C, and so would all that it starts.
    heeding = ("env", "--default-signal=INT", sys.executable)
    with subprocess.Popen(
        [*heeding, *command], cwd=PROJECT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def press_ctrl_c(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGINT)


def test_ctrl_c_and_a_request_to_end_are_for_the_program_to_answer(data: Path) -> None:
    embedded = ("-m", "rater_service.cli", "embedded", "--data", data)
    with in_a_terminal(*embedded, "--", sys.executable, "-c", ANSWERS_SIGNALS) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        for _ in range(2):
            press_ctrl_c(process)
            assert process.stdout.readline() == "interrupted\n"
        process.terminate()
        assert process.stdout.readline() == "asked to end\n"
        assert process.wait(30) == 2
    assert not stop_left_behind(data)


@pytest.mark.parametrize("program", [("-c", USES_IT), ("-m", "rater_service.cli", "report", "--data")])
def test_ctrl_c_while_it_starts_leaves_no_server_behind(data: Path, program: tuple[str, ...]) -> None:
    with running(data):
        pass
    noted = data / "postgresql" / "postmaster.pid"
    for presses in (1, 2):
        with in_a_terminal(*program, data) as process:
            deadline_s = time.monotonic() + 30
            while not noted.exists():
                assert time.monotonic() < deadline_s
                time.sleep(0.001)
            for _ in range(presses):
                press_ctrl_c(process)
            assert process.wait(60) != 0
        assert not noted.exists()
        assert not stop_left_behind(data)


@pytest.mark.parametrize("how", PRESSED_WHILE_IT_STARTS)
def test_ctrl_c_pressed_again_and_again_while_it_starts_leaves_no_server_behind(data: Path, how: str) -> None:
    with in_a_terminal("-c", PRESSED_WHILE_IT_STARTS[how], data) as process:
        assert process.wait(60) != 0
    assert not (data / "postgresql" / "postmaster.pid").exists()
    assert not stop_left_behind(data)


def test_data_that_everybody_may_replace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o777)
    with pytest.raises(OperatorError, match="chmod o-w"):
        start(tmp_path / "data")


def test_data_of_another_version_is_refused_in_words(data: Path, tmp_path: Path) -> None:
    programs = find_programs()
    (tmp_path / "data" / "postgresql").mkdir(parents=True, mode=0o700)
    (tmp_path / "data" / "postgresql" / "PG_VERSION").write_text("16\n")
    (tmp_path / "data" / "postgresql").chmod(0o700)
    os.chown(tmp_path / "data" / "postgresql", programs.user_id, -1)
    with pytest.raises(OperatorError, match="is of PostgreSQL 16, and the embedded one is 18"):
        start(tmp_path / "data")


@AS_ROOT
def test_programs_that_the_servers_user_can_not_reach_are_copied_and_no_folder_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = find_programs().folder.parent
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    copy = embedded_programs._copied(installed)
    assert copy == embedded_programs._copied(installed)
    [made] = tmp_path.iterdir()
    for program in ("postgres", "initdb"):  # the second one needs a library that the wheel brings
        said = subprocess.run([copy / "bin" / program, "--version"], check=True, capture_output=True)
        assert b"(PostgreSQL) 18" in said.stdout

    made.chmod(0o777)
    with pytest.raises(OperatorError, match="made by somebody else"):
        embedded_programs._copied(installed)
