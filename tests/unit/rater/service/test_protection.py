import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rater_service.errors import OperatorError
from rater_service.service import protection as protection_module
from rater_service.service.access_list import Right, new_token, token_line
from rater_service.service.protection import AccessFile, Protection, ProtectionFiles, open_protection
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


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - files have no events
            await asyncio.sleep(0.01)


@asynccontextmanager
async def kept_fresh(access: AccessFile, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(protection_module, "REFRESH_S", 0.01)
    task = asyncio.create_task(Protection(access=access).keep_fresh())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_changed_tokens_file_is_read_again_and_a_damaged_one_changes_nothing(
    tokens: Path, caplog: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    first = let_in(tokens, "first")
    access = AccessFile(tokens)
    async with kept_fresh(access, monkeypatch):
        replace(tokens, b"nonsense")
        await until(lambda: "WHAT WAS IN USE STAYS IN USE" in caplog.text)
        assert access.access.caller_of_token(first)
        second = let_in(tokens, "second")
        await until(lambda: access.access.caller_of_token(second) is not None)

    assert access.access.caller_of_token(first) is None
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert f"the tokens file {tokens} was read again" in caplog.text


async def test_a_tokens_file_that_is_gone_is_reported_once_and_what_it_said_stays(
    tokens: Path, caplog: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = let_in(tokens, "first")
    access = AccessFile(tokens)
    looks = 0

    class Counted(AccessFile):
        def refresh(self) -> bool:
            nonlocal looks
            looks += 1
            return super().refresh()

    access = Counted(tokens)
    async with kept_fresh(access, monkeypatch):
        await asyncio.to_thread(tokens.unlink)
        await until(lambda: "can't read" in caplog.text)
        looks = 0
        await until(lambda: looks > 5)

    assert caplog.text.count("can't read the file that --tokens names: No such file") == 1
    assert access.access.caller_of_token(token)


def test_a_tokens_file_that_cannot_be_used_is_refused_at_the_start(tokens: Path) -> None:
    assert refusal(ProtectionFiles(tokens=tokens)).startswith("can't read the file that --tokens names")
    replace(tokens, b"\xff\xfe")
    assert refusal(ProtectionFiles(tokens=tokens)) == f"{tokens}: is not UTF-8"
    replace(tokens, b"only two-fields")
    assert "line 1" in refusal(ProtectionFiles(tokens=tokens))


def test_a_token_in_the_place_of_the_file_is_not_repeated() -> None:
    token = new_token()

    assert token not in refusal(ProtectionFiles(tokens=Path(token)))


def test_a_tokens_file_that_anyone_can_change_is_warned_of(tokens: Path, caplog: Log) -> None:
    let_in(tokens, "first")
    open_protection(ProtectionFiles(tokens=tokens))
    assert caplog.text == ""
    tokens.chmod(0o646)

    open_protection(ProtectionFiles(tokens=tokens))

    assert f"the tokens file {tokens} can be changed by every user" in caplog.text


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
