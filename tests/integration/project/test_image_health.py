"""An image's HEALTHCHECK asks whether it is ready on the metrics port and judges by the status alone."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.harness.dockerfile import final_stage


class Probed(BaseHTTPRequestHandler):
    """Answers as often as it is asked with the status it is given."""

    status = 200
    path_of_readiness = ""

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == self.path_of_readiness else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Probed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def judged(name: str, metrics: str) -> int:
    stage = final_stage(name)
    command = stage.last("HEALTHCHECK").rest.partition("CMD ")[2]
    program, *arguments = json.loads(command)
    assert program == "python"
    environment = {"PHOEBE_METRICS": metrics, "http_proxy": "http://127.0.0.1:9"}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, check=False
    ).returncode


@pytest.mark.parametrize(("name", "path"), [("addon", "/readyz"), ("rater", "/readyz/metering")])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "[::]"])
def test_an_image_is_healthy_as_long_as_it_is_ready(
    name: str, path: str, host: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Probed, "path_of_readiness", path)
    assert judged(name, f"{host}:{port}") == 0
    monkeypatch.setattr(Probed, "status", 503)
    assert judged(name, f"{host}:{port}") == 1


@pytest.mark.parametrize("name", ["addon", "rater"])
def test_an_image_that_does_not_answer_is_not_healthy(name: str) -> None:
    assert judged(name, "127.0.0.1:1") == 1
