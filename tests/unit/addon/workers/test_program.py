"""The command line of `phoebe proxy`."""

import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from phoebe_addon.settings.options import KEYS
from phoebe_addon.workers.program import WORKERS_MAX, Order, UsageError, main, read
from tests.harness import json_documents


def order(*words: str, **environment: str) -> Order:
    return read(words, environment, 4)


def test_without_options_there_is_a_worker_for_each_core_and_no_metrics() -> None:
    assert order("--", "--mode", "reverse:http://a") == Order(4, None, 300, ("--mode", "reverse:http://a"))


def test_what_stands_behind_the_dashes_is_mitmdumps() -> None:
    assert order("--workers", "2", "--", "-w", "file", "--", "~u x").arguments == ("-w", "file", "--", "~u x")


def test_metrics_are_where_the_option_or_else_the_variable_says() -> None:
    assert order("--metrics", "0.0.0.0:9090", PHOEBE_METRICS="a:1").metrics == ("0.0.0.0", 9090)
    assert order("--metrics=[::1]:9090").metrics == ("::1", 9090)
    assert order(PHOEBE_METRICS="127.0.0.1:9091").metrics == ("127.0.0.1", 9091)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--workers", "0"], f"--workers: must be a whole number from 1 to {WORKERS_MAX}, not '0'"),
        (["--workers", "-1"], f"--workers: must be a whole number from 1 to {WORKERS_MAX}, not '-1'"),
        (["--workers", "two"], "not 'two'"),
        (["--workers", "1000"], "not '1000'"),
        (["--metrics", "9090"], "--metrics: must be HOST:PORT, not '9090'"),
        (["--metrics", "a:70000"], "--metrics: must be HOST:PORT"),
        (["--reload-timeout", "soon"], "--reload-timeout: must be seconds, 0 or more, not 'soon'"),
        (["--mode", "reverse:http://a"], "mitmdump's arguments stand behind --"),
        (["--work", "2"], "mitmdump's arguments stand behind --"),
        (["--", "-s", "addon/phoebe.py"], "leave `-s addon/phoebe.py` out"),
        (["--", "--scripts=/app/addon/phoebe.py"], "leave `-s /app/addon/phoebe.py` out"),
    ],
)
def test_wrong_use_is_told_with_what_to_do(words: Sequence[str], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        order(*words)

    assert said in str(raised.value)


def test_a_bad_variable_is_told_as_the_option_is() -> None:
    with pytest.raises(UsageError, match="must be HOST:PORT, not 'nowhere'"):
        order(PHOEBE_METRICS="nowhere")


def test_other_scripts_may_be_loaded() -> None:
    assert order("--", "-s", "my_phoebe.py").arguments == ("-s", "my_phoebe.py")


def test_without_shared_ports_there_can_be_one_worker_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(socket, "SO_REUSEPORT")

    assert main(["--workers", "2"]) == 1

    assert "can't share a port between processes (SO_REUSEPORT): give --workers 1" in capsys.readouterr().err


def test_wrong_use_ends_with_1_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--workers", "0"]) == 1

    said = capsys.readouterr().err
    assert said.startswith("phoebe proxy: argument --workers: must be")
    assert said.count("\n") == 1


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    path = tmp_path / "phoebe.yaml"
    path.write_text(
        "proxy:\n  workers: 3\n  reload_timeout: 7\naddon:\n  metrics: 127.0.0.1:9\n"
        "  upstream: http://me:secret@a\n  models: [a, b]\n"
    )
    return path


def test_settings_come_from_the_file_below_options_and_the_environment(settings_file: Path) -> None:
    told = order("--workers", "2", PHOEBE_CONFIG=str(settings_file))
    assert told == Order(2, ("127.0.0.1", 9), 7.0, (), settings_file)
    told = order("--config", str(settings_file), PHOEBE_CONFIG="/nowhere", PHOEBE_METRICS="a:1")
    assert (told.workers, told.metrics) == (3, ("a", 1))


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("proxy:\n  worker: 3", "line 2: there is no key worker; did you mean workers?"),
        ("proxy:\n  workers: many", "line 2: workers: must be a whole number"),
        ("proxy:\n  metrics: [a, b]", "line 2: metrics takes one value"),
        ("addon:\n  upstreem: a", "line 2: there is no key upstreem; did you mean upstream?"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, section: str, said: str) -> None:
    path = tmp_path / "phoebe.yaml"
    path.write_text(section)
    with pytest.raises(UsageError) as raised:
        order("--config", str(path))
    assert said in str(raised.value)


def test_every_setting_is_shown_with_where_it_comes_from(
    settings_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--config", str(settings_file), "--show-config"]
    assert main([*words, "--", "--set", "phoebe_spool=/spool", "--set=phoebe_lean=false"]) == 0
    shown = capsys.readouterr().out
    assert f"  upstream                http://me:***@a  (file: {settings_file}, line 6)" in shown
    assert "  spool                   /spool  (option: --set phoebe_spool)" in shown
    assert "  lean                    false  (option: --set phoebe_lean)" in shown
    assert "  metrics                 -  (default)" in shown  # workers have none
    assert main([*words, "--json"]) == 0
    told = json_documents.read(capsys.readouterr().out)
    found = {(each["program"], each["setting"]): each["value"] for each in told["settings"]}
    assert found["proxy", "metrics"] == "127.0.0.1:9"
    assert found["addon", "models"] == ["a", "b"]
    assert {setting for program, setting in found if program == "addon"} == KEYS


def test_a_wrong_setting_of_workers_is_refused_where_it_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "phoebe.yaml"
    path.write_text("addon:\n  lean: maybe")
    assert main(["--config", str(path), "--show-config"]) == 1
    assert "line 2: lean is 'maybe'" in capsys.readouterr().err
