"""The schedules in docs/scheduling.md: they parse, name real commands, and don't try exit status 2 again."""

import re
import shlex
from configparser import ConfigParser
from pathlib import Path

import pytest
import typer
import yaml

from rater_service.cli.program import EXIT_ANOMALY, app

PAGE = (Path(__file__).parents[4] / "docs/scheduling.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def parse(arguments: list[str]) -> dict[str, object]:
    """Parse as the command line does, without running the command; returns its options."""
    group = typer.main.get_command(app)
    with group.make_context("phoebe", list(arguments)) as context:
        _, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])  # type: ignore[attr-defined]
        assert command is not None
        return dict(command.make_context(command.name, rest, parent=context).params)


@pytest.fixture
def unit() -> ConfigParser:
    service, _ = map(ini, blocks("ini"))
    return service


def ini(text: str) -> ConfigParser:
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign] # as systemd: case matters
    parser.read_string(text)
    return parser


def test_every_command_on_the_page_is_one() -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("phoebe ")]
    assert len(commands) == 2
    for command in commands:
        parse(shlex.split(command)[1:])


def test_the_cron_job_rates_the_trailing_hours_once_at_a_time() -> None:
    (job,) = (yaml.safe_load(block) for block in blocks("yaml"))
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    spec = job["spec"]
    assert re.fullmatch(r"[1-9]\d? \* \* \* \*", spec["schedule"])
    assert (spec["timeZone"], spec["concurrencyPolicy"]) == ("Etc/UTC", "Forbid")
    (container,) = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    options = parse(container["args"])
    assert (options["since"], options["until"], options["by"]) == (None, None, "cronjob:phoebe-rate")
    assert [variable["name"] for variable in container["env"]] == ["DATABASE_URL"]


def test_a_job_that_needs_a_human_is_not_tried_again() -> None:
    (job,) = (yaml.safe_load(block) for block in blocks("yaml"))
    spec = job["spec"]["jobTemplate"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"] == {
        "containerName": container["name"],
        "operator": "In",
        "values": [EXIT_ANOMALY],
    }
    # Kubernetes takes a podFailurePolicy only with this.
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["backoffLimit"] > 0


def test_the_unit_rates_the_trailing_hours_and_is_tried_again_unless_it_needs_a_human(
    unit: ConfigParser,
) -> None:
    service = unit["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    options = parse(arguments)
    assert (program, options["since"], options["by"]) == (
        "/usr/local/bin/phoebe",
        None,
        "systemd:phoebe-rate",
    )
    assert (service["Type"], service["Restart"]) == ("oneshot", "on-failure")
    assert service["RestartPreventExitStatus"] == str(EXIT_ANOMALY)


def test_the_timer_fires_after_every_hour_of_utc() -> None:
    _, timer = map(ini, blocks("ini"))
    assert re.fullmatch(r"\*-\*-\* \*:0[1-9]:00 UTC", timer["Timer"]["OnCalendar"])
    assert timer["Install"]["WantedBy"] == "timers.target"
