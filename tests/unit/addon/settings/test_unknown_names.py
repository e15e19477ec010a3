import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoebe_addon.settings.options import OPTIONS
from phoebe_addon.settings.unknown_names import (
    RATER_VARIABLES,
    misspelt_variables,
    nameless_options,
    unknown_options,
)

NAMES = [option.name for option in OPTIONS]
VARIABLES = [option.variable for option in OPTIONS]

# As Kubernetes 1.30 sets them in a pod beside a service `phoebe-rater` with a port `grpc`.
SERVICE_LINKS = {
    "PHOEBE_RATER_SERVICE_HOST": "10.96.0.12",
    "PHOEBE_RATER_SERVICE_PORT": "50051",
    "PHOEBE_RATER_SERVICE_PORT_GRPC": "50051",
    "PHOEBE_RATER_PORT": "tcp://10.96.0.12:50051",
    "PHOEBE_RATER_PORT_50051_TCP": "tcp://10.96.0.12:50051",
    "PHOEBE_RATER_PORT_50051_TCP_PROTO": "tcp",
    "PHOEBE_RATER_PORT_50051_TCP_PORT": "50051",
    "PHOEBE_RATER_PORT_50051_TCP_ADDR": "10.96.0.12",
}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("phoebe_edge_secrets_file", "phoebe_edge_secret_file"),
        ("phoebe_trusted_edge", "phoebe_trusted_edges"),
        ("phoebe_upstrem", "phoebe_upstream"),
        ("phoebe-upstream", "phoebe_upstream"),
        ("PHOEBE_UPSTREAM", "phoebe_upstream"),
        ("pheobe_upstream", "phoebe_upstream"),
        ("phobe_usage", "phoebe_usage"),
    ],
)
def test_a_misspelt_option_is_named_with_what_was_meant(name: str, meant: str) -> None:
    assert unknown_options([name], NAMES) == [f"there is no option {name}; did you mean {meant}?"]


def test_a_name_that_is_close_to_none_is_named_all_the_same() -> None:
    assert unknown_options(["phoebe_xyz"], NAMES) == ["there is no option phoebe_xyz"]
    assert misspelt_variables({"PHOEBE_XYZ": "1"}, VARIABLES) == ["there is no variable PHOEBE_XYZ"]


@pytest.mark.parametrize(
    "name",
    [*NAMES, "upstream_auth", "web_port", "flow_detail", "prometheus_port", "phone_book", "other_metrics"],
)
def test_what_is_known_or_somebody_elses_is_let_be(name: str) -> None:
    assert unknown_options([name], NAMES) == []


def mistyped(name: str) -> st.SearchStrategy[str]:
    """One letter left out, doubled, exchanged with its neighbour, or another one."""
    place = st.integers(0, len(name) - 2)
    return st.one_of(
        place.map(lambda at: name[:at] + name[at + 1 :]),
        place.map(lambda at: name[:at] + name[at] + name[at:]),
        place.map(lambda at: name[:at] + name[at + 1] + name[at] + name[at + 2 :]),
        place.map(lambda at: name[:at] + "q" + name[at + 1 :]),
    )


@given(st.sampled_from(NAMES).flatmap(mistyped))
def test_a_name_with_one_mistake_is_never_taken_for_somebody_elses(name: str) -> None:
    if name in NAMES:  # exchanged with itself
        return
    (option_fault,) = unknown_options([name], NAMES)
    (variable_fault,) = misspelt_variables({name.upper(): "1"}, VARIABLES)

    assert "did you mean phoebe_" in option_fault
    assert "did you mean PHOEBE_" in variable_fault


def test_an_option_without_its_beginning_is_named() -> None:
    assert nameless_options(["edge_secret_file", "Trusted-Edges", "web_port"], NAMES) == [
        "there is no option edge_secret_file; did you mean phoebe_edge_secret_file?",
        "there is no option Trusted-Edges; did you mean phoebe_trusted_edges?",
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PHOEBE_UPSTREM", "PHOEBE_UPSTREAM"),
        ("phoebe_upstream", "PHOEBE_UPSTREAM"),
        ("PHOEBE_TOKEN", "PHOEBE_TOKENS"),
    ],
)
def test_a_misspelt_variable_is_named_with_what_was_meant(name: str, meant: str) -> None:
    assert misspelt_variables({name: "x"}, VARIABLES) == [
        f"there is no variable {name}; did you mean {meant}?"
    ]


def test_variables_of_the_rater_and_of_others_are_let_be() -> None:
    environment = dict.fromkeys(
        [*VARIABLES, *RATER_VARIABLES, "PATH", "HOME", "DATABASE_URL", "GATEWAY_UPSTREAM"], "x"
    )

    assert misspelt_variables(environment, VARIABLES) == []


def test_what_kubernetes_tells_of_a_service_is_let_be_and_nothing_that_only_looks_like_it() -> None:
    assert misspelt_variables(SERVICE_LINKS, VARIABLES) == []
    alone = {name: value for name, value in SERVICE_LINKS.items() if name != "PHOEBE_RATER_SERVICE_HOST"}

    assert len(misspelt_variables(alone, VARIABLES)) == len(alone)
