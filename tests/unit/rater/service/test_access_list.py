import hmac
from hashlib import sha256

import pytest

from rater_service.service import access_list
from rater_service.service.access_list import (
    LINES_MAX,
    AccessListError,
    Right,
    new_token,
    parse_access_list,
    token_line,
)

TOKEN = "phoebe_" + "a" * 43
OTHER = "phoebe_" + "b" * 43


def line(token: str, name: str = "addon", rights: str = "produce") -> str:
    return f"{name} {rights} sha256:{sha256(token.encode()).hexdigest()}"


def faults(text: str) -> tuple[str, ...]:
    with pytest.raises(AccessListError) as raised:
        parse_access_list(text, "tokens")
    return raised.value.faults


def test_a_token_is_known_by_its_hash_and_has_the_rights_of_its_line() -> None:
    access = parse_access_list(f"# who\n\n{line(TOKEN, rights='rate,read')}  # ours\n", "tokens")

    caller = access.caller_of_token(TOKEN)

    assert caller
    assert (caller.name, set(caller.rights)) == ("addon", {Right.RATE, Right.READ})
    assert access.caller_of_token(OTHER) is None


def test_two_tokens_of_one_name_hold_at_the_same_time() -> None:
    access = parse_access_list(f"{line(TOKEN)}\n{line(OTHER)}\n", "tokens")

    assert [access.caller_of_token(token).name for token in (TOKEN, OTHER)] == ["addon"] * 2  # type: ignore[union-attr]


def test_a_certificate_is_known_by_any_of_its_names_and_the_first_line_holds() -> None:
    text = "first read certificate:reports.example\nsecond rate certificate:spiffe://example/atlas\n"
    access = parse_access_list(text, "tokens")

    both = access.caller_of_certificate(["spiffe://example/atlas", "reports.example"])

    assert both
    assert both.name == "first"
    assert access.caller_of_certificate(["other.example"]) is None
    assert access.caller_of_certificate([]) is None


def test_a_short_token_is_not_let_in_even_if_its_hash_is_there() -> None:
    short = "x" * 31
    access = parse_access_list(f"{line(short)}\n{line(short + 'x', name='long')}", "tokens")

    assert access.caller_of_token(short) is None
    assert access.caller_of_token(short + "x")


@pytest.mark.parametrize("token", ["", "é" * 40, "\udcff" * 40, "x" * 513])
def test_a_token_of_any_characters_and_length_can_be_asked_for(token: str) -> None:
    assert parse_access_list(line(TOKEN), "tokens").caller_of_token(token) is None


def test_a_token_is_compared_with_all_lines_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(known: bytes, shown: bytes) -> bool:
        compared.append(known)
        assert len(known) == len(shown) == 32
        return hmac.compare_digest(known, shown)

    class Watched:
        compare_digest = staticmethod(compare)

    access = parse_access_list(f"{line(TOKEN)}\n{line(OTHER)}\n{line('c' * 40)}", "tokens")
    monkeypatch.setattr(access_list, "hmac", Watched)

    assert access.caller_of_token(TOKEN)

    assert compared == [sha256(token.encode()).digest() for token in (TOKEN, OTHER, "c" * 40)]


def test_what_is_wrong_is_listed_with_its_lines_and_never_quoted() -> None:
    secret = "phoebe_my-own-secret-token-0123456789"
    text = "\n".join(
        [
            f"addon produce {secret}",
            f"addon {secret} sha256:{'0' * 64}",
            f"{secret} produce",
            secret,
            f"na/me read sha256:{'1' * 64}",
            "addon produce, certificate:x",
            "addon produce sha256:" + "A" * 64,
            "addon produce certificate:",
            line(TOKEN),
            line(TOKEN, name="other"),
        ]
    )

    found = faults(text)

    assert [fault.partition(":")[0] for fault in found] == [f"line {n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 10)]
    with pytest.raises(AccessListError) as raised:
        parse_access_list(text, "tokens")
    assert secret not in str(raised.value)
    assert str(raised.value).startswith("tokens: line 1: ")


@pytest.mark.parametrize("text", ["", "# nobody\n", " \n\n"])
def test_a_file_that_names_nobody_is_refused(text: str) -> None:
    assert faults(text) == ("names nobody",)


def test_more_lines_than_can_be_compared_are_refused() -> None:
    lines = [line(f"{number:040}") for number in range(LINES_MAX + 1)]

    assert parse_access_list("\n".join(lines[:-1]), "tokens")
    assert len(faults("\n".join(lines))) == 1


def test_a_new_token_has_chance_enough_and_its_line_lets_it_in() -> None:
    tokens = {new_token() for _ in range(100)}
    token = tokens.pop()

    caller = parse_access_list(token_line("atlas", {Right.READ, Right.RATE}, token), "t").caller_of_token(
        token
    )

    assert len(tokens) == 99
    assert all(len(each) >= 43 for each in tokens)
    assert caller
    assert (caller.name, set(caller.rights)) == ("atlas", {Right.RATE, Right.READ})
    assert token not in token_line("atlas", {Right.READ}, token)


@pytest.mark.parametrize("name", ["", "two words", "#x", "x" * 65, "na\nme"])
def test_a_name_that_cannot_stand_in_the_file_makes_no_line(name: str) -> None:
    with pytest.raises(ValueError, match="a name is"):
        token_line(name, {Right.READ}, TOKEN)


def test_hashes_do_not_show_when_the_list_is_printed() -> None:
    access = parse_access_list(line(TOKEN), "tokens")

    assert sha256(TOKEN.encode()).hexdigest() not in repr(access)
    assert repr(sha256(TOKEN.encode()).digest()) not in repr(access)
