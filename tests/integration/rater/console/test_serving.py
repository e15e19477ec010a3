"""The console as `phoebe serve --console` serves it: who gets in, and what it answers to whom."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from rater_service.service.access_list import Right
from tests.harness.certificates import Authority
from tests.harness.guarded_rater import TokensFile
from tests.harness.served_rater import ServedRater, served_rater

pytestmark = pytest.mark.one_postgres

SAID = re.compile(r"console on (https?)://[^/]*:(\d+)/")
HTML = {"accept": "text/html"}


def address(rater: ServedRater) -> str:
    rater.wait_for_log("console on ")
    found = SAID.search(rater.log())
    assert found is not None
    return f"{found[1]}://127.0.0.1:{found[2]}"


@pytest.fixture
def tokens(tmp_path: Path) -> TokensFile:
    return TokensFile(tmp_path / "tokens")


@pytest.fixture
async def open_console(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[ServedRater, str]]:
    environment = {"DATABASE_URL": database_url}
    async with served_rater(tmp_path, environment, "--console", "127.0.0.1:0") as rater:
        yield rater, address(rater)


async def test_on_loopback_it_is_open_to_its_own_name_and_to_no_other(
    open_console: tuple[ServedRater, str],
) -> None:
    _, base = open_console
    port = base.rpartition(":")[2]
    async with httpx.AsyncClient(base_url=base) as client:
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/", headers={"host": f"localhost:{port}"})).status_code == 200
        for host in ("evil.example", f"evil.example:{port}", "localhost", "127.0.0.1:1"):
            refused = await client.get("/", headers={"host": host})
            assert refused.status_code == 421
            assert refused.headers["content-security-policy"]
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert (await client.request(method, "/usage")).status_code == 405
        assert (await client.get("/?x=" + "y" * 9000)).status_code == 414
        assert (await client.get("/healthz")).text == "ok\n"
        page = (await client.get("/")).text
        for name in re.findall(r'(?:href|src)="(/static/[^"]+)"', page):
            file = await client.get(name)
            assert file.status_code == 200
            assert "immutable" in file.headers["cache-control"]


async def test_whoever_has_a_token_reads_what_its_rights_allow(
    database_url: str, tmp_path: Path, tokens: TokensFile
) -> None:
    reader, seer = tokens.let_in(Right.READ), tokens.let_in(Right.READ, Right.EVENTS)
    sender = tokens.let_in(Right.PRODUCE)
    event = "/event?id=00000000-0000-0000-0000-000000000001"
    options = ("--console", "127.0.0.1:0", "--tokens", str(tokens.path))
    async with served_rater(tmp_path, {"DATABASE_URL": database_url}, *options) as rater:
        base = address(rater)
        async with httpx.AsyncClient(base_url=base) as client:

            async def status(path: str, token: str | None) -> int:
                shown = {} if token is None else {"authorization": f"Bearer {token}"}
                return (await client.get(path, headers=shown)).status_code

            assert [await status("/", token) for token in (None, reader, sender, "phoebe_" + "x" * 43)] == [
                401,
                200,
                403,
                401,
            ]
            assert [await status(event, token) for token in (reader, seer)] == [403, 404]
            assert await status("/healthz", None) == 200
        assert reader not in rater.log()


async def test_a_session_is_opened_with_a_token_and_ends(
    database_url: str, tmp_path: Path, tokens: TokensFile
) -> None:
    token = tokens.let_in(Right.READ, name="ann")
    tokens.let_in(Right.READ, name="ben")
    options = ("--console", "127.0.0.1:0", "--tokens", str(tokens.path))
    async with served_rater(tmp_path, {"DATABASE_URL": database_url}, *options) as rater:
        base = address(rater)
        async with httpx.AsyncClient(base_url=base, headers=HTML) as client:
            sent = await client.get("/usage?by=day")
            assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=%2Fusage%3Fby%3Dday")
            form = await client.get(sent.headers["location"])
            assert 'type="password"' in form.text
            login = sent.headers["location"]
            foreign = {"origin": "http://127.0.0.1:1"}
            assert (await client.post(login, data={"token": token}, headers=foreign)).status_code == 403
            assert (
                await client.post(login, data={"token": token}, headers={"origin": "null"})
            ).status_code == 403
            assert (await client.post(login, data={"token": "x" * 10_000})).status_code == 403
            opened = await client.post(login, data={"token": token}, headers={"origin": base})
            assert (opened.status_code, opened.headers["location"]) == (303, "/usage?by=day")
            cookie = opened.headers["set-cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=strict" in cookie
            assert token not in cookie
            page = await client.get("/usage?by=day")
            assert "read by ann" in page.text
            assert "Sign out" in page.text
            kept = dict(client.cookies)
            assert (await client.post("/logout", headers=foreign)).status_code == 403
            assert (await client.post("/logout", headers={"origin": base})).status_code == 303
            client.cookies.update(kept)
            assert (await client.get("/usage")).status_code == 303, "a cookie holds no longer after its end"
            outward = await client.get("/login?next=//evil.example/")
            assert "evil" not in outward.text
        assert token not in rater.log()


async def test_beyond_loopback_it_needs_what_the_service_needs(
    database_url: str, tmp_path: Path, tokens: TokensFile
) -> None:
    rater = ServedRater(tmp_path, {"DATABASE_URL": database_url}, "--console", "0.0.0.0:0")
    assert rater.process.wait(timeout=60) == 1
    assert "refusing to listen on 0.0.0.0:0" in rater.log()
    del tokens


async def test_with_a_certificate_it_is_encrypted_and_cookies_say_so(
    database_url: str, tmp_path: Path, tokens: TokensFile
) -> None:
    token = tokens.let_in(Right.READ)
    authority = Authority()
    certificate = authority.issue("localhost")
    files = certificate.write(tmp_path / "tls", "rater")
    options = (
        *("--console", "127.0.0.1:0", "--tokens", str(tokens.path)),
        *("--tls-cert", str(files[0]), "--tls-key", str(files[1])),
    )
    async with served_rater(tmp_path, {"DATABASE_URL": database_url}, *options) as rater:
        base = address(rater)
        assert base.startswith("https://")
        async with httpx.AsyncClient(base_url=base, verify=False, headers=HTML) as client:
            opened = await client.post("/login?next=/", data={"token": token})
            assert opened.status_code == 303
            assert opened.headers["set-cookie"].startswith("__Host-phoebe=")
            assert "Secure" in opened.headers["set-cookie"]
            assert (await client.get("/")).status_code == 200


async def test_an_address_that_is_taken_is_said(
    database_url: str, tmp_path: Path, open_console: tuple[ServedRater, str]
) -> None:
    taken = open_console[1].partition("//")[2]
    (tmp_path / "second").mkdir()
    second = ServedRater(tmp_path / "second", {"DATABASE_URL": database_url}, "--console", taken)
    assert second.process.wait(timeout=60) == 1
    assert f"can't serve the console on {taken}" in second.log()
