import pytest

from rater_service.cli import main
from rater_service.cli.variables import ADDON_VARIABLES, refuse_unknown
from rater_service.errors import OperatorError

OWN = frozenset({"PHOEBE_TOKENS", "PHOEBE_PRICES", "PHOEBE_ALLOW_ANONYMOUS"})

# As Kubernetes 1.30 sets them in a pod beside a service `phoebe-rater` with a port `grpc`.
SERVICE_LINKS = {
    "PHOEBE_RATER_SERVICE_HOST": "10.96.0.12",
    "PHOEBE_RATER_SERVICE_PORT": "50051",
    "PHOEBE_RATER_SERVICE_PORT_GRPC": "50051",
    "PHOEBE_RATER_PORT": "tcp://10.96.0.12:50051",
    "PHOEBE_RATER_PORT_50051_TCP_ADDR": "10.96.0.12",
}


def refusal(*names: str) -> str:
    with pytest.raises(OperatorError) as raised:
        refuse_unknown(dict.fromkeys(names, "x"), OWN)
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PHOEBE_TOKEN", "PHOEBE_TOKENS"),
        ("PHOEBE_ALLOW_ANONYMUS", "PHOEBE_ALLOW_ANONYMOUS"),
        ("phoebe_tokens", "PHOEBE_TOKENS"),
        ("PHEOBE_PRICES", "PHOEBE_PRICES"),
        ("PHOEBE_EDGE_SECRETS_FILE", "PHOEBE_EDGE_SECRET_FILE"),
    ],
)
def test_a_misspelt_variable_is_named_with_what_was_meant(name: str, meant: str) -> None:
    assert refusal(name) == f"there is no variable {name}; did you mean {meant}?"


def test_all_of_them_are_named_also_where_nothing_is_close() -> None:
    assert refusal("PHOEBE_XYZ", "PHOEBE_TOKNES", "PATH") == (
        "there is no variable PHOEBE_TOKNES; did you mean PHOEBE_TOKENS?; there is no variable PHOEBE_XYZ"
    )


def test_variables_of_the_addon_of_kubernetes_and_of_others_are_let_be() -> None:
    others = dict.fromkeys([*OWN, *ADDON_VARIABLES, "PATH", "DATABASE_URL", "PHONE_BOOK"], "x")

    refuse_unknown(others | SERVICE_LINKS, OWN)
    with pytest.raises(OperatorError):
        refuse_unknown({"PHOEBE_RATER_PORT": "tcp://10.96.0.12:50051"}, OWN)


def test_no_command_runs_with_a_misspelt_variable_but_help_is_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PHOEBE_TOKNES", "tokens")

    assert main(["token", "new", "x", "--rights", "read"]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == (
        "",
        "phoebe: there is no variable PHOEBE_TOKNES; did you mean PHOEBE_TOKENS?\n",
    )
    for command in (
        ["serve"],
        ["rate"],
        ["audit"],
        ["migrate"],
        ["report", "2026-11"],
        ["prices", "check", "x"],
    ):
        assert main(command) == 1
        assert capsys.readouterr() == (said.out, said.err)
    assert main(["serve", "--help"]) == 0
    assert "PHOEBE_TOKENS" in capsys.readouterr().out
