"""A real PgBouncer in front of a server, where this machine has one."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.harness.own_postgres import SOCKET

# Not always on the path of users.
PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def pgbouncer(database_url: str, mode: str, **settings: str) -> Iterator[str]:
    """Run it in a mode in front of a database, which is named by a socket; gives the URL to use instead."""
    assert PROGRAM is not None
    named = urlsplit(database_url)
    behind = Path(parse_qs(named.query)["host"][0])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="phoebe-pgbouncer-") as name:
        folder = Path(name)
        chosen = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(port),
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": mode,
            **settings,
        }
        lines = [f"{key} = {value}" for key, value in chosen.items()]
        databases = f"[databases]\n* = host={behind} user=postgres\n"
        (folder / "ini").write_text(f"{databases}[pgbouncer]\n" + "\n".join(lines) + "\n")
        folder.chmod(0o755)
        process = subprocess.Popen(
            [PROGRAM, "-q", folder / "ini"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # It refuses to run as root, and must be let to the server's socket.
            user=(behind / SOCKET).stat().st_uid if os.geteuid() == 0 else None,
            extra_groups=[] if os.geteuid() == 0 else None,
        )
        try:
            _wait_for(port, process)
            yield f"postgresql://postgres@127.0.0.1:{port}{named.path}"
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        assert process.poll() is None, "PgBouncer does not start"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, "PgBouncer does not answer"
        time.sleep(0.02)  # between two looks at a process that is starting
