"""The console by keyboard alone: every stop shows, in the order of the page, and all of it can be reached."""

from typing import TYPE_CHECKING, TypedDict

import pytest

from tests.browser.addresses import addresses
from tests.harness.ledger import Ledger

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.one_postgres

WIDE = {"width": 1400, "height": 900}
# More than any page here has.
STOPS_MAX = 400
# place: where in the document; shows: a browser's outline, or, of a bar of a chart, the line around it.
FOCUS = """() => {
  const one = document.activeElement;
  const hit = one.querySelector(":scope > .hit");
  const box = one.getBoundingClientRect();
  return {
    text: (one.getAttribute("aria-label") || one.textContent).trim(),
    id: one.id,
    place: one === document.body ? -1 : [...document.querySelectorAll("*")].indexOf(one),
    shows: hit ? getComputedStyle(hit).stroke !== "none" : getComputedStyle(one).outlineStyle !== "none",
    on_screen: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
  };
}"""
REACHABLE = """() => [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")]
  .filter(one => one.type !== "hidden" && one.checkVisibility())
  .map(one => [...document.querySelectorAll("*")].indexOf(one))"""


class Focus(TypedDict):
    """What has the focus, and whether one can see it."""

    text: str
    id: str
    place: int
    shows: bool
    on_screen: bool


async def press(page: "Page", key: str = "Tab") -> Focus:
    """Press a key, and give what has the focus then."""
    await page.keyboard.press(key)
    found: Focus = await page.evaluate(FOCUS)
    return found


async def tab_to(page: "Page", text: str) -> None:
    """Press Tab until the focus is on what is called so, and see each stop on the way."""
    for _ in range(STOPS_MAX):
        stop = await press(page)
        assert stop["place"] >= 0, f"the keyboard does not reach {text!r}"
        assert stop["shows"], stop["text"]
        if stop["text"] == text:
            return
    raise AssertionError(f"the keyboard does not reach {text!r}")


async def follow(page: "Page", text: str, where: str) -> None:
    """Go to a link and open it, by keyboard."""
    await tab_to(page, text)
    await page.keyboard.press("Enter")
    await page.wait_for_url(where)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_each_stop_shows_in_the_order_of_the_page_and_none_is_left_out(
    browser: "Browser", console: str, ledger: Ledger, scheme: str
) -> None:
    context = await browser.new_context(viewport=WIDE, color_scheme=scheme)
    page = await context.new_page()
    for address in await addresses(ledger):
        await page.goto(console + address.removeprefix("/"))
        stops: list[int] = []
        # Behind the last one is the window itself, or the first one again.
        while (stop := await press(page))["place"] >= 0 and stop["place"] not in stops:
            assert stop["shows"], f"{address}: {stop['text']}"
            assert stop["on_screen"], f"{address}: {stop['text']}"
            stops.append(stop["place"])
            assert len(stops) < STOPS_MAX, f"{address} does not let the keyboard go"
        assert stops == sorted(await page.evaluate(REACHABLE)), address
    await context.close()


async def test_the_first_stop_leads_past_the_links_that_all_pages_have(
    browser: "Browser", console: str
) -> None:
    page = await browser.new_page(viewport=WIDE)
    await page.goto(f"{console}usage?by=customer")
    first = await press(page)
    assert (first["text"], first["on_screen"]) == ("Skip to the page", True)
    assert (await press(page, "Enter"))["id"] == "main"
    await press(page)
    assert await page.evaluate("document.activeElement.closest('main') !== null")


async def test_from_a_request_id_to_the_line_of_the_price_file(
    browser: "Browser", console: str, ledger: Ledger
) -> None:
    event = await ledger.pool.fetchval("SELECT request_id FROM billing_event WHERE user_id = 'ann'")
    page = await browser.new_page(viewport=WIDE)
    await page.goto(console)
    while (await press(page))["id"] != "q":
        pass
    await page.keyboard.type(str(event))
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/event?id=*")
    assert "billed" in await page.inner_text(".verdict")
    shown = page.locator("table.price tr", has_text='"meta/base-b"')
    await follow(page, await shown.locator("a").inner_text(), "**/price-book?*#L*")
    assert '"meta/base-b"' in await page.inner_text("tr:target")


async def test_from_a_customer_to_the_events_of_an_hour(browser: "Browser", console: str) -> None:
    page = await browser.new_page(viewport=WIDE)
    await page.goto(f"{console}usage?by=customer")
    await follow(page, "acme", "**/bill?*")
    await follow(page, "1", "**/rollups?*")
    await tab_to(page, "1")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/rollup?*")
    await follow(page, "List the events", "**/rollup-events?*")
    assert await page.locator("tbody tr").count() == 1
