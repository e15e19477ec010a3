from decimal import Decimal
from pathlib import Path

import pytest

from rater_service.cli import main
from rater_service.service import server
from rater_service.service.protection import ProtectionFiles
from rater_service.service.server import Face, ServerSettings
from tests.harness import json_documents

EXAMPLE = str(Path(__file__).parents[4] / "prices" / "example.yaml")
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"

type Capture = pytest.CaptureFixture[str]


@pytest.fixture
def faulty(tmp_path: Path) -> str:
    file = tmp_path / "faulty.yaml"
    file.write_text('version: 1\nbase_models:\n  "a[/b]": { prompt: 0.1, cached: "1e5", completion: "0" }\n')
    return str(file)


@pytest.fixture
def warned_of(tmp_path: Path) -> str:
    file = tmp_path / "warned-of.yaml"
    file.write_text(
        'version: 1\nbase_models:\n  a: { prompt: "0.0000000015", cached: "0", completion: "0" }\n'
        'effective_from: "2026-12-01T00:00:00Z"\n'
    )
    return str(file)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["rate", "--help"],
        ["quote", "-h"],
        ["serve", "-h"],
        ["migrate", "-h"],
        ["prices", "check", "-h"],
        ["report", "-h"],
        ["explain", "-h"],
        ["export", "-h"],
    ],
)
def test_help_tells_the_exit_codes_and_succeeds(arguments: list[str], capsys: Capture) -> None:
    assert main(arguments) == 0
    assert "Exit codes" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["prices"],
        ["nonsense"],
        ["rate", "--nonsense"],
        ["rate", "--since", "yesterday"],
        ["rate", "--since", "0001-01-01T00:00+23:00", "--until", "2026-11-20"],
        ["rate", "--since", "2026-11-20"],
        ["rate", "--until", "2026-11-20"],
        ["rate", "--mode", "sometimes"],
        ["quote"],
        ["quote", "m", "--prompt", "-1"],
        ["quote", "m", "--prompt", "1.5"],
        ["quote", "m", "--prompt", str(2**53 + 1)],
        ["prices", "check"],
        ["serve", "--log-level", "loud"],
    ],
)
def test_wrong_usage_fails_and_says_so_on_standard_error(arguments: list[str], capsys: Capture) -> None:
    assert main(arguments) == 1

    written = capsys.readouterr()
    assert written.out == ""
    assert "Usage: phoebe" in written.err


def test_every_setting_of_the_service_can_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    received: list[ServerSettings] = []

    async def receive(settings: ServerSettings, face: Face | None) -> None:
        received.append(settings)
        assert face is not None

    monkeypatch.setattr(server, "serve", receive)
    for name, value in {
        "PHOEBE_CONSOLE": "127.0.0.1:2",
        "PHOEBE_LISTEN": "0.0.0.0:1",
        "PHOEBE_PRICES": EXAMPLE,
        "DATABASE_URL": "postgresql://elsewhere/phoebe",
        "PHOEBE_DATA": str(tmp_path),
        "PHOEBE_ALLOW_PLAINTEXT": "1",
        "PHOEBE_ALLOW_ANONYMOUS": "1",
        "PHOEBE_TLS_CERT": "/etc/tls.crt",
        "PHOEBE_TLS_KEY": "/etc/tls.key",
        "PHOEBE_TLS_CLIENT_CA": "/etc/ca.crt",
        "PHOEBE_TOKENS": "/etc/tokens",
    }.items():
        monkeypatch.setenv(name, value)
    assert main(["serve"]) == 0
    database = "postgresql://elsewhere/phoebe"
    assert received == [
        ServerSettings(
            "0.0.0.0:1",
            Path(EXAMPLE),
            database,
            tmp_path,
            allow_plaintext=True,
            allow_anonymous=True,
            protection=ProtectionFiles(
                *map(Path, ("/etc/tls.crt", "/etc/tls.key", "/etc/ca.crt", "/etc/tokens"))
            ),
        )
    ]


def test_checking_a_good_price_file_shows_what_is_billed(capsys: Capture) -> None:
    assert main(["prices", "check", EXAMPLE]) == 0

    written = capsys.readouterr()
    assert written.err == ""
    row = next(line for line in written.out.splitlines() if "ft:support-assistant" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "ft:support-assistant",
        *("0.000000300", "0.300"),
        *("0.000000075", "0.075"),
        *("0.000000900", "0.900"),
        f"{LLAMA}, multiplier 1.5",
    ]
    assert "compared with nothing, so that changes are not judged" in written.out


def test_a_file_is_checked_against_another_as_it_would_be_when_it_is_loaded(
    tmp_path: Path, capsys: Capture
) -> None:
    slip = tmp_path / "slip.yaml"
    slip.write_text(Path(EXAMPLE).read_text().replace('prompt: "0.000000880"', 'prompt: "0.88"'))
    command = ["prices", "check", str(slip), "--against", EXAMPLE]
    name = "meta-llama/Llama-3.3-70B-Instruct"

    assert main(command) == 1
    refused = capsys.readouterr().err
    assert f"{slip}: 2 faults" in refused
    assert (
        f'"{name}", "prompt": 0.880000000 USD per token is 880000.000 USD per million, above 1000' in refused
    )
    assert f'"{name}", "prompt": 0.000000880 -> 0.880000000 USD per token (0.880 -> 880000.000 per' in refused
    assert main([*command, "--json", "--allow-rate", name]) == 1
    (fault,) = json_documents.read(capsys.readouterr().out)["faults"]
    assert (fault["model"], fault["field"]) == (name, "prompt")
    assert main([*command, "--allow-rate", name, "--allow-change", name]) == 0
    assert f"compared with the file {EXAMPLE}" in capsys.readouterr().out
    slip.write_text(f"{slip.read_text()}allow: {{ rates: [{name}], changes: [{name}] }}\n")
    assert main([*command, "--json"]) == 0
    assert json_documents.read(capsys.readouterr().out)["warnings"] == []


def test_a_named_database_is_not_asked_if_that_is_said(capsys: Capture) -> None:
    url = "postgresql://nobody@127.0.0.1:1/nowhere"
    assert main(["prices", "check", EXAMPLE, "--database-url", url, "--no-database"]) == 0
    assert "compared with nothing, so that changes are not judged" in capsys.readouterr().out


def test_checking_a_faulty_price_file_lists_every_fault_and_fails(faulty: str, capsys: Capture) -> None:
    assert main(["prices", "check", faulty]) == 1

    written = capsys.readouterr()
    assert written.out == ""
    assert f"{faulty}: 2 faults" in written.err
    assert 'line 3, "a[/b]", "prompt": 0.1 is not quoted' in written.err
    assert 'line 3, "a[/b]", "cached": "1e5" is not a plain decimal' in written.err


def test_faults_as_json_name_line_model_and_field(faulty: str, capsys: Capture) -> None:
    assert main(["prices", "check", faulty, "--json"]) == 1

    result = json_documents.read(capsys.readouterr().out)
    assert result["valid"] is False
    assert [(fault["line"], fault["model"], fault["field"]) for fault in result["faults"]] == [
        (3, "a[/b]", "prompt"),
        (3, "a[/b]", "cached"),
    ]


def test_a_warning_is_shown_and_the_file_is_still_good(warned_of: str, capsys: Capture) -> None:
    assert main(["prices", "check", warned_of]) == 0

    written = capsys.readouterr()
    assert 'warning: line 3, "a", "prompt"' in written.err
    assert "in force from: 2026-12-01T00:00:00Z" in written.out


def test_a_checked_file_as_json_holds_rates_as_strings(warned_of: str, capsys: Capture) -> None:
    assert main(["prices", "check", warned_of, "--json"]) == 0

    written = capsys.readouterr()
    result = json_documents.read(written.out)
    assert written.err == ""
    assert (result["valid"], result["effective_from"]) == (True, "2026-12-01T00:00:00Z")
    assert [warning["field"] for warning in result["warnings"]] == ["prompt"]
    assert result["models"] == [
        {
            "model_id": "a",
            "prompt_rate": "0.000000002",
            "cached_rate": "0",
            "completion_rate": "0",
            "prompt_per_million": "0.002",
            "cached_per_million": "0",
            "completion_per_million": "0",
            "source": "BASE_MODEL",
            "derived_from": None,
        }
    ]


@pytest.mark.parametrize("command", [["prices", "check"], ["quote", "m", "--prices"]])
def test_a_price_file_that_is_not_there_is_named(command: list[str], tmp_path: Path, capsys: Capture) -> None:
    missing = str(tmp_path / "missing.yaml")

    assert main([*command, missing]) == 1
    assert (
        capsys.readouterr().err == f"phoebe: can't read the price file {missing}: No such file or directory\n"
    )


def test_a_quote_shows_rates_origin_and_cost(capsys: Capture) -> None:
    counts = ["--prompt", "10", "--cached", "2", "--completion", "3"]
    assert main(["quote", "ft:new", "--base-model", LLAMA, *counts, "--prices", EXAMPLE]) == 0

    shown = capsys.readouterr().out
    assert "0.000000300" in shown
    assert f"source: DERIVED, from {LLAMA} by multiplier 1.5" in shown
    assert "cost: 0.000005250 USD for 8 prompt, 2 cached and 3 completion tokens" in shown


def test_a_quote_as_json_holds_money_as_strings(capsys: Capture) -> None:
    assert main(["quote", LLAMA, "--completion", "3", "--prices", EXAMPLE, "--json"]) == 0

    result = json_documents.read(capsys.readouterr().out)
    assert result["cost"] == "0.000001800"
    assert (result["source"], result["derived_from"], result["premium"]) == ("BASE_MODEL", None, None)
    assert Decimal(result["exact_prompt_rate"]) == Decimal("0.0000002")


def test_a_quote_without_counts_states_no_cost(capsys: Capture) -> None:
    assert main(["quote", LLAMA, "--prices", EXAMPLE, "--json"]) == 0
    assert json_documents.read(capsys.readouterr().out)["cost"] is None


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["unknown"], "NO_PRICE"),
        (["ft:new"], "FINE_TUNE_WITHOUT_BASE"),
        (["ft:new", "--base-model", "ft:contract-reviewer"], "BASE_NOT_PRICED"),
    ],
)
def test_no_price_is_a_failure_with_its_reason(arguments: list[str], reason: str, capsys: Capture) -> None:
    command = ["quote", *arguments, "--prices", EXAMPLE]

    assert main(command) == 1
    written = capsys.readouterr()
    assert written.out == ""
    assert f"no price ({reason}): " in written.err

    assert main([*command, "--json"]) == 1
    assert json_documents.read(capsys.readouterr().out)["reason"] == reason


def test_names_cannot_steer_the_terminal(capsys: Capture) -> None:
    assert main(["quote", "\x1b[31mred[/b]\n", "--prices", EXAMPLE]) == 1

    shown = capsys.readouterr().err
    assert "\\x1b[31mred[/b]" in shown
    assert "\x1b" not in shown


def test_the_password_does_not_show_when_settings_are_printed() -> None:
    settings = ServerSettings("127.0.0.1:1", None, "postgresql://me:s3cret@db/phoebe", Path("d"), False)

    assert "s3cret" not in repr(settings)


def test_help_shows_no_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:s3cret@db/phoebe")
    monkeypatch.setenv("PHOEBE_TOKENS", "s3cret")

    for command in ("serve", "rate", "quote", "migrate"):
        assert main([command, "--help"]) == 0
    assert "s3cret" not in capsys.readouterr().out
