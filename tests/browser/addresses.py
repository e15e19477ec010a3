"""Where the pages are that tests look at, one of each kind."""

from rater_service.console.page_list import PAGES
from tests.harness.ledger import Ledger


async def addresses(ledger: Ledger) -> list[str]:
    """Give a path with parameters for each page, on the data of the fixture `console`."""
    row = await ledger.pool.fetchrow("SELECT * FROM rated_usage WHERE model_id = 'ft:x'")
    assert row is not None
    event = await ledger.pool.fetchval("SELECT request_id FROM billing_event WHERE user_id = 'ann'")
    hour = row["window_start"].strftime("%Y-%m-%dT%H:00Z")
    key = f"hour={hour}&customer=acme&resource=deployment-1&model=ft%3Ax"
    known = {
        "/bill": "?customer=acme",
        "/rollup": f"?id={row['id']}",
        "/rollup-events": f"?{key}",
        "/event": f"?id={event}",
        "/run": "?id=1",
        "/price-book": f"?hash={row['price_book']}&source=1",
        "/usage": "?by=day,customer",
        "/search": "?q=acme",
        "/quote": "?of=ft%3Ax&base=meta%2Fbase-b&prompt=100",
    }
    return [path + known.get(path, "") for path in PAGES]
