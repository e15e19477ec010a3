"""Delivery to a rater that asks who is calling: over real TLS, with real tokens."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace as with_
from pathlib import Path

import grpc
import grpc.aio
import pytest
import tenacity

from phoebe_addon.delivery import delivery as delivery_module
from phoebe_addon.delivery.credentials import PLAINTEXT, CredentialFiles, Credentials
from phoebe_addon.spool.spools import open_own
from phoebe_runtime import followed_files
from rig.ports import reserve_port
from tests.harness.certificates import Authority, replace
from tests.harness.recording_rater import RecordingRater, Sender

OLD, NEW = "phoebe_" + "o" * 43, "phoebe_" + "n" * 43

type Log = pytest.LogCaptureFixture


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    replace(tmp_path / "token", OLD.encode())
    return tmp_path / "token"


@pytest.fixture(autouse=True)
def short_pauses_and_all_of_the_log(monkeypatch: pytest.MonkeyPatch, caplog: Log) -> None:
    monkeypatch.setattr(delivery_module, "RETRY_WAIT_MAX_S", 0.1)
    monkeypatch.setattr(followed_files, "PERIOD_S", 0.02)
    caplog.set_level(logging.DEBUG)


@asynccontextmanager
async def running(rater: RecordingRater) -> AsyncIterator[None]:
    await rater.start()
    try:
        yield
    finally:
        await rater.stop()


@asynccontextmanager
async def sending(folder: Path, rater: RecordingRater, files: CredentialFiles) -> AsyncIterator[Sender]:
    sender = Sender(open_own(folder / "spool", 10**9), f"127.0.0.1:{rater.port}", files)
    sender.start()
    assert sender.task
    following = asyncio.create_task(followed_files.follow_current(lambda: sender.credentials))
    try:
        yield sender
    finally:
        sender.task.cancel()
        following.cancel()
        await asyncio.wait([sender.task, following])
        sender.spool.close()


def rater_with(server: Authority, client: Authority | None = None) -> RecordingRater:
    certificate = server.issue_for_loopback()
    rater = RecordingRater()
    rater.credentials = grpc.ssl_server_credentials(
        [(certificate.key, certificate.certificate)], client.pem if client else None, client is not None
    )
    return rater


def errors(log: Log) -> list[str]:
    return [record.getMessage() for record in log.records if record.levelno >= logging.ERROR]


def delivered_events(rater: RecordingRater) -> int:
    return len(rater.sent())


async def test_events_go_over_an_encrypted_connection_with_certificate_and_token(
    tmp_path: Path, authority: Authority, token_file: Path
) -> None:
    rater = rater_with(authority, authority)
    rater.tokens = {OLD}
    certificate, key = authority.issue("addon").write(tmp_path, "addon")
    replace(tmp_path / "ca.pem", authority.pem)
    files = CredentialFiles(True, tmp_path / "ca.pem", certificate, key, token_file)
    async with running(rater), sending(tmp_path, rater, files) as sender:
        await sender.write(3)
        await sender.until_empty()

    assert rater.sent() == [1, 2, 3]
    assert rater.refused == []


@pytest.mark.parametrize("trusting", ["another authority", "the public ones", "plaintext"])
async def test_events_stay_while_the_rater_is_not_believed_and_the_log_says_why(
    tmp_path: Path, authority: Authority, caplog: Log, trusting: str
) -> None:
    replace(tmp_path / "ca.pem", Authority("another").pem)
    files = {
        "another authority": CredentialFiles(tls=True, ca=tmp_path / "ca.pem"),
        "the public ones": CredentialFiles(tls=True),
        "plaintext": PLAINTEXT,
    }[trusting]
    rater = rater_with(authority)
    async with running(rater), sending(tmp_path, rater, files) as sender:
        await sender.write(1)
        await sender.until(lambda: caplog.text.count("events wait in the spool") >= 2)
        assert sender.spool.depth() == 1
        assert ("CERTIFICATE_VERIFY_FAILED" in caplog.text) == (trusting != "plaintext")

        if files.ca:
            replace(files.ca, authority.pem)
            await sender.until_empty()


async def test_a_token_that_is_refused_is_said_once_and_its_events_stay_until_it_holds_again(
    tmp_path: Path, token_file: Path, caplog: Log
) -> None:
    rater = RecordingRater()
    rater.tokens = set()
    async with running(rater), sending(tmp_path, rater, with_(PLAINTEXT, token=token_file)) as sender:
        # Before there is any event to send.
        await sender.until(lambda: len(rater.refused) >= 3)
        await sender.write(2)
        already = len(rater.refused)
        await sender.until(lambda: len(rater.refused) >= already + 3)
        assert (sender.spool.depth(), rater.batches) == (2, [])
        assert errors(caplog) == [
            f"phoebe: the rater at 127.0.0.1:{rater.port} lets no event in: "
            "UNAUTHENTICATED: the token is not known"
        ]

        rater.tokens = {OLD}
        await sender.until_empty()
        await sender.until(lambda: "takes events again" in caplog.text)
        assert rater.sent() == [1, 2]

        rater.tokens = set()
        await sender.write(1)
        await sender.until(lambda: len(errors(caplog)) == 2)
        assert sender.spool.depth() == 1


async def test_attempts_are_counted_up_while_a_token_is_refused_so_that_pauses_grow(
    tmp_path: Path, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[int] = []

    def note(state: tenacity.RetryCallState) -> None:
        attempts.append(state.attempt_number)

    rater = RecordingRater()
    rater.tokens = set()
    async with running(rater), sending(tmp_path, rater, with_(PLAINTEXT, token=token_file)) as sender:
        monkeypatch.setattr(sender.delivery, "_note_trouble", note)
        await sender.until(lambda: len(attempts) >= 4)

    assert attempts[:4] == [1, 2, 3, 4]


async def test_a_new_token_is_used_before_the_old_one_is_refused(
    tmp_path: Path, token_file: Path, caplog: Log
) -> None:
    rater = RecordingRater()
    rater.tokens = {OLD, NEW}
    async with running(rater), sending(tmp_path, rater, with_(PLAINTEXT, token=token_file)) as sender:
        await sender.write(1)
        await sender.until_empty()
        replace(token_file, NEW.encode())
        await sender.write(1)
        await sender.until(lambda: delivered_events(rater) == 2 and rater.streams_ended == 1)
        rater.tokens = {NEW}
        await sender.write(1)
        await sender.until_empty()

    assert rater.refused == []
    assert errors(caplog) == []


@pytest.mark.parametrize("content", [b"", b"two words"])
async def test_a_damaged_token_file_is_said_once_and_the_token_it_held_is_shown_until_it_is_mended(
    tmp_path: Path, token_file: Path, caplog: Log, content: bytes
) -> None:
    rater = RecordingRater()
    rater.tokens = {OLD}
    async with running(rater), sending(tmp_path, rater, with_(PLAINTEXT, token=token_file)) as sender:
        await sender.write(1)
        await sender.until_empty()
        replace(token_file, content)
        await sender.write(1)
        await sender.until(lambda: "must hold a token and nothing else" in caplog.text)
        await sender.until_empty()
        replace(token_file, NEW.encode())
        rater.tokens = {NEW}
        await sender.until(lambda: sender.credentials.fault == "")
        await sender.write(1)
        await sender.until_empty()

    assert [error for error in errors(caplog) if "must hold" in error] == errors(caplog)[:1]
    assert rater.sent() == [1, 2, 3]


async def test_a_rater_that_takes_the_connection_and_says_nothing_is_given_up(
    tmp_path: Path, caplog: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "ANSWER_TIMEOUT_S", 0.2)
    held: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    rater = RecordingRater()
    rater.port = silent.sockets[0].getsockname()[1]
    async with sending(tmp_path, rater, CredentialFiles(tls=True)) as sender:
        await sender.write(1)
        await sender.until(lambda: caplog.text.count("no answer within 0.2 seconds") == 2)
        assert sender.spool.depth() == 1
    for writer in held:
        writer.close()
    silent.close()
    await silent.wait_closed()


async def test_an_old_connection_is_replaced_without_a_word(
    tmp_path: Path, caplog: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "CONNECTION_AGE_MAX_S", 0.2)
    rater = RecordingRater()
    async with running(rater), sending(tmp_path, rater, PLAINTEXT) as sender:
        async with asyncio.timeout(20):
            while rater.streams_ended < 2:
                await sender.write(1)
                await sender.until_empty()

    assert rater.sent() == sorted(set(rater.sent()))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_secrets_that_others_can_read_are_warned_of_and_never_logged(
    tmp_path: Path, token_file: Path, caplog: Log
) -> None:
    await asyncio.to_thread(token_file.chmod, 0o644)
    rater = RecordingRater()
    rater.tokens = {NEW}
    async with running(rater), sending(tmp_path, rater, with_(PLAINTEXT, token=token_file)) as sender:
        await sender.until(lambda: len(rater.refused) >= 2)
        replace(token_file, NEW.encode())
        await sender.write(1)
        await sender.until_empty()

    assert caplog.text.count(f"{token_file} can be read by every user") == 1
    assert OLD not in caplog.text
    assert NEW not in caplog.text


async def test_a_connection_does_not_wait_because_another_one_could_not_connect() -> None:
    target = f"127.0.0.1:{reserve_port()}"

    async def ask(channel: grpc.aio.Channel) -> grpc.StatusCode:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/no.Service/Method")
        with pytest.raises(grpc.aio.AioRpcError) as answered:
            await call(b"", timeout=10)
        return answered.value.code()

    credentials = Credentials()
    async with credentials.open_channel(target) as waiting:
        assert await ask(waiting) is grpc.StatusCode.UNAVAILABLE
        server = grpc.aio.server()
        server.add_insecure_port(target)
        await server.start()
        try:
            async with credentials.open_channel(target) as fresh:
                assert await ask(fresh) is grpc.StatusCode.UNIMPLEMENTED
        finally:
            await server.stop(None)
