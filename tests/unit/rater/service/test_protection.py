import logging
from pathlib import Path

import pytest

from rater_service.errors import OperatorError
from rater_service.service.access_list import Right, new_token, token_line
from rater_service.service.protection import (
    Protection,
    ProtectionFiles,
    follow_access_list,
    open_protection,
)
from tests.harness.certificates import Authority, replace

type Log = pytest.LogCaptureFixture


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def let_in(tokens: Path, name: str) -> str:
    token = new_token()
    replace(tokens, token_line(name, {Right.READ}, token).encode())
    return token


def refusal(files: ProtectionFiles) -> str:
    with pytest.raises(OperatorError) as raised:
        open_protection(files)
    return str(raised.value)


def test_a_changed_tokens_file_is_read_again_and_a_damaged_one_changes_nothing(
    tokens: Path, caplog: Log
) -> None:
    caplog.set_level(logging.INFO)
    first = let_in(tokens, "first")
    access = follow_access_list(tokens)
    for damaged in (b"nonsense", b"\xff"):
        replace(tokens, damaged)
        access.look()
        access.look()
        assert access.value.caller_of_token(first)
    second = let_in(tokens, "second")
    access.look()
    access.look()

    assert access.value.caller_of_token(second)
    assert access.value.caller_of_token(first) is None
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 2
    assert f"the tokens file {tokens} was read again" in caplog.text


def test_a_tokens_file_that_is_gone_is_reported_and_what_it_said_stays(tokens: Path, caplog: Log) -> None:
    token = let_in(tokens, "first")
    access = follow_access_list(tokens)
    tokens.unlink()
    for _ in range(5):
        access.look()

    assert caplog.text.count("can't read the file that --tokens names: No such file") == 1
    assert access.value.caller_of_token(token)


def test_a_tokens_file_that_cannot_be_used_is_refused_at_the_start(tokens: Path) -> None:
    assert refusal(ProtectionFiles(tokens=tokens)).startswith("can't read the file that --tokens names")
    replace(tokens, b"\xff\xfe")
    assert refusal(ProtectionFiles(tokens=tokens)) == f"{tokens}: is not UTF-8"
    replace(tokens, b"only two-fields")
    assert "line 1" in refusal(ProtectionFiles(tokens=tokens))


def test_a_token_in_the_place_of_the_file_is_not_repeated() -> None:
    token = new_token()

    assert token not in refusal(ProtectionFiles(tokens=Path(token)))


def test_a_tokens_file_that_anyone_can_change_is_refused(tokens: Path) -> None:
    let_in(tokens, "first")
    open_protection(ProtectionFiles(tokens=tokens))
    tokens.chmod(0o646)

    assert "every user of this machine may write to it" in refusal(ProtectionFiles(tokens=tokens))


def test_certificate_and_key_go_together_and_the_client_ca_with_both(tmp_path: Path) -> None:
    some = tmp_path / "some.pem"

    assert "go together" in refusal(ProtectionFiles(tls_cert=some))
    assert "go together" in refusal(ProtectionFiles(tls_key=some))
    assert "needs --tls-cert" in refusal(ProtectionFiles(tls_client_ca=some))


def test_a_client_ca_without_tokens_gives_all_rights_and_that_is_said(
    tmp_path: Path, tokens: Path, caplog: Log
) -> None:
    authority = Authority()
    certificate, key = authority.issue_for_loopback().write(tmp_path, "rater")
    ca = tmp_path / "ca.pem"
    replace(ca, authority.pem)
    let_in(tokens, "first")

    with_tokens = open_protection(ProtectionFiles(certificate, key, ca, tokens))
    assert caplog.text == ""
    assert with_tokens.access
    without = open_protection(ProtectionFiles(certificate, key, ca))

    assert without.access is None
    assert f"every certificate of the authorities in {ca} has all rights" in caplog.text


def test_nothing_is_protected_where_nothing_is_named() -> None:
    assert open_protection(ProtectionFiles()) == Protection(None, None)
