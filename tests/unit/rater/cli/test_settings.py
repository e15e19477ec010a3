"""Settings of commands from a file, below the environment and options, and `phoebe config`."""

from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from docs_site import example_settings
from phoebe_addon.settings.options import KEYS
from phoebe_runtime.settings_file import parse_settings
from rater_service.cli import main
from rater_service.cli.addon_section import KEYS as ADDON_KEYS
from rater_service.cli.program import app
from rater_service.cli.settings import URL_FILE_KEYS, settings_of
from rig.programs import PROJECT
from tests.harness import json_documents

type Capture = pytest.CaptureFixture[str]

OWN = {key for _, key, _ in settings_of(typer.main.get_command(app))}
KNOWN = {
    "rater": {*OWN, *URL_FILE_KEYS.values()},
    "addon": KEYS,
    "proxy": {"workers", "metrics", "reload_timeout"},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "phoebe.yaml"
    (tmp_path / "url").write_text("postgresql://phoebe:secret@db/phoebe\n")
    path.write_text(
        f"rater:\n  listen: 127.0.0.1:1\n  late_days: 12\n  allow_plaintext: true\n  rate_every: 15m\n"
        f"  database_url_file: {tmp_path / 'url'}\n"
    )
    return path


def settings(capsys: Capture, *words: str) -> dict[tuple[str, str], Any]:
    assert main([*words, "--json"]) == 0, capsys.readouterr().err
    told = json_documents.read(capsys.readouterr().out)
    return {(each["program"], each["setting"]): each for each in told["settings"]}


def test_an_option_comes_before_the_environment_the_file_and_the_default(
    file: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOEBE_LATE_DAYS", "3")
    assert main(["--config", str(file), "config", "serve", "--json", "--", "--listen", "127.0.0.1:2"]) == 0
    told = json_documents.read(capsys.readouterr().out)
    found = {each["setting"]: (each["value"], each["source"], each["place"]) for each in told["settings"]}
    assert told["file"] == str(file)
    assert found["listen"] == ("127.0.0.1:2", "option", "--listen")
    assert found["late_days"] == ("3", "environment", "PHOEBE_LATE_DAYS")
    assert found["rate_every"] == ("15m", "file", f"{file}, line 5")
    assert found["rate_delay"] == ("120", "default", None)
    assert found["database_url"] == ("postgresql://phoebe:***@db/phoebe", "file", f"{file}, line 6")


def test_the_url_of_a_standby_can_stand_in_a_file_of_its_own_and_its_password_is_not_shown(
    tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "standby").write_text("postgresql://reader:secret@db-2/phoebe\n")
    path = tmp_path / "phoebe.yaml"
    path.write_text(f"rater:\n  read_database_url_file: {tmp_path / 'standby'}\n")
    for program in ("serve", "export"):
        found = settings(capsys, "config", program, "--config", str(path))[program, "read_database_url"]
        assert (found["value"], found["place"]) == ("postgresql://reader:***@db-2/phoebe", f"{path}, line 2")


def test_a_key_holds_for_every_program_that_has_it_and_the_file_may_be_named_anywhere(
    file: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = settings(capsys, "config", f"--config={file}")
    assert [found[program, "late_days"]["value"] for program in ("serve", "rate")] == ["12", "12"]
    monkeypatch.setenv("PHOEBE_CONFIG", str(file))
    assert settings(capsys, "config")["rate", "late_days"]["source"] == "file"
    assert main(["config", "serve"]) == 0
    shown = capsys.readouterr().out
    assert "file:" in shown
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("late_dayz: 1", "there is no key late_dayz; did you mean late_days?"),
        ("late_days: soon", "line 2: late_days: Input should be a valid integer"),
        ("rate_delay: 9999", "line 2: rate_delay: Input should be less than or equal to 3600"),
        ("rate_every: 3s", "line 2: rate_every: "),
        ("log_format: xml", "'xml' is not one of 'human', 'json'"),
        ("allow_plaintext: perhaps", "line 2: allow_plaintext: Input should be a valid boolean"),
        ("listen: [a, b]", "line 2: listen takes one value"),
        ("database_url_file: /nowhere", "line 2: database_url_file: the URL can't be read: No such file"),
        ("database_url_file: /dev/null", "line 2: database_url_file: the file is empty"),
        ("database_url_file: x\n  database_url: y", "database_url is there, too"),
    ],
)
def test_what_is_wrong_in_the_file_ends_every_command(
    tmp_path: Path, line: str, said: str, capsys: Capture
) -> None:
    path = tmp_path / "phoebe.yaml"
    path.write_text(f"rater:\n  {line}\n")
    assert main(["config", "--config", str(path)]) == 1
    written = capsys.readouterr()
    assert written.out == ""
    assert said in written.err


def test_a_wrong_setting_is_refused_where_it_is_shown_too(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOEBE_RATE_DELAY", "9999")
    assert main(["config", "serve"]) == 1
    assert "PHOEBE_RATE_DELAY" in capsys.readouterr().err
    assert main(["config", "conformance"]) == 1
    assert "is none of serve, rate, migrate, export, proxy" in capsys.readouterr().err


def test_the_example_is_made_from_the_options_and_has_every_key() -> None:
    text = (PROJECT / "deploy/phoebe.example.yaml").read_text("utf-8")
    assert text == example_settings.text(), "make example-settings"
    told = yaml.safe_load(text)
    assert told == dict.fromkeys(("rater", "addon", "proxy"))
    everything = "\n".join(
        line.replace("  #", "  ", 1) if line[:4] != "  # " else "" for line in text.split("\n")
    )
    found = parse_settings(everything, "example", KNOWN)
    assert {name: set(section) for name, section in found.items()} == KNOWN


def test_the_example_of_the_page_has_no_other_keys() -> None:
    page = (PROJECT / "docs/command-line.md").read_text("utf-8")
    text = page.partition("```yaml\n")[2].partition("```")[0]
    assert set(parse_settings(text, "docs/command-line.md", KNOWN)["rater"]) == {
        "listen",
        "database_url_file",
        "late_days",
    }


def test_the_doctor_asks_by_the_addons_section_what_a_proxy_asks(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "phoebe.yaml"
    path.write_text("addon:\n  rater_tls: true\n  spool: /no/such/folder\n  models: [a, b]\n")
    ask = ["--config", str(path), "doctor", "--only", "spool", "--data", str(tmp_path)]
    assert main(ask) == 2
    assert "/no/such/folder can't be looked at" in capsys.readouterr().out
    monkeypatch.setenv("PHOEBE_SPOOL", str(tmp_path))
    main(ask)
    assert "/no/such/folder" not in capsys.readouterr().out
    for wrong, fault in (
        ("rater_tls: perhaps", "line 2: rater_tls: "),
        ("rater_tsl: true", "line 2: there is no key rater_tsl; did you mean rater_tls?"),
        ("spool: [a, b]", "line 2: spool takes one value"),
    ):
        path.write_text(f"addon:\n  {wrong}\n")
        assert main(ask) == 1
        assert fault in capsys.readouterr().err
        # Whoever asks no proxy reads its own section only.
        assert main(["--config", str(path), "config"]) == 0
    assert ADDON_KEYS >= KEYS
