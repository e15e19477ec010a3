"""The command line in an environment that has the addon's half only."""

from pathlib import Path

import pytest

from tests.harness import json_documents
from tests.harness.python_child import run_python

WITHOUT = "import sys; sys.modules.update(dict.fromkeys(['typer', 'asyncpg', 'rich'])); "


def test_it_ends_with_a_sentence_and_no_traceback() -> None:
    ran = run_python(WITHOUT + "from rater_service.cli import main; sys.exit(main(['rate']))")

    assert ran.returncode == 1
    assert ran.stderr.startswith("phoebe: rate needs ")
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("name", ["rater_service.hours", "phoebe_proto.v1"])
def test_a_module_of_our_own_that_is_missing_is_a_bug_and_not_hidden(name: str) -> None:
    hidden = f"import sys; sys.modules[{name!r}] = None; "
    ran = run_python(hidden + "from rater_service.cli import main; sys.exit(main(['rate']))")

    assert "ModuleNotFoundError" in ran.stderr


def test_the_path_of_the_addon_is_shown_without_any_library() -> None:
    ran = run_python(WITHOUT + "from rater_service.cli import main; sys.exit(main(['addon-path']))")

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.endswith("/phoebe_addon/loaded/phoebe.py\n")


def test_the_proxy_says_what_to_install_where_it_is_missing_and_needs_nothing_of_the_raters() -> None:
    without = WITHOUT + "sys.modules['mitmproxy'] = None; "
    ran = run_python(
        without + "from rater_service.cli import main; sys.exit(main(['proxy', '--workers', '2']))"
    )

    assert ran.returncode == 1
    assert ran.stderr.startswith("phoebe: `phoebe proxy` needs mitmproxy, which is not installed: ")
    assert "phoebe-metering[addon]" in ran.stderr


def test_the_proxy_runs_where_the_raters_half_is_missing() -> None:
    ran = run_python(
        WITHOUT + "from rater_service.cli import main; sys.exit(main(['proxy', '--workers', '0']))"
    )

    assert ran.returncode == 1
    assert ran.stderr.startswith("phoebe proxy: argument --workers: must be a whole number from 1")


def test_the_settings_of_the_proxy_are_shown_by_the_proxy(tmp_path: Path) -> None:
    file = tmp_path / "phoebe.yaml"
    file.write_text("rater:\n  late_days: 3\nproxy:\n  workers: 3\n")
    words = ["config", "proxy", "--config", str(file), "--json", "--", "--set", "phoebe_spool=/spool"]
    ran = run_python(f"import sys; from rater_service.cli import main; sys.exit(main({words!r}))")

    assert ran.returncode == 0, ran.stderr
    told = json_documents.read(ran.stdout)
    found = {(each["program"], each["setting"]): each["value"] for each in told["settings"]}
    assert (found["proxy", "workers"], found["addon", "spool"]) == ("3", "/spool")
