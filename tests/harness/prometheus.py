"""A real Prometheus, which asks what it is told of often, and says which alerts fire."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rig.ports import reserve_port
from rig.processes import start

type Labels = Mapping[str, str]

_CONFIGURATION = """\
global: {{ scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms }}
rule_files: [{rules}]
scrape_configs:
  - job_name: given
    file_sd_configs: [{{ files: [{targets}] }}]
"""


class Prometheus:
    """A server in a folder. program: its executable. rules: a file of rules; None: it has none."""

    def __init__(self, folder: Path, program: str, rules: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._targets = folder / "targets.json"
        self._given: list[dict[str, Any]] = []
        self._targets.write_text("[]")
        configuration = folder / "prometheus.yml"
        configuration.write_text(_CONFIGURATION.format(rules=rules or "", targets=self._targets))
        self._port = reserve_port()
        self._running = start(
            "prometheus",
            [
                program,
                f"--config.file={configuration}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
            folder / "prometheus.log",
            folder=folder,
        )
        self._running.wait_until(self._is_ready, "be ready")

    def follow(self, job: str, port: int) -> str:
        """Ask a port of loopback from now on. Returns its label `instance`."""
        instance = f"127.0.0.1:{port}"
        self._given.append({"targets": [instance], "labels": {"job": job}})
        new = self._targets.with_suffix(".new")
        new.write_text(json.dumps(self._given))
        new.replace(self._targets)
        return instance

    def query(self, expression: str) -> list[tuple[Labels, float]]:
        """Evaluate an expression now. Raises ValueError with Prometheus' words if it is none."""
        found = self._get("query", query=expression)
        if found["status"] != "success":
            raise ValueError(found["error"])
        return [(each["metric"], float(each["value"][1])) for each in found["data"]["result"]]

    def fires(self, alert: str, **labels: str) -> bool:
        """Whether an alert fires now, with these labels among its own."""
        return any(
            each["state"] == "firing"
            and each["labels"]["alertname"] == alert
            and labels.items() <= each["labels"].items()
            for each in self._get("alerts")["data"]["alerts"]
        )

    def wait_until_fires(
        self, alert: str, *, meanwhile: Callable[[], None] = lambda: None, **labels: str
    ) -> None:
        """Wait until an alert fires. meanwhile: what to do again and again. Raises RigError."""

        def is_so() -> bool:
            meanwhile()
            return self.fires(alert, **labels)

        self._running.wait_until(is_so, f"fire {alert} {labels or ''}")

    def wait_until_calm(self, alert: str, **labels: str) -> None:
        """Wait until an alert does not fire. Raises RigError."""
        self._running.wait_until(lambda: not self.fires(alert, **labels), f"end {alert} {labels or ''}")

    def wait_until_known(self, expression: str) -> None:
        """Wait until an expression has a value. Raises RigError."""
        self._running.wait_until(lambda: bool(self.query(expression)), f"know {expression}")

    def stop(self) -> None:
        """End it."""
        self._running.process.terminate()
        self._running.process.wait()

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        query = urllib.parse.urlencode(parameters)
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{query}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            text = error.read()
        found: dict[str, Any] = json.loads(text)
        return found
