"""The options of `phoebe migrate`: durations have their unit, and what help shows holds."""

import re
from datetime import timedelta

import pytest
import typer

from rater_service.cli import main, migrate
from rater_service.cli.options import duration
from rater_service.database import schema
from rater_service.database.revisions import Extent
from rater_service.database.schema import MigrationSettings
from rater_service.errors import OperatorError
from rater_service.events.partitions import Width


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("5s", timedelta(seconds=5)),
        ("10m", timedelta(minutes=10)),
        ("168h", timedelta(days=7)),
    ],
)
def test_a_duration_has_its_unit(written: str, expected: timedelta) -> None:
    assert duration(written) == expected


@pytest.mark.parametrize("written", ["", "5", "s", "0s", "5 s", "-5s", "1.5s", "5min", "169h", "9999999999h"])
def test_what_is_no_duration_is_refused_with_an_example(written: str) -> None:
    with pytest.raises(typer.BadParameter, match="write it like 500ms, 5s, 10m or 1h"):
        duration(written)


def test_the_limits_of_a_migration_that_help_shows_are_those_that_hold(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["migrate", "--help"]) == 0
    shown = re.findall(r"default:\s+\((\w+)\)", capsys.readouterr().out)
    settings = MigrationSettings()
    assert list(map(duration, shown)) == [settings.lock_timeout, settings.statement_timeout]


@pytest.mark.parametrize("flag", ["--lock-timeout", "--statement-timeout"])
def test_a_migration_with_a_wrong_limit_does_not_begin(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", flag, "5"]) == 1
    assert "'5' is not a duration" in capsys.readouterr().err


def test_a_migration_is_made_as_the_options_and_the_environment_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def migrate(url: str, settings: MigrationSettings, **_: object) -> None:
        raise OperatorError(f"{url} {settings}")

    monkeypatch.setattr(schema, "migrate", migrate)
    monkeypatch.setenv("PHOEBE_MIGRATE_STATEMENT_TIMEOUT", "2h")
    arguments = [
        "migrate",
        "--phase",
        "expand",
        "--wait-for-others",
        "15m",
        "--lock-timeout",
        "500ms",
        "--database-url",
        "postgresql:///x",
    ]

    assert main(arguments) == 1

    expected = MigrationSettings(
        Extent.EXPAND,
        wait_for_others=timedelta(minutes=15),
        lock_timeout=timedelta(seconds=0.5),
        statement_timeout=timedelta(hours=2),
    )
    assert f"postgresql:///x {expected}" in capsys.readouterr().err


def test_what_a_migration_can_be_asked_for_is_what_there_is() -> None:
    """The options name it once more, as the modules that have it are slow to import."""
    assert [phase.value for phase in migrate._Phases] == [extent.value for extent in Extent]
    assert [width.value for width in migrate._Widths] == [width.value for width in Width]


def test_a_plan_of_what_it_does_not_tell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "--plan", "--citus", "--database-url", "postgresql://nowhere.invalid/x"]) == 1
    assert "--plan tells of revisions only" in capsys.readouterr().err
