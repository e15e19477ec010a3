import pytest

from phoebe_addon.gate.identity import HeaderNames, Identity, read_identity
from phoebe_addon.gate.refusal import Refusal, RefusalReason
from tests.harness.identity_examples import EXAMPLES

NAMES = HeaderNames()
REQUIRED = {"x-saturn-auth-id": ["auth-1"], "x-saturn-resource-id": ["res-1"]}
NO_ID = [
    ([], "is missing"),
    ([""], "is empty"),
    ([" \t "], "is empty"),
    (["a", "a"], "is given 2 times"),
    (["", ""], "is given 2 times"),
    (["x" * 65], "is longer than 64 characters"),
    (["ä"], "has characters that are not printable ASCII"),
    (["a\x7f"], "has characters that are not printable ASCII"),
    (["a\tb"], "has characters that are not printable ASCII"),
    (["a\x00b"], "has characters that are not printable ASCII"),
    (["\udcff"], "has characters that are not printable ASCII"),
    (["\xa0"], "has characters that are not printable ASCII"),
    (["a,b"], "has a comma"),
    (["a, "], "has a comma"),
    ([","], "has a comma"),
    (["null"], "is missing"),
    (["{{auth_id}}"], "is missing"),
]


def refused(headers: dict[str, list[str]]) -> str:
    refusal = read_identity(headers, NAMES)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason) == (400, RefusalReason.IDENTITY)
    return refusal.message


def test_the_required_headers_are_enough() -> None:
    assert read_identity(REQUIRED, NAMES) == Identity("auth-1", "res-1")


def test_all_headers_are_carried() -> None:
    headers = REQUIRED | {
        "x-saturn-base-model": ["meta-llama/Llama-3.1-8B-Instruct"],
        "x-saturn-user-id": ["user 1"],
        "x-saturn-group-id": ["group-1"],
        "x-saturn-resource-type": ["deployment"],
    }

    assert read_identity(headers, NAMES) == Identity(
        "auth-1", "res-1", "meta-llama/Llama-3.1-8B-Instruct", "user 1", "group-1", "deployment"
    )


@pytest.mark.parametrize(("values", "fault"), NO_ID)
@pytest.mark.parametrize("name", [NAMES.auth_id, NAMES.resource_id])
def test_a_required_header_that_is_no_id_is_refused_by_name(name: str, values: list[str], fault: str) -> None:
    message = refused(REQUIRED | {name.lower(): values})

    assert f"{name} {fault}" in message
    assert message.count("X-Saturn-") == 1


@pytest.mark.parametrize(("written", "known_as"), EXAMPLES)
@pytest.mark.parametrize("name", [NAMES.auth_id, NAMES.resource_id])
def test_what_is_an_id_is_what_it_is_for_the_store(name: str, written: str, known_as: str | None) -> None:
    found = read_identity(REQUIRED | {name.lower(): [written]}, NAMES)
    if known_as is None:
        assert isinstance(found, Refusal)
    else:
        assert isinstance(found, Identity)
        assert known_as == (found.auth_id if name == NAMES.auth_id else found.resource_id)


def test_every_header_at_fault_is_named() -> None:
    message = refused(
        {"x-saturn-auth-id": [" "], "x-saturn-base-model": ["a", "b"], "x-saturn-user-id": ["ü"]}
    )

    for fault in (
        "X-Saturn-Auth-Id is empty",
        "X-Saturn-Resource-Id is missing",
        "X-Saturn-Base-Model is given 2 times",
        "X-Saturn-User-Id has characters that are not printable ASCII",
    ):
        assert fault in message


def test_the_value_of_a_header_at_fault_is_not_repeated() -> None:
    assert "s3cret" not in refused(REQUIRED | {"x-saturn-auth-id": ["s3cret" * 20]})


def test_ids_of_64_and_context_of_256_characters_are_taken() -> None:
    headers = {
        "x-saturn-auth-id": ["a" * 64],
        "x-saturn-resource-id": ["a~" * 32],
        "x-saturn-user-id": ["u" * 256],
    }

    assert read_identity(headers, NAMES) == Identity("a" * 64, "a~" * 32, user_id="u" * 256)
    assert "User-Id is longer than 256 characters" in refused(headers | {"x-saturn-user-id": ["u" * 257]})


def test_spaces_around_a_value_are_not_part_of_it() -> None:
    headers = {"x-saturn-auth-id": ["  a b\t"], "x-saturn-resource-id": ["r"]}

    assert read_identity(headers, NAMES) == Identity("a b", "r")


def test_an_empty_optional_header_is_an_absent_one() -> None:
    assert read_identity(REQUIRED | {"x-saturn-base-model": [" "]}, NAMES) == Identity("auth-1", "res-1")


@pytest.mark.parametrize("value", ["-", "none", "$http_x_user"], ids=["sign", "word", "template"])
def test_a_placeholder_in_an_optional_header_is_as_if_it_were_absent(value: str) -> None:
    headers = REQUIRED | {"x-saturn-user-id": [value], "x-saturn-base-model": [value]}

    assert read_identity(headers, NAMES) == Identity("auth-1", "res-1")


def test_headers_may_have_other_names() -> None:
    names = HeaderNames(auth_id="X-Payer", resource_id="X-Deployment")

    assert read_identity({"x-payer": ["a"], "x-deployment": ["r"]}, names) == Identity("a", "r")
    refusal = read_identity(REQUIRED, names)
    assert isinstance(refusal, Refusal)
    assert "X-Payer is missing" in refusal.message


def test_all_header_names_are_listed_so_that_all_can_be_taken_off() -> None:
    names = HeaderNames("a", "b", "c", "d", "e", "f")

    assert names.all() == ("a", "b", "c", "d", "e", "f")
