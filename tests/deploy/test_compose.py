"""compose.yaml: Compose takes it, and its parts work together as it puts them, here without containers."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
import yaml

from rater_service.cli.program import app
from rater_service.cli.variables import ADDON_VARIABLES, own_variables
from rig.ports import accepts, reserve_port
from rig.postgres import installed_versions
from rig.processes import Running, start
from rig.programs import ADDON, LISTENING, PROJECT, environment_of_parts
from tests.deploy.conftest import TOOLS
from tests.harness.dockerfile import final_stage
from tests.harness.own_postgres import own_postgres

pytestmark = pytest.mark.deploy

FILE = PROJECT / "compose.yaml"
SERVICES: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]
BIN = Path(sys.executable).parent
OURS = ("addon", "demo", "engine", "migrate", "rater")


def judged(file: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [TOOLS / "docker-compose", "--project-directory", PROJECT, "-f", file]
    return subprocess.run([*command, "config", "-q"], capture_output=True, text=True, check=False)


def test_compose_takes_it() -> None:
    done = judged(FILE)
    assert done.returncode == 0, done.stderr


def test_compose_would_find_a_misspelt_key(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(FILE.read_text().replace("stop_grace_period", "stop_grace_perod"))
    assert judged(file).returncode != 0


@pytest.mark.parametrize("name", OURS)
def test_our_containers_write_nothing_and_set_only_variables_that_are_ones(name: str) -> None:
    service = SERVICES[name]
    assert service.get("read_only") or service["image"] == "phoebe-demo:compose"
    known = {*own_variables(typer.main.get_command(app)), *ADDON_VARIABLES}
    assert {each for each in service.get("environment", {}) if each.startswith("PHOEBE_")} <= known


def test_every_port_is_on_loopback_and_every_file_that_is_mounted_is_there() -> None:
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            # Rules and dashboards are made elsewhere; Docker makes an empty folder where there are none.
            if source.startswith("./") and source not in {"./deploy/prometheus", "./deploy/grafana"}:
                assert (PROJECT / source).exists(), source


def test_only_the_edge_is_trusted() -> None:
    address = SERVICES["edge"]["networks"]["front"]["ipv4_address"]
    assert SERVICES["addon"]["environment"]["PHOEBE_TRUSTED_EDGES"] == f"{address}/32"


class Stand:
    """The services of compose.yaml as processes of this machine: other addresses, the same commands."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder = folder
        self._database_url = database_url
        names = (
            *("edge:8080", "addon:8080", "addon:9090", "engine:8000"),
            *("rater:50051", "rater:8081", "rater:9090"),
        )
        self._places = {name: f"127.0.0.1:{reserve_port()}" for name in names}
        self._running: list[Running] = []

    def place(self, text: str) -> str:
        """Put this machine's addresses and folders in the place of the containers'."""
        for name, place in self._places.items():
            text = text.replace(name, place)
        return text.replace("10.213.0.10/32", "127.0.0.1/32").replace("/tmp/", f"{self.folder}/")

    def environment(self, service: str) -> dict[str, str]:
        """What compose.yaml sets for a service."""
        given = {name: self.place(value) for name, value in SERVICES[service].get("environment", {}).items()}
        if "DATABASE_URL" in given:
            given["DATABASE_URL"] = self._database_url
        if "PHOEBE_METRICS" in given:
            given["PHOEBE_METRICS"] = self._places[f"{service}:9090"]
        if "PHOEBE_CONSOLE" in given:
            given["PHOEBE_CONSOLE"] = self._places[f"{service}:8081"]
        return {**environment_of_parts(os.environ), **given}

    def start(self, service: str, *command: str, **more: str) -> Running:
        """Start a service's command."""
        environment = {**self.environment(service), **more}
        log = self.folder / f"{service}.log"
        running = start(service, command, log, folder=PROJECT, environment=environment, keep_log=True)
        self._running.append(running)
        return running

    def port(self, name: str) -> int:
        """The port that stands for one of a container."""
        return int(self._places[name].rpartition(":")[2])

    def stop(self) -> None:
        """Stop what still runs, the last one first."""
        for running in reversed(self._running):
            running.kill()


@contextmanager
def stand(folder: Path) -> Iterator[Stand]:
    # Not below pytest's folder, which the user of the server may not pass.
    with (
        tempfile.TemporaryDirectory() as data,
        own_postgres(
            installed_versions()[0], Path(data), reserve_port(), settings={"fsync": "off"}
        ) as server,
    ):
        made = Stand(folder, server.url)
        try:
            yield made
        finally:
            made.stop()


def test_what_up_starts_ends_with_the_demos_last_line(tmp_path: Path) -> None:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not on this machine")
    with stand(tmp_path) as parts:
        migrate = parts.start("migrate", str(BIN / "phoebe"), *SERVICES["migrate"]["command"])
        assert migrate.process.wait(120) == 0, migrate.said

        # ./demo is mounted where the image looks for its price file.
        assert SERVICES["rater"]["volumes"] == ["./demo:/etc/phoebe/prices:ro"]
        prices = str(PROJECT / "demo" / Path(final_stage("rater").environment()["PHOEBE_PRICES"]).name)
        serve = [
            word.replace("0.0.0.0:50051", parts.place("rater:50051")) for word in SERVICES["rater"]["command"]
        ]
        rater = parts.start("rater", str(BIN / "phoebe"), *serve, PHOEBE_PRICES=prices)
        rater.wait_until_says(LISTENING)

        engine = [word.replace("0.0.0.0", "127.0.0.1") for word in SERVICES["engine"]["command"]]
        engine[engine.index("8000")] = str(parts.port("engine:8000"))
        parts.start("engine", sys.executable, "-m", *engine).wait_until_says("running on (http)")

        image = final_stage("addon")
        program, *words = image.last("ENTRYPOINT").words()
        # The project may stand below /tmp itself.
        words = [parts.place(word).replace("/app/addon/phoebe.py", str(ADDON)) for word in words]
        words = [word.replace("0.0.0.0", "127.0.0.1") for word in words]
        words[words.index("8080")] = str(parts.port("addon:8080"))
        addon = parts.start("addon", str(BIN / program), *words, PHOEBE_SPOOL=str(tmp_path / "spool"))
        addon.wait_until(lambda: accepts(parts.port("addon:8080")), "take connections")

        configuration = tmp_path / "nginx.conf"
        text = parts.place((PROJECT / "deploy" / "compose" / "nginx.conf").read_text())
        port = parts.port("edge:8080")
        configuration.write_text(text.replace("listen 8080", f"listen 127.0.0.1:{port}"))
        own = ["-c", str(configuration), "-e", str(tmp_path / "nginx.err"), "-g", "daemon off;"]
        edge = parts.start("edge", shutil.which("nginx") or "nginx", *own)
        edge.wait_until(lambda: accepts(port), "take connections")

        demo = parts.start("demo", sys.executable, "-m", "demo")
        assert demo.process.wait(120) == 0, demo.said
        last = demo.said.strip().splitlines()[-1]
        assert re.match(r"demo ok: admitted=17 stored=17 rated=14 unpriced=1 zero_charge=2 ", last), demo.said
        console = httpx.get(f"http://{parts.place('rater:8081')}/", follow_redirects=True)
        assert console.status_code == 200
        assert "acme" in console.text
