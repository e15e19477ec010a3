"""A real mitmdump with the addon, as a process of its own, or several of them behind one port."""

import os
import signal
import subprocess
import urllib.request
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from rig.ports import accepts, reserve_port
from rig.processes import READY_TIMEOUT_S, Running, start
from rig.programs import ADDON, PROJECT, mitmdump, phoebe
from tests.harness.preloaded import CAN_FORK, Job, Preloaded

READY = "phoebe: metering"
WORKERS_READY = "workers that serve: "


@cache
def preloaded() -> Preloaded:
    """The process that the proxies of these tests are forked from."""
    return Preloaded(PROJECT)


class Proxy:
    """mitmdump -s SCRIPT, listening on a free port of 127.0.0.1.

    options: values for --set. ready: what the log says once the proxy serves; None: don't wait. workers: run
    so many by `phoebe proxy`; None: none of that. from_nothing: it is started as users start it, as
    those are that many tests share; else it is the fork of a process that has imported all it needs.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        options: Mapping[str, str] | None = None,
        script: Path = ADDON,
        environment: Mapping[str, str] | None = None,
        ready: str | None = READY,
        workers: int | None = None,
        from_nothing: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = reserve_port()
        self.metrics_port = reserve_port()
        settings = {
            "phoebe_spool": str(folder / "spool"),
            "confdir": str(folder / "confdir"),
            "phoebe_drain_timeout": "5",
            **(options or {}),
        }
        metrics = f"127.0.0.1:{self.metrics_port}"
        if workers is None:
            settings = {"phoebe_metrics": metrics, **settings}
            command = mitmdump(self.port, settings, "-s", str(script), *arguments)
        else:
            behind = mitmdump(self.port, settings, *arguments)[1:]
            command = phoebe("proxy", "--workers", str(workers), "--metrics", metrics, "--", *behind)
        log, whole_environment = folder / "mitmdump.log", {**os.environ, **(environment or {})}
        if not CAN_FORK or ready is None or workers is not None or environment or from_nothing:
            self._running = start(
                "mitmdump", command, log, folder=PROJECT, environment=whole_environment, keep_log=True
            )
        else:
            job = Job(command, whole_environment, str(PROJECT))
            self._running = Running("mitmdump", preloaded().start(job, log), log)
        if ready and workers is not None:
            self.wait_for_log(WORKERS_READY)
        elif ready:
            self.wait_for_log(ready)
            # The server is bound anew when the addon makes it a reverse proxy.
            self.wait_for_log("reverse proxy to")
            self._running.wait_until(lambda: accepts(self.port), f"answer on port {self.port}")

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self._running.process

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        return self._running.said

    def wait_for_log(self, text: str, count: int = 1) -> None:
        self._running.wait_until(lambda: self.log().count(text) >= count, f"say {text!r} {count} times")

    def metric(self, name: str, **labels: str) -> float:
        """Read a metric from the addon's endpoint; a missing one is 0."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as response:
            text = response.read().decode()
        # Of all the others not a line is parsed: there are hundreds, and tests ask again and again.
        lines = "".join(line for line in text.splitlines(keepends=True) if line.startswith(name))
        return sum(
            sample.value
            for family in text_string_to_metric_families(lines)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def ended(self) -> int:
        """Wait until the process has ended, on a busy machine as long as for its start; return its status."""
        return self.process.wait(timeout=READY_TIMEOUT_S)

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Stop the process and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        return self.ended()
