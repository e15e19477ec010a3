"""A real mitmdump with the addon, as a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[2]
MITMDUMP = Path(sys.executable).with_name("mitmdump")
START_TIMEOUT_S = 30.0
READY = "phoebe: metering"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Proxy:
    """mitmdump -s SCRIPT, listening on a free port of 127.0.0.1.

    options: values for --set. ready: what the log says once the proxy serves; None: don't wait.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        options: Mapping[str, str] | None = None,
        script: Path = ROOT / "addon" / "phoebe.py",
        environment: Mapping[str, str] | None = None,
        ready: str | None = READY,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.metrics_port = free_port()
        self.log_path = folder / "mitmdump.log"
        settings = {
            "phoebe_spool": str(folder / "spool"),
            "phoebe_metrics": f"127.0.0.1:{self.metrics_port}",
            "confdir": str(folder / "confdir"),
            "phoebe_drain_timeout": "5",
            **(options or {}),
        }
        sets = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    str(MITMDUMP),
                    *("-s", str(script), "--listen-host", "127.0.0.1", "--listen-port", str(self.port)),
                    *sets,
                    *arguments,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
            )
        if ready:
            self.wait_for_log(ready)
            self._wait_for_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait_for_log(self, text: str, count: int = 1) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.log().count(text) < count:
            assert self.process.poll() is None, f"mitmdump ended: {self.log()}"
            assert time.monotonic() < deadline, f"{text!r} never came: {self.log()}"
            time.sleep(0.02)

    def _wait_for_port(self) -> None:
        """The server is bound anew when the addon makes it a reverse proxy."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while "reverse proxy to" not in self.log() or not self._answers():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    def metric(self, name: str, **labels: str) -> float:
        """Read a metric from the addon's endpoint; a missing one is 0."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as response:
            text = response.read().decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Stop the process and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        return self.process.wait(timeout=30)
