"""The calls of programs over HTTP: the same answers and errors as in gRPC, on a real database."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict, Parse
from google.protobuf.message import Message

from phoebe_proto.v1 import rating_pb2 as pb
from phoebe_proto.v1.rating_pb2_grpc import RatingServiceStub
from rater_service.console.access import Sessions
from rater_service.console.app import Console, ConsoleSettings
from rater_service.console.guard import HEADERS
from rater_service.console.json_calls import CALLS, Call, JsonCalls
from rater_service.hours import utc_text
from rater_service.service.access_list import AccessList, Right, parse_access_list
from rater_service.service.call_guard import SUFFICIENT_RIGHTS
from rater_service.service.rating import RatingReads
from rater_service.service.reads import Reads
from tests.harness.guarded_rater import TokensFile
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event
from tests.harness.rater import Rater

pytestmark = pytest.mark.one_postgres

WINDOW = f"window_start={utc_text(HOUR)}&window_end={utc_text(HOUR + ONE_HOUR)}"


def client_of(
    ledger: Ledger, access: AccessList | None = None, calls: Sequence[Call] = CALLS
) -> httpx.AsyncClient:
    tokens = None if access is None else lambda: access
    answering = JsonCalls(RatingReads(ledger.pool), tokens, calls)
    settings = ConsoleSettings("00000000-0000-0000-0000-000000000001", None, secure=False, port=80)
    application = Console(Reads(ledger.pool), Sessions(tokens), settings, answering).application()
    return httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://console.test")


@pytest.fixture
async def billed(ledger: Ledger) -> Ledger:
    await ledger.store(
        *(
            make_event(auth_id=name, model_id=model)
            for name in ("alice", "bob")
            for model in ("meta/base-a", "x")
        )
    )
    await ledger.store(make_event(auth_id="alice", model_id="meta/base-b", prompt_tokens=2**53))
    await ledger.rate()
    return ledger


@pytest.fixture
async def client(billed: Ledger) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(billed) as made:
        yield made


async def test_answers_are_those_of_grpc(billed: Ledger, client: httpx.AsyncClient, rater: Rater) -> None:
    event = str(await billed.pool.fetchval("SELECT min(request_id::text) FROM billing_event"))
    price = pb.ResolvePriceRequest(model_id="meta/base-a", prompt_tokens=100)
    wanted: dict[str, tuple[str, Message, Message]] = {
        "ResolvePrice": (
            "/v1/price?model_id=meta/base-a&prompt_tokens=100&at=2026-11-20T10:00:00Z",
            price,
            pb.ResolvePriceResponse(),
        ),
        "ListRatedUsage": (
            f"/v1/rated-usage?{WINDOW}&auth_id=alice",
            pb.ListRatedUsageRequest(auth_id="alice"),
            pb.ListRatedUsageResponse(),
        ),
        "ListEvents": (f"/v1/events?{WINDOW}", pb.ListEventsRequest(), pb.ListEventsResponse()),
        "GetEvent": (f"/v1/events/{event}", pb.GetEventRequest(request_id=event), pb.GetEventResponse()),
        "ListRuns": ("/v1/runs", pb.ListRunsRequest(), pb.ListRunsResponse()),
        "Audit": (f"/v1/audit?{WINDOW}", pb.AuditRequest(), pb.AuditResponse()),
    }
    assert wanted.keys() == {call.method for call in CALLS}
    stub = RatingServiceStub(rater.channel)
    for method, (address, request, answer) in wanted.items():
        if isinstance(request, pb.ResolvePriceRequest):
            request.at.FromDatetime(HOUR)
        if isinstance(request, pb.ListRatedUsageRequest | pb.ListEventsRequest | pb.AuditRequest):
            request.window_start.FromDatetime(HOUR)
            request.window_end.FromDatetime(HOUR + ONE_HOUR)
        page = await client.get(address)
        assert page.status_code == 200, page.text
        assert page.headers["content-type"] == "application/json"
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
        told, in_grpc = Parse(page.text, answer), await getattr(stub, method)(request)
        for one in (told, in_grpc):
            if isinstance(one, pb.AuditResponse):
                one.ClearField("audited_at")
        assert MessageToDict(told) == MessageToDict(in_grpc), method


async def test_pages_follow_each_other_until_there_is_none(client: httpx.AsyncClient) -> None:
    parameters, seen = {"page_size": "1"}, []
    while True:
        page = (await client.get("/v1/rated-usage", params=parameters)).json()
        seen += [(row["authId"], row["modelId"], row["promptTokens"]) for row in page["ratedUsage"]]
        if not page["nextPageToken"]:
            break
        parameters["page_token"] = page["nextPageToken"]
    assert seen == [
        ("alice", "meta/base-a", "100"),
        ("alice", "meta/base-b", str(2**53)),
        ("bob", "meta/base-a", "100"),
    ]


async def error_of(client: httpx.AsyncClient, address: str, method: str = "GET") -> tuple[int, str, str]:
    answer = await client.request(method, address)
    assert answer.headers["content-type"] == "application/json"
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"] == answer.status_code
    return answer.status_code, error["status"], error["details"][0]["reason"]


async def test_errors_are_those_of_grpc(client: httpx.AsyncClient) -> None:
    nobody = "00000000-0000-0000-0000-00000000ffff"
    for address, expected in {
        "/v1/price?model_id=nobody/knows": (404, "NOT_FOUND", "NO_PRICE"),
        "/v1/price": (400, "INVALID_ARGUMENT", "INVALID_REQUEST"),
        "/v1/price?model_id=a&prompt_tokens=-1": (400, "INVALID_ARGUMENT", "INVALID_REQUEST"),
        "/v1/price?model_id=%00": (400, "INVALID_ARGUMENT", "INVALID_REQUEST"),
        "/v1/rated-usage?page_size=5000": (400, "INVALID_ARGUMENT", "INVALID_REQUEST"),
        "/v1/rated-usage?page_token=abc": (400, "INVALID_ARGUMENT", "INVALID_PAGE_TOKEN"),
        "/v1/rated-usage?page_token=%00%ff": (400, "INVALID_ARGUMENT", "INVALID_PAGE_TOKEN"),
        "/v1/rated-usage?colour=red": (400, "INVALID_ARGUMENT", "INVALID_REQUEST"),
        "/v1/events": (400, "INVALID_ARGUMENT", "INVALID_WINDOW"),
        "/v1/events/7": (400, "INVALID_ARGUMENT", "INVALID_REQUEST"),
        f"/v1/events/{nobody}": (404, "NOT_FOUND", "NO_SUCH_EVENT"),
        f"/v1/events/{nobody}?request_id={nobody}": (400, "INVALID_ARGUMENT", "INVALID_REQUEST"),
        "/v1/audit?window_start=2026-11-20T10:30:00Z": (400, "INVALID_ARGUMENT", "INVALID_WINDOW"),
        "/v1/": (404, "NOT_FOUND", "NO_SUCH_METHOD"),
        "/v1/rate": (404, "NOT_FOUND", "NO_SUCH_METHOD"),
    }.items():
        assert await error_of(client, address) == expected, address
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert await error_of(client, "/v1/runs", method) == (405, "UNIMPLEMENTED", "NO_SUCH_METHOD")
    head = await client.head("/v1/runs")
    assert (head.status_code, head.text) == (200, "")


async def test_an_unexpected_error_is_logged_and_not_told(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise KeyError("a secret")

    monkeypatch.setattr("rater_service.service.rating.list_runs", broken)
    assert await error_of(client, "/v1/runs") == (500, "INTERNAL", "INTERNAL")
    assert "a secret" in caplog.text


async def test_a_call_that_takes_too_long_ends_and_its_statement_too(
    billed: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = asyncio.Event()

    async def slow(*_: object, **__: object) -> None:
        try:
            await billed.pool.execute("SELECT pg_sleep(60)")
        finally:
            ended.set()

    monkeypatch.setattr("rater_service.service.rating.list_runs", slow)
    short = Call("/v1/runs", "ListRuns", pb.ListRunsRequest, timeout_s=0.05)
    async with client_of(billed, calls=[short]) as client:
        assert await error_of(client, "/v1/runs") == (504, "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
    assert ended.is_set()
    assert not await billed.pool.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_s%' AND state = 'active'"
    )


async def test_a_token_has_the_rights_that_it_has_in_grpc(billed: Ledger, tmp_path: Path) -> None:
    tokens = TokensFile(tmp_path / "tokens")
    shown = {right: tokens.let_in(right) for right in Right}
    access = parse_access_list(tokens.path.read_text(), "tokens")
    async with client_of(billed, access) as client:
        for call in CALLS:
            address = call.path.replace("{request_id}", "7")
            allowed = SUFFICIENT_RIGHTS[f"/phoebe.v1.RatingService/{call.method}"]
            for right, token in shown.items():
                answer = await client.get(address, headers={"authorization": f"Bearer {token}"})
                assert (answer.status_code == 403) is (right not in allowed), (call, right, answer.text)
                if answer.status_code == 403:
                    assert answer.json()["error"]["details"][0]["reason"] == "RIGHT_MISSING"
            for header in (
                {},
                {"authorization": "Bearer x"},
                {"authorization": f"Basic {shown[Right.READ]}"},
            ):
                answer = await client.get(address, headers=header)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
                reason = json.loads(answer.text)["error"]["details"][0]["reason"]
                assert reason == ("TOKEN_UNKNOWN" if header else "TOKEN_MISSING")
            in_url = await client.get(address, params={"token": shown[Right.READ]})
            assert in_url.status_code == 401, "a token in a URL would be in logs"
