import socket
from pathlib import Path
from typing import Any

import pytest

from phoebe_addon.answer.abort import DEFAULT_RULES, Abort, AbortRules
from phoebe_addon.gate.request_body import Asking
from phoebe_addon.settings.settings import SettingsError, read_settings
from tests.harness.addon_settings import options_with, settings_with

SECRET = "a-secret-of-24-characters"


def faults(**given: Any) -> str:
    with pytest.raises(SettingsError) as raised:
        settings_with(**given)
    return str(raised.value)


@pytest.mark.parametrize(("text", "seconds"), [("600", 600), ("0", 0), (" 2.5 ", 2.5), ("0.0", 0)])
def test_the_engine_timeout_is_a_number_of_seconds(text: str, seconds: float) -> None:
    assert settings_with(phoebe_engine_timeout=text).engine_timeout_s == seconds


@pytest.mark.parametrize(
    "text", ["-1", "10m", "inf", "nan", "1e3", "1_000", "٣", "1.", "12345678901", "soon"]
)
def test_a_timeout_that_is_no_number_of_seconds_is_named(text: str) -> None:
    assert "is not a number of seconds" in faults(phoebe_engine_timeout=text)


def test_a_proxy_is_called_as_its_host_unless_it_has_a_name() -> None:
    assert settings_with(phoebe_name="gateway 0").name == "gateway 0"
    assert settings_with().name == socket.gethostname()[:64]


@pytest.mark.parametrize("name", ["a\tb", "n" * 65, "Zürich"])
def test_a_name_that_logs_could_not_show_is_refused(name: str) -> None:
    assert "is not up to 64 printable ASCII characters" in faults(phoebe_name=name)


@pytest.mark.parametrize("count", [0, -1, 1_000_001])
def test_a_count_has_bounds(count: int) -> None:
    assert settings_with(phoebe_connections_max=1, phoebe_exchanges_max=1_000_000).connections_max == 1
    assert f"phoebe_connections_max: {count} is not from 1 to 1000000" in faults(phoebe_connections_max=count)


@pytest.mark.parametrize(
    ("policy", "timeout", "seconds"),
    [("finish", None, 60), ("drain", None, 3600), ("cut", None, 60), ("drain", "2.5", 2.5)],
)
def test_a_drained_answer_has_more_time_unless_that_is_said(
    policy: str, timeout: str | None, seconds: float
) -> None:
    abort = settings_with(phoebe_abort=policy, phoebe_abort_timeout=timeout, phoebe_abort_limit="1m").abort
    assert abort == AbortRules(Abort(policy), seconds, 2**20)


def test_what_is_read_without_a_client_has_bounds() -> None:
    assert settings_with().abort == DEFAULT_RULES == AbortRules(Abort.FINISH, 60, 256 * 2**20)
    assert "phoebe_abort: 'wait' is none of finish, drain, cut" in faults(phoebe_abort="wait")
    assert "phoebe_abort_limit: '0' is not a size" in faults(phoebe_abort_limit="0")


@pytest.mark.parametrize("given", ["0", "0.0", "-5", "60s", "1m", "nan", "a minute"])
def test_a_time_for_which_nothing_could_be_read_is_one_fault_that_says_what_to_do(given: str) -> None:
    said = faults(phoebe_abort_timeout=given)

    assert said.count("phoebe_abort_timeout") == 1
    assert f"{given!r} is not a number of seconds above 0, like 60" in said
    assert "phoebe_abort=cut" in said


def test_usage_is_asked_for_on_every_chunk_of_engines_that_are_declared_and_can() -> None:
    assert settings_with().rules.asking is Asking.AUTO


def test_edges_that_are_none_are_a_mistake() -> None:
    assert "phoebe_trusted_edges is empty" in faults(phoebe_trusted_edges=[])


@pytest.mark.parametrize(
    "option", ["phoebe_edge_secret_file", "phoebe_upstream", "phoebe_rater", "phoebe_metrics"]
)
@pytest.mark.parametrize("empty", ["", " "])
def test_an_option_that_was_set_to_nothing_does_not_count_as_left_out(option: str, empty: str) -> None:
    """As when a shell puts a variable into a command line that is not set."""
    assert f"{option} is empty: give a value, or leave it out" in faults(**{option: empty})


def test_everything_that_is_wrong_is_said_at_once() -> None:
    said = faults(
        phoebe_engine_timeout="soon", phoebe_usage="never", phoebe_trusted_edges=["here", "10.0.0.0/8"]
    )

    assert "phoebe_engine_timeout: 'soon'" in said
    assert "phoebe_usage: 'never' is none of auto, final" in said
    assert "phoebe_trusted_edges: 'here' does not appear to be an IPv4 or IPv6 network" in said


@pytest.mark.parametrize(
    "given", [["10.0.0.0/8", "::1/128"], ["10.0.0.0/8,::1/128"], ["10.0.0.0/8, ::1/128"]]
)
def test_trusted_edges_are_given_one_by_one_or_with_commas(given: list[str]) -> None:
    networks = settings_with(phoebe_trusted_edges=given).rules.trusted_edges

    assert list(map(str, networks)) == ["10.0.0.0/8", "::1/128"]


@pytest.mark.parametrize("edges", [["0.0.0.0/0"], ["::/0"], ["10.0.0.0/8", "0.0.0.0/1,128.0.0.0/1"]])
def test_trusting_everyone_needs_a_secret_or_to_be_allowed_by_name(tmp_path: Path, edges: list[str]) -> None:
    assert "phoebe_trusted_edges lets anyone in" in faults(phoebe_trusted_edges=edges)
    assert settings_with(phoebe_trusted_edges=edges, phoebe_allow_any_edge=True).rules.trusted_edges
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "secret").chmod(0o600)
    with_secret = settings_with(phoebe_trusted_edges=edges, phoebe_edge_secret_file=str(tmp_path / "secret"))
    assert with_secret.edge_secrets.value.secrets == (SECRET.encode(),)


def test_files_that_are_followed_already_go_on_being_followed_however_they_are_now(tmp_path: Path) -> None:
    """Another option can be changed while a file can't be used."""
    path = tmp_path / "map.yaml"
    path.write_text("res: http://a")
    given = {"phoebe_upstream": str(path)}
    earlier = settings_with(**given)
    path.write_text("not: [a map")

    later = read_settings(options_with(**given, phoebe_body_limit="1k"), earlier)
    assert later.upstreams is earlier.upstreams
    assert later.rules.body_bytes_max == 1024
    with pytest.raises(SettingsError, match="not YAML"):
        read_settings(options_with(**given))


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        (["*"], {"*"}),
        (["none"], set()),
        (["https://a.example, http://[::1]:3000"], {"https://a.example", "http://[::1]:3000"}),
    ],
)
def test_origins_whose_pages_may_call_are_read(given: list[str], origins: set[str]) -> None:
    assert settings_with(phoebe_cors_origins=given).rules.cors_origins == origins


@pytest.mark.parametrize("given", ["https://a.example/", "a.example", "none,*", "null", ","])
def test_what_is_no_origin_is_refused(given: str) -> None:
    with pytest.raises(SettingsError, match=r"phoebe_cors_origins: .* is no origin like"):
        settings_with(phoebe_cors_origins=[given])
