"""Every page and download of the console, on a real database: what it shows, and that it adds up."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import unescape

import httpx
import pytest
from starlette.types import ASGIApp

from rater_service.bills.report import Grouping, make_report
from rater_service.bills.rollups import Selection
from rater_service.console.access import Sessions
from rater_service.console.app import Console, ConsoleSettings
from rater_service.console.guard import HEADERS
from rater_service.console.json_calls import JsonCalls
from rater_service.console.page_list import PAGES
from rater_service.events.producer_status import StatusRow
from rater_service.events.store import store_events
from rater_service.hours import hour_of, utc_text
from rater_service.service.rating import RatingReads
from rater_service.service.reads import Reads
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event

pytestmark = pytest.mark.one_postgres

NOW = HOUR + 30 * ONE_HOUR + timedelta(minutes=20)
HOSTILE = "<script>alert(1)</script>\u202e\x1b[31m=1+1&a=b?../%2F\u200f"
INSTALLATION = "00000000-0000-0000-0000-000000000001"


def application_of(ledger: Ledger, now: datetime = NOW) -> ASGIApp:
    settings = ConsoleSettings(INSTALLATION, None, secure=False, port=80)
    calls = JsonCalls(RatingReads(ledger.pool), None)
    return Console(Reads(ledger.pool), Sessions(None), settings, calls, lambda: now).application()


def client_of(ledger: Ledger, now: datetime = NOW) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application_of(ledger, now))
    return httpx.AsyncClient(transport=transport, base_url="http://console.test")


@pytest.fixture
async def client(ledger: Ledger) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(ledger) as made:
        yield made


@pytest.fixture
async def busy(ledger: Ledger) -> Ledger:
    """Two customers, hostile names, a fine-tune, usage without a price, late usage, and a running hour."""
    await ledger.store(
        make_event(auth_id="alice", user_id="ann"),
        make_event(auth_id="alice", model_id="ft:x", base_model="meta/base-b"),
        make_event(auth_id='b<i>o"b&c=d', resource_id="r/../%2F?x", model_id="meta/base-b"),
        make_event(auth_id="alice", model_id=HOSTILE),
        make_event(auth_id="alice", usage_found=False),
        make_event(HOUR + 20 * ONE_HOUR, auth_id="carol", prompt_tokens=2**53),
    )
    await ledger.load(PRICES.replace(b"0.000000200", b"0.000000900"), HOUR + ONE_HOUR)
    await ledger.rate(HOUR, HOUR + 21 * ONE_HOUR, now=NOW, by="=cmd|' /C calc'!A0")
    await ledger.store(make_event(HOUR + 25 * ONE_HOUR, auth_id="dan"))
    await ledger.store(make_event(hour_of(NOW), auth_id="alice"), make_event(hour_of(NOW), auth_id="erin"))
    status = StatusRow("spool-1", 10, 3, 1, HOUR + 24 * ONE_HOUR, stopped=False, lost_rows=0)
    await store_events(ledger.pool, [], NOW, status)
    return ledger


WINDOW = "from=2026-11-20&until=2026-11-21T17:00Z"


async def ids(ledger: Ledger) -> dict[str, str]:
    (first, *_) = await ledger.rollups()
    event = await ledger.pool.fetchval("SELECT request_id FROM billing_event WHERE user_id = 'ann'")
    book = await ledger.pool.fetchval("SELECT min(content_hash) FROM price_book")
    other = await ledger.pool.fetchval("SELECT max(content_hash) FROM price_book")
    return {"rollup": str(first["id"]), "event": str(event), "book": book, "other": other}


def addresses(known: dict[str, str]) -> list[str]:
    key = "hour=2026-11-20T10:00Z&customer=alice&resource=deployment-1&model=meta%2Fbase-a"
    return [
        f"/?{WINDOW}",
        *(f"/usage?{WINDOW}&by={by}" for by in ("customer", "day", "month", "resource,model")),
        "/usage?from=2026-11-20&until=2026-11-21&by=hour",
        f"/bill?customer=alice&{WINDOW}",
        f"/rollups?{WINDOW}",
        f"/rollup?id={known['rollup']}",
        f"/rollup?{key}",
        f"/rollup-events?{key}",
        f"/event?id={known['event']}",
        "/search?q=ali",
        "/search?q=nothing&day=2026-11-20",
        "/now",
        f"/problems?{WINDOW}",
        "/problems",
        "/producers",
        "/runs",
        "/run?id=1",
        "/prices",
        f"/price-book?hash={known['book']}",
        f"/price-book?hash={known['book']}&against={known['other']}&source=1&q=base",
        "/quote",
        "/quote?of=ft%3Ax&base=meta%2Fbase-a&prompt=100&cached=20&completion=10",
        "/quote?of=nobody%2Fknows",
    ]


async def test_every_page_answers_and_carries_its_headers(busy: Ledger, client: httpx.AsyncClient) -> None:
    known = await ids(busy)
    seen = set()
    for address in addresses(known):
        page = await client.get(address)
        assert page.status_code == 200, (address, page.text[-2000:])
        for name, value in HEADERS.items():
            assert page.headers[name] == value
        assert "<script>alert" not in page.text
        assert "\u202e" not in page.text
        assert "\x1b" not in page.text
        assert not re.search(r"<[^>]* (style|onclick|onload)=", page.text)
        assert len(page.content) < 150_000
        seen.add(address.partition("?")[0])
    assert seen == set(PAGES)


async def test_every_table_is_a_download_of_the_same_rows(busy: Ledger, client: httpx.AsyncClient) -> None:
    for address in addresses(await ids(busy)):
        page = await client.get(address)
        for link in re.findall(r'<a href="([^"]+)" download>', page.text):
            answer = await client.get(unescape(link))
            assert answer.status_code == 200, link
            assert re.fullmatch(r'attachment; filename="[\w.-]+"', answer.headers["content-disposition"])
            if ".csv" in link:
                rows = list(csv.reader(io.StringIO(answer.text, newline="")))
                assert len(rows) > 1
            else:
                assert json.loads(answer.text)["rows"]


async def test_figures_are_those_of_the_report_and_of_what_they_are_made_of(
    busy: Ledger, client: httpx.AsyncClient
) -> None:
    window = Selection(HOUR - 10 * ONE_HOUR, HOUR + 31 * ONE_HOUR)
    made = await make_report(busy.pool, window, [Grouping.CUSTOMER], None, NOW)
    told = (await client.get(f"/usage.json?{WINDOW}&by=customer")).json()
    assert [
        (row["auth_id"], row["cost"]) for row in sorted(told["rows"], key=lambda row: row["auth_id"])
    ] == [(row.names[Grouping.CUSTOMER], str(row.sums.cost)) for row in made.rows]
    assert told["total"]["cost"] == str(made.total.cost)
    for row in told["rows"]:
        customer = row["auth_id"]
        bill = (await client.get("/bill.json", params={"customer": customer, "from": "2026-11-20"})).json()
        assert bill["total"]["cost"] == row["cost"]
        assert sum(Decimal(line["cost"]) for line in bill["rows"]) == Decimal(row["cost"])
        listed = (
            await client.get("/rollups.json", params={"customer": customer, "from": "2026-11-20"})
        ).json()
        assert sum(Decimal(one["cost"]) for one in listed["rows"]) == Decimal(row["cost"])
        for one in listed["rows"]:
            charges = (await client.get(f"/rollup.json?id={one['id']}&table=charges")).json()
            assert charges["total"]["amount"] == one["cost"]
    csv_rows = list(csv.DictReader(io.StringIO((await client.get(f"/usage.csv?{WINDOW}")).text, newline="")))
    assert sum(Decimal(row["cost"]) for row in csv_rows) == made.total.cost
    overview = (await client.get(f"/overview.json?{WINDOW}&table=days")).json()
    assert overview["total"]["cost"] == str(made.total.cost)


async def test_links_of_pages_lead_to_pages(busy: Ledger, client: httpx.AsyncClient) -> None:
    todo, seen, visits = [f"/?{WINDOW}"], set(), Counter[str]()
    while todo:
        address = todo.pop(0)
        seen.add(address)
        path = address.partition("?")[0]
        visits[path] += 1
        if visits[path] > 12:
            continue
        page = await client.get(address)
        assert page.status_code in {200, 303}, (address, page.text[-800:])
        if page.headers["content-type"].startswith("text/html") and page.status_code == 200:
            found = [unescape(one).partition("#")[0] for one in re.findall(r'href="(/[^"]*)"', page.text)]
            todo += [one for one in dict.fromkeys(found) if one not in [*seen, *todo]]
    assert visits.keys() >= set(PAGES) - {"/search"}


async def test_the_way_from_a_complaint_to_the_line_of_the_price_file(
    busy: Ledger, client: httpx.AsyncClient
) -> None:
    known = await ids(busy)
    found = await client.get("/search", params={"q": known["event"]})
    assert (found.status_code, found.headers["location"]) == (303, f"/event?id={known['event']}")
    event = await client.get(found.headers["location"])
    assert "billed, 0.000023000 USD" in event.text, re.findall("verdict.*", event.text)
    (line,) = set(re.findall(r'href="([^"]*source=1[^"]*#L4)"', event.text))
    source = await client.get(unescape(line))
    assert 'id="L4"' in source.text
    assert "&#34;meta/base-a&#34;: { prompt: &#34;0.000000200&#34;" in source.text


async def test_estimates_are_marked_and_in_no_total(busy: Ledger, client: httpx.AsyncClient) -> None:
    told = (await client.get("/now.json")).json()
    assert told["estimate"] is True
    assert [row["auth_id"] for row in told["rows"]] == ["alice", "erin"]
    days = (await client.get(f"/overview.json?{WINDOW}&table=days")).json()
    assert [(row["day"], row["state"], row["estimate"]) for row in days["rows"]] == [
        ("2026-11-20", "rated", None),
        ("2026-11-21", "running day so far", "0.000237000"),
    ]
    page = (await client.get(f"/?{WINDOW}")).text
    assert "2 hours of this window with usage and no run" in page
    assert "phoebe rate --since 2026-11-21T11:00:00Z --until 2026-11-21T17:00:00Z" in page


async def test_what_is_wrong_with_a_parameter_is_said(busy: Ledger, client: httpx.AsyncClient) -> None:
    for address, fault in (
        ("/usage?by=moon", "by must be one to three of"),
        ("/usage?by=hour&month=2026-11", "by hour needs a window of at most a day"),
        ("/rollups?model=x&month=2026-11", "model alone needs a window of at most two days"),
        ("/?from=0001-01-01&until=0001-01-02", "from must be in the years 1970 to"),
        ("/?from=9999-12-01&until=9999-12-31", "from must be in the years 1970 to"),
        ("/?month=9999-12", "month must be in the years 1970 to"),
        ("/?from=0001-01-01T00:00%2B05:00", "from is not a time"),
        ("/search?q=x&day=9999-12-31", "day must be in the years"),
        ("/quote?of=a&at=0001-01-01", "at must be in the years"),
        ("/usage?order=colour", "order must be one of cost, events, name"),
        ("/?from=yesterday", "from is not a time"),
        ("/?from=2026-11-20T10:30Z", "from must be a whole UTC hour"),
        ("/?from=2026-11-20&until=2026-11-20", "until must be after from"),
        ("/?from=2000-01-01&until=2026-11-20", "at most 400 days"),
        ("/?month=2026-13", "month is not a month"),
        ("/bill", "customer is required"),
        ("/?customer=" + "x" * 300, "customer must be at most 256"),
        ("/rollup", "id is required"),
        ("/rollup?id=-1", "id must be a whole number"),
        ("/run", "id is required"),
        ("/event?id=7", "id must be a request id"),
        ("/quote?of=a&prompt=1e9", "prompt must be a whole number"),
        ("/price-book?hash=abc", "hash must be the hash"),
    ):
        page = await client.get(address)
        assert page.status_code == 400, address
        assert fault in unescape(page.text)
        assert page.headers["content-security-policy"]
    for address in (
        "/rollup?id=99",
        "/run?id=99",
        "/event?id=" + "0" * 8 + "-0000-0000-0000-" + "0" * 12,
        "/price-book?hash=0123456789",
        "/nowhere",
        "/usage.csv?table=none",
    ):
        page = await client.get(address)
        assert page.status_code == 404, address
        assert page.headers["content-security-policy"]


async def test_an_empty_installation_says_what_to_do(
    pool: Callable[..., object], client: httpx.AsyncClient
) -> None:
    del pool
    page = await client.get("/")
    assert page.status_code == 200
    assert "Nothing here yet" in page.text
    assert 'rel="next"' not in page.text
    for path in ("/runs", "/problems"):
        assert "<code>phoebe rate</code>" in (await client.get(path)).text
    for path in PAGES:
        if path not in {"/bill", "/rollup", "/rollup-events", "/event", "/run", "/price-book"}:
            assert (await client.get(path)).status_code == 200, path


async def test_downloads_for_spreadsheets_hold_no_formula(busy: Ledger, client: httpx.AsyncClient) -> None:
    plain = (await client.get("/runs.csv")).text
    safe = (await client.get("/runs.csv?spreadsheet=1")).text
    assert "=cmd|" in plain
    assert not re.search(r"(^|,)\"?[=+@-][a-z]", safe, re.MULTILINE)


async def test_pages_of_rollups_follow_each_other_and_say_when_bills_changed(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    names = [f"a{number:03}" for number in range(250)]
    await ledger.store(*(make_event(auth_id=name) for name in names))
    await ledger.rate()
    seen, address, pages = [], f"/rollups?{WINDOW}", []
    while address:
        page = (await client.get(address)).text
        pages.append(page)
        seen += re.findall(r'customer=(a\d{3})"', page)
        address = next(iter(map(unescape, re.findall(r'<a href="([^"]+)">More', page))), "")
        if len(pages) == 1:
            # Whose rollup the place was: it is a place still.
            await ledger.force("DELETE FROM rated_usage WHERE auth_id = 'a099'")
    assert (len(pages), seen) == (3, names)
    assert not any("A run has changed bills" in page for page in pages)
    await ledger.store(make_event(auth_id="later"))
    await ledger.rate()
    again = unescape(re.findall(r'<a href="([^"]+)">More', pages[0])[0])
    assert "A run has changed bills" in (await client.get(again)).text
    for bad in ("x", "e30=", "WzEsMl0="):
        assert (await client.get("/rollups", params={"after": bad})).status_code == 400
    cut = await client.get(f"/rollups.json?{WINDOW}")
    assert len(cut.json()["rows"]) == 251


async def test_the_running_hour_is_that_of_the_clock(ledger: Ledger) -> None:
    now = datetime.now(UTC)
    async with client_of(ledger, now) as client:
        assert utc_text(hour_of(now)) in (await client.get("/now")).text


async def test_reasons_are_words_on_pages_and_names_in_downloads(
    busy: Ledger, client: httpx.AsyncClient
) -> None:
    words = unescape((await client.get("/problems")).text)
    assert "usage without a price (UNPRICED)" in words
    assert "customer alice, resource deployment-1" in words
    rows = list(csv.DictReader(io.StringIO((await client.get("/problems.csv?table=last_run")).text)))
    assert "UNPRICED" in {row["reason"] for row in rows}
    for page in ("/", "/runs", "/run?id=1"):
        assert "answers without usage (MISSING_USAGE)" in (await client.get(page)).text
    (run,) = csv.DictReader(io.StringIO((await client.get("/runs.csv")).text))
    assert {"UNPRICED", "MISSING_USAGE"} <= set(run["anomalies"].split(", "))
