"""The systemd units of deploy/systemd: what they start, and how long it may take to end."""

import shlex
from configparser import ConfigParser
from pathlib import Path

import pytest
import typer

from rater_service.cli.program import app
from rater_service.cli.variables import ADDON_VARIABLES, own_variables

UNITS = Path(__file__).parents[3] / "deploy" / "systemd"
NAMES = ("phoebe-proxy.service", "phoebe-rater.service")


def service(name: str) -> dict[str, str]:
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign] # as systemd: case matters
    parser.read(UNITS / name)
    return dict(parser["Service"])


def environment(name: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in shlex.split(service(name)["Environment"]))


def test_these_are_all() -> None:
    assert sorted(path.name for path in UNITS.iterdir()) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_variables_are_ones_and_the_user_is_not_root(name: str) -> None:
    known = {*own_variables(typer.main.get_command(app)), *ADDON_VARIABLES}
    assert environment(name).keys() <= known
    assert service(name)["User"] == "phoebe"
    assert service(name)["EnvironmentFile"].startswith("/etc/phoebe/")


def test_the_rater_is_started_as_it_can_be() -> None:
    program, command, *rest = shlex.split(service("phoebe-rater.service")["ExecStart"])
    assert program == "/opt/phoebe/bin/phoebe"
    group = typer.main.get_command(app)
    with group.make_context("phoebe", [command, *rest]) as context:
        group.get_command(context, command).make_context(command, rest, parent=context)  # type: ignore[attr-defined]


def test_the_proxy_is_not_killed_before_its_drain_is_over() -> None:
    unit = service("phoebe-proxy.service")
    drain = int(environment("phoebe-proxy.service")["PHOEBE_DRAIN_TIMEOUT"])
    assert int(unit["TimeoutStopSec"]) >= drain + 15


def test_the_proxy_writes_only_to_folders_that_systemd_makes() -> None:
    unit = service("phoebe-proxy.service")
    assert environment("phoebe-proxy.service")["PHOEBE_SPOOL"] == f"/var/lib/{unit['StateDirectory']}"
    assert shlex.split(unit["ExecStart"])[:2] == ["/opt/phoebe/bin/phoebe", "proxy"]
    assert f"confdir=/run/{unit['RuntimeDirectory']}" in unit["ExecStart"]
    assert unit["ProtectSystem"] == "strict"
    assert unit["StateDirectoryMode"] == "0700"
