"""The edges of deploy/edge, run as they stand there but for their addresses, and an identity service."""

import os
import shutil
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import override

from rig.ports import accepts, reserve_port
from rig.processes import Running, start
from rig.programs import PROJECT
from tests.harness.certificates import Authority

CONFIGURATIONS = PROJECT / "deploy" / "edge"
SECRET = "an-edge-secret-of-the-test-0123456789"


class IdentityService:
    """Answers 200 with the headers that it has for a bearer token, and 401 to whoever has none."""

    def __init__(self, identities: Mapping[str, Mapping[str, str]]) -> None:
        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                identity = identities.get(token)
                self.send_response(401 if identity is None else 200)
                for name, value in (identity or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            @override
            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.port = self._server.server_port
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Edge:
    """An edge that listens with TLS. name: nginx or caddy, whose program is on the machine."""

    def __init__(self, name: str, folder: Path, phoebe_port: int, identity_port: int) -> None:
        self.port = reserve_port()
        self.authority = Authority()
        certificate, key = self.authority.issue_for_loopback().write(folder / "tls", "tls")
        text = {"nginx": "nginx.conf", "caddy": "Caddyfile"}[name]
        written = (CONFIGURATIONS / text).read_text()
        places = {
            "127.0.0.1:8080": f"127.0.0.1:{phoebe_port}",
            "127.0.0.1:9000": f"127.0.0.1:{identity_port}",
            f"/etc/{name}/tls/tls.crt": str(certificate),
            f"/etc/{name}/tls/tls.key": str(key),
            "listen 8443 ssl": f"listen 127.0.0.1:{self.port} ssl",
            ":8443 {": f"https://127.0.0.1:{self.port} {{",
            "/etc/nginx/phoebe-secret.conf": str(folder / "secret.conf"),
        }
        for place, mine in places.items():
            written = written.replace(place, mine)
        (folder / "secret.conf").write_text(f'proxy_set_header X-Phoebe-Edge-Secret "{SECRET}";\n')
        (folder / text).write_text(written)
        self._running = self._start(name, folder, folder / text)
        self._running.wait_until(lambda: accepts(self.port), f"answer on port {self.port}")

    @staticmethod
    def _start(name: str, folder: Path, configuration: Path) -> Running:
        program = shutil.which(name)
        assert program is not None
        commands = {
            # What a packaged nginx would write to /var/log and /run.
            "nginx": [
                "-c",
                str(configuration),
                "-p",
                str(folder),
                "-e",
                str(folder / "error.log"),
                "-g",
                _OWN,
            ],
            "caddy": ["run", "--config", str(configuration), "--adapter", "caddyfile"],
        }
        environment = {
            **os.environ,
            "PHOEBE_EDGE_SECRET": SECRET,
            "HOME": str(folder),
            "XDG_DATA_HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
        }
        return start(
            name, [program, *commands[name]], folder / f"{name}.log", folder=folder, environment=environment
        )

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._running.process.terminate()
        self._running.process.wait(20)


_OWN = "daemon off; pid nginx.pid;"
