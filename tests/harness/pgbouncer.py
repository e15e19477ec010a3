"""A real PgBouncer in front of a server, where this machine has one."""

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from rig.ports import accepts, reserve_port
from rig.processes import start
from tests.harness.own_postgres import SOCKET

# Not always on the path of users.
PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def pgbouncer(database_url: str, mode: str, **settings: str) -> Iterator[str]:
    """Run it in a mode in front of a database, which is named by a socket; gives the URL to use instead."""
    assert PROGRAM is not None
    named = urlsplit(database_url)
    behind = Path(parse_qs(named.query)["host"][0])
    port = reserve_port()
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
        running = start(
            "PgBouncer",
            [PROGRAM, "-q", folder / "ini"],
            folder / "log",
            folder=folder,
            # It refuses to run as root, and must be let to the server's socket.
            user=pwd.getpwuid((behind / SOCKET).stat().st_uid) if os.geteuid() == 0 else None,
        )
        try:
            running.wait_until(lambda: accepts(port), f"answer on port {port}")
            yield f"postgresql://postgres@127.0.0.1:{port}{named.path}"
        finally:
            running.process.terminate()
            running.process.wait()
