import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoebe_addon.gate.edge_secrets import EdgeSecrets, EdgeSecretsError, parse_secrets
from phoebe_addon.gate.refusal import Refusal, RefusalReason

OLD, NEW = "an-old-secret-of-24-byte", "a-new-one-of-22-bytes."
NAME = "X-Phoebe-Edge-Secret"
BOTH = parse_secrets(f"{OLD}\n{NEW}\n".encode(), "file")


def check(*values: str, secrets: EdgeSecrets = BOTH) -> Refusal | None:
    return secrets.check({NAME.lower(): values} if values else {}, NAME)


@pytest.mark.parametrize("value", [OLD, NEW, f" {NEW}\t"])
def test_any_of_the_secrets_is_let_in(value: str) -> None:
    assert check(value) is None


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("",),
        (" ",),
        (OLD[:-1],),
        (f"{OLD}.",),
        (OLD.upper(),),
        (OLD, OLD),
        (OLD, NEW),
        (f"{OLD},{NEW}",),
        (f"{OLD}\n{NEW}",),
        (f"{OLD}\x0b",),
        (f"{OLD}ü",),
        (f"{OLD}\udcfc",),
        (f"{OLD}\x00",),
        (f'"{OLD}"',),
    ],
)
def test_anything_else_is_refused_without_a_word_about_it(values: tuple[str, ...]) -> None:
    refusal = check(*values)

    assert refusal is not None
    assert (refusal.status, refusal.reason) == (403, RefusalReason.EDGE_SECRET)
    assert refusal == check()


@given(st.text())
def test_no_other_text_is_let_in(value: str) -> None:
    assert (check(value) is None) == (value.strip(" \t") in {OLD, NEW})


def test_without_secrets_none_is_asked_for() -> None:
    assert check(secrets=EdgeSecrets()) is None
    assert check("anything", "twice", secrets=EdgeSecrets()) is None


def test_secrets_are_shown_by_no_repr() -> None:
    assert OLD not in repr(BOTH)


def test_blank_lines_and_windows_line_ends_do_not_matter() -> None:
    assert parse_secrets(f"\r\n{OLD}\r\n\r\n  {NEW}  ".encode(), "file") == BOTH


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "file must hold 1 to 16 secrets"),
        (b"\n \n", "file must hold 1 to 16 secrets"),
        (b"\n".join([b"x" * 16] * 17), "file must hold 1 to 16 secrets"),
        (b"\nfifteen-charact", "file, line 2: a secret has 16 to 512 characters"),
        (b"x" * 513, "file, line 1: a secret has 16 to 512 characters"),
        (b"with a blank between", "file, line 1: "),
        ("ünlike-ascii-but-long".encode(), "file, line 1: "),
        (OLD.encode("utf-16"), "file, line 1: "),
    ],
)
def test_secrets_that_can_not_be_used_are_named_by_their_line_and_never_quoted(
    content: bytes, fault: str
) -> None:
    with pytest.raises(EdgeSecretsError) as caught:
        parse_secrets(content, "file")

    assert fault in str(caught.value)
    assert "fifteen" not in str(caught.value)
    assert "blank" not in str(caught.value)


@given(st.binary())
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        read = parse_secrets(content, "file")
    except EdgeSecretsError:
        return
    assert all(check(secret.decode(), secrets=read) is None for secret in read.secrets)
