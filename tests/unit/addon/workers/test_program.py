"""The command line of `phoebe proxy`."""

import socket
from collections.abc import Sequence

import pytest

from phoebe_addon.workers.program import WORKERS_MAX, Order, UsageError, main, read


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
