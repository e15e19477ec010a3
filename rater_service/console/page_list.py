"""Which pages there are, by path, and which of them stand in the navigation."""

from collections.abc import Awaitable, Callable

from rater_service.console.pages import bill, overview, price_books, requests, rollups, running, usage
from rater_service.console.view import Page, Redirect, View

type PageMaker = Callable[[View], Awaitable[Page | Redirect]]

PAGES: dict[str, PageMaker] = {
    "/": overview.overview,
    "/usage": usage.usage,
    "/bill": bill.bill,
    "/rollups": rollups.rollups,
    "/rollup": rollups.rollup,
    "/rollup-events": rollups.rollup_events,
    "/event": requests.event,
    "/search": requests.search,
    "/now": running.now,
    "/problems": running.problems,
    "/producers": running.producers,
    "/runs": running.runs,
    "/run": running.run,
    "/prices": price_books.prices,
    "/price-book": price_books.price_book,
    "/quote": price_books.quote,
}
"""Each page also has `.csv` and `.json`: `/usage.csv`, and of the overview `/overview.csv`."""
NAVIGATION = (
    ("/", "Overview"),
    ("/usage", "Usage"),
    ("/now", "Now"),
    ("/problems", "Problems"),
    ("/prices", "Prices"),
    ("/quote", "Quote"),
    ("/producers", "Producers"),
    ("/runs", "Runs"),
)
KEEP_WINDOW = frozenset({"/", "/usage", "/problems"})
"""Where the navigation leads with the window and the names of the page that it stands on."""
WINDOWED = frozenset({"/", "/usage", "/bill", "/rollups", "/problems"})
"""What is about a window, which can be changed there."""
NEED_EVENTS = frozenset({"/event", "/rollup-events"})
"""What names users, so that it takes the right `events`."""


def stem(path: str) -> str:
    """Give the path of a page's downloads, without the form."""
    return "/overview" if path == "/" else path
