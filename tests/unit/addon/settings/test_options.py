"""Options as they are declared, and what was given for them before: typed, and known by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import addonmanager, optmanager

from phoebe_addon.settings.option import Value
from phoebe_addon.settings.options import OPTIONS, add_options, left_over, take_given
from tests.harness.addon_settings import options_with


@dataclass
class Master:
    """What a loader needs of mitmproxy's master."""

    options: optmanager.OptManager


def load(
    environment: Mapping[str, str] = {}, *sets: str, file: Mapping[str, Any] = {}
) -> tuple[optmanager.OptManager, list[str]]:
    """Declare the options as mitmproxy lets a script do: after command line and configuration were read."""
    options = optmanager.OptManager()
    options.set(*sets, defer=True)
    options.update_defer(**file)
    faults = add_options(addonmanager.Loader(Master(options)), environment)
    options.process_deferred()
    return options, faults


def test_every_option_has_a_default_of_its_type_and_a_word_of_help() -> None:
    for option in OPTIONS:
        assert option.help.endswith(".")
        options_with(**{option.name: option.default})  # mitmproxy checks the type


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("phoebe_lean", "false", False),
        ("phoebe_rater_tls", "true", True),
        ("phoebe_connections_max", "12", 12),
        ("phoebe_upstream", " http://a ", "http://a"),
        ("phoebe_body_limit", "2m", "2m"),
        ("phoebe_usage", "continuous", "continuous"),
        ("phoebe_trusted_edges", "10.0.0.0/8,::1/128", ("10.0.0.0/8,::1/128",)),
    ],
)
def test_a_value_comes_from_the_environment_the_command_line_or_the_configuration_file(
    name: str, text: str, value: Value
) -> None:
    for options, faults in (
        load({name.upper(): text}),
        load({}, f"{name}={text}"),
        load({}, file={name: text}),
        load({name.upper(): "something else"}, f"{name}={text}")
        if isinstance(value, str)
        else load({}, f"{name}={text}"),
    ):
        assert getattr(options, name) == value
        assert [fault for fault in faults if "something else" not in fault] == []


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"phoebe_lean": False}, False),
        ({"phoebe_exchanges_max": 7}, 7),
        ({"phoebe_engine_timeout": 2.5}, "2.5"),
        ({"phoebe_trusted_edges": ["10.0.0.0/8", "::1/128"]}, ("10.0.0.0/8", "::1/128")),
    ],
)
def test_a_configuration_file_may_write_values_as_yaml_does(given: dict[str, Any], value: Value) -> None:
    options, faults = load({}, file=given)

    (name,) = given
    assert getattr(options, name) == value
    assert faults == []


def test_a_sequence_may_be_given_bit_by_bit_and_a_switch_without_a_value() -> None:
    options, faults = load(
        {}, "phoebe_trusted_edges=10.0.0.0/8", "phoebe_trusted_edges=::1/128", "phoebe_rater_tls"
    )

    assert options.phoebe_trusted_edges == ("10.0.0.0/8", "::1/128")
    assert options.phoebe_rater_tls is True
    assert faults == []


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("phoebe_rater_tls", "on", "is 'on', which is neither true nor false"),
        ("phoebe_lean", "True", "is 'True', which is neither true nor false"),
        ("phoebe_connections_max", "many", "is 'many', which is not a whole number"),
        ("phoebe_connections_max", "1_000", "is '1_000', which is not a whole number"),
        ("phoebe_connections_max", "1.5", "is '1.5', which is not a whole number"),
        ("phoebe_usage", "never", "is 'never', which is none of auto, final, continuous, none"),
        ("phoebe_edge_secret_file", "", "is empty: give a value, or leave it out"),
        ("phoebe_trusted_edges", " ", "is empty: give a value, or leave it out"),
    ],
)
def test_a_value_of_another_type_is_named_and_counts_as_not_given(name: str, text: str, fault: str) -> None:
    default = next(option.default for option in OPTIONS if option.name == name)
    variable = name.upper()
    for said_of, (options, faults) in (
        (variable, load({variable: text})),
        (name, load({}, f"{name}={text}")),
        (name, load({}, file={name: text})),
    ):
        assert faults == [f"{said_of} {fault}"]
        assert getattr(options, name) == default


@pytest.mark.parametrize("given", [{"a": 1}, None, [1, 2]])
def test_what_is_no_value_at_all_is_named(given: object) -> None:
    _, faults = load({}, file={"phoebe_upstream": given})

    assert faults == [f"phoebe_upstream is {given!r}, which is no value of it"]


@pytest.mark.parametrize(
    ("sets", "fault"),
    [
        (["phoebe_upstream=http://a", "phoebe_upstream=http://b"], "phoebe_upstream is given more than once"),
        (["phoebe_upstream"], "phoebe_upstream has no value"),
        (["phoebe_connections_max"], "phoebe_connections_max has no value"),
    ],
)
def test_an_option_without_a_value_or_with_two_is_named(sets: Sequence[str], fault: str) -> None:
    _, faults = load({}, *sets)

    assert faults == [fault]


def test_names_that_are_not_known_are_named_and_taken_away_and_others_are_let_be() -> None:
    options, faults = load(
        {"PHOEBE_UPSTREM": "http://a", "PATH": "/bin"},
        "phoebe_edge_secrets_file=secret",
        "web_port=8081",
        file={"phoebe_trusted_edge": "10.0.0.0/8", "other_scripts_option": 1},
    )

    assert faults == [
        "there is no variable PHOEBE_UPSTREM; did you mean PHOEBE_UPSTREAM?",
        "there is no option phoebe_edge_secrets_file; did you mean phoebe_edge_secret_file?",
        "there is no option phoebe_trusted_edge; did you mean phoebe_trusted_edges?",
    ]
    assert set(options.deferred) == {"web_port", "other_scripts_option"}


def test_what_is_given_later_is_taken_in_the_same_way() -> None:
    options, _ = load()
    options.update_defer(phoebe_upstrem="http://a", phoebe_lean=True)

    assert take_given(options.deferred) == [
        "there is no option phoebe_upstrem; did you mean phoebe_upstream?"
    ]
    assert options.deferred == {}


def test_names_that_nobody_asked_for_are_told_apart() -> None:
    faults, others = left_over({"edge-secret-file": 1, "web_port": 2})

    assert faults == ["there is no option edge-secret-file; did you mean phoebe_edge_secret_file?"]
    assert others == ["nobody knows the option web_port"]


@pytest.fixture
def settings_file(tmp_path: Path) -> str:
    path = tmp_path / "phoebe.yaml"
    path.write_text(
        "addon:\n  upstream: http://file\n  models: [a, b]\n  lean: false\n  metrics: 127.0.0.1:1\n"
        "  connections_max: 7\n"
    )
    return str(path)


def test_a_file_of_settings_gives_what_neither_set_nor_the_environment_says(settings_file: str) -> None:
    for environment, sets in (
        ({"PHOEBE_CONFIG": settings_file}, []),
        ({}, [f"phoebe_config={settings_file}"]),
    ):
        environment["PHOEBE_CONNECTIONS_MAX"] = "8"
        options, faults = load(environment, "phoebe_upstream=http://set", *sets)
        assert not faults
        assert (options.phoebe_upstream, options.phoebe_connections_max) == ("http://set", 8)
        assert (tuple(options.phoebe_models), options.phoebe_lean) == (("a", "b"), False)
        assert options.phoebe_metrics == "127.0.0.1:1"


def test_the_port_of_metrics_in_the_file_is_not_for_workers(settings_file: str) -> None:
    options = optmanager.OptManager()
    loader = addonmanager.Loader(Master(options))
    assert not add_options(loader, {"PHOEBE_CONFIG": settings_file}, in_worker=True)
    assert options.phoebe_metrics is None
    assert options.phoebe_upstream == "http://file"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("upstreem: a", "line 2: there is no key upstreem; did you mean upstream?"),
        ("phoebe_upstream: a", "line 2: there is no key phoebe_upstream; did you mean upstream?"),
        ("config: a", "line 2: there is no key config"),
        ("connections_max: many", "line 2: connections_max is 'many', which is not a whole number"),
        ("lean: maybe", "line 2: lean is 'maybe', which is neither true nor false"),
        ("usage: never", "line 2: usage is 'never', which is none of auto"),
        ("upstream: [a, b]", "line 2: upstream is given more than once"),
    ],
)
def test_what_is_wrong_in_a_file_of_settings_keeps_the_addon_from_starting(
    tmp_path: Path, line: str, said: str
) -> None:
    path = tmp_path / "phoebe.yaml"
    path.write_text(f"addon:\n  {line}\n")
    _, faults = load({"PHOEBE_CONFIG": str(path)})
    assert any(said in fault and str(path) in fault for fault in faults), faults


def test_a_file_of_settings_that_is_not_there_is_a_fault() -> None:
    assert "can't be read" in load({}, "phoebe_config=/nowhere.yaml")[1][0]
