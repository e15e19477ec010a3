"""What answers without a page: wrong paths and methods, bugs, pages that take too long, who is let in."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import httpx
import pytest

from rater_service.console import app
from rater_service.console.access import Sessions
from rater_service.console.app import Console, ConsoleSettings
from rater_service.console.guard import HEADERS
from rater_service.console.json_calls import JsonCalls
from rater_service.console.page_list import PAGES
from rater_service.console.view import Page, View
from rater_service.database.database import Pool
from rater_service.service.access_list import AccessList, Right, new_token, parse_access_list, token_line
from rater_service.service.rating import RatingReads
from rater_service.service.reads import Reads

TOKEN = new_token()
# None of these answers needs a database.
NO_POOL = cast("Pool", None)


def client_of(access: AccessList | None = None) -> httpx.AsyncClient:
    tokens = None if access is None else lambda: access
    calls = JsonCalls(RatingReads(NO_POOL), tokens)
    settings = ConsoleSettings("an installation", None, secure=True, port=443)
    application = Console(Reads(NO_POOL), Sessions(tokens), settings, calls).application()
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="https://console.test")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of() as made:
        yield made


def assert_headers(answer: httpx.Response) -> None:
    for name, value in HEADERS.items():
        assert answer.headers[name] == value


@pytest.mark.parametrize(
    "path", ["/nowhere", "/static/none.css", "/usage/", "/%2e%2e/etc/passwd", "/usage.xml"]
)
async def test_what_is_not_there_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    assert_headers(answer)


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        ("/usage", "POST", {"GET", "HEAD"}),
        ("/usage", "OPTIONS", {"GET", "HEAD"}),
        ("/usage.csv", "DELETE", {"GET", "HEAD"}),
        ("/logout", "GET", {"POST"}),
        ("/healthz", "PUT", {"GET", "HEAD"}),
    ],
)
async def test_another_method_is_told_which_there_are(
    client: httpx.AsyncClient, path: str, method: str, allowed: set[str]
) -> None:
    answer = await client.request(method, path, headers={"origin": "https://evil.example"})
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == allowed
    assert not any(name.startswith("access-control-") for name in answer.headers)
    assert_headers(answer)


async def test_a_bug_is_no_page_and_tells_nothing(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: View) -> Page:
        raise KeyError("a secret")

    monkeypatch.setitem(PAGES, "/runs", broken)
    async with client_of() as broken_client:
        answer = await broken_client.get("/runs")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert_headers(answer)


async def test_a_page_that_takes_too_long_makes_room_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = 0

    async def slow(_: View) -> Page:
        nonlocal ended
        try:
            await asyncio.sleep(60)
        finally:
            ended += 1
        raise AssertionError

    monkeypatch.setitem(PAGES, "/runs", slow)
    monkeypatch.setattr(app, "PAGE_TIMEOUT_S", 0.02)
    async with client_of() as client:
        answers = await asyncio.gather(*(client.get("/runs") for _ in range(app.PAGES_AT_ONCE + 3)))
    assert {answer.status_code for answer in answers} == {503}
    assert all("took too long" in answer.text for answer in answers)
    assert ended >= app.PAGES_AT_ONCE


async def test_a_token_counts_in_a_header_only_and_no_answer_repeats_it() -> None:
    access = parse_access_list(token_line("ann", [Right.PRODUCE], TOKEN), "tokens")
    async with client_of(access) as client:
        for address in (f"/usage?token={TOKEN}", "/usage", "/usage.csv"):
            answer = await client.get(address, headers={"accept": "*/*"})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert_headers(answer)
        shown = await client.get("/usage", headers={"authorization": f"bearer {TOKEN}"})
        assert (shown.status_code, TOKEN in shown.text) == (403, False)
        twice = [("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {TOKEN}")]
        assert (await client.get("/usage", headers=twice)).status_code == 401
        opened = await client.post("/login", data={"token": TOKEN})
        cookie = opened.headers["set-cookie"]
        assert cookie.startswith("__Host-phoebe=")
        assert all(word in cookie for word in ("HttpOnly", "Path=/", "SameSite=strict", "Secure"))
        assert TOKEN not in cookie
        for form in ("&".join(f"a{number}=1" for number in range(50)), "token=" + "x" * 10_000, "%00=%ff"):
            headers = {"content-type": "application/x-www-form-urlencoded"}
            refused = await client.post("/login", content=form, headers=headers)
            assert refused.status_code == 403


async def test_a_head_is_a_get_without_the_body(client: httpx.AsyncClient) -> None:
    answer = await client.head("/healthz")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("query", ["x=" + "y" * 9_000, "x=%00&from=%ff", "from=&until=&month=&customer="])
async def test_a_query_of_any_kind_is_answered(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/login?{query}")
    assert answer.status_code in {200, 414}
    assert_headers(answer)
