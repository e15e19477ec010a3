"""The console for whoever reads it: by axe-core's rules, enlarged, on the smallest screens, and on paper."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.addresses import addresses
from tests.harness.ledger import Ledger

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.one_postgres

AXE = Path(__file__).with_name("node_modules") / "axe-core" / "axe.min.js"
# 1280 px enlarged to 200 % are 640 of CSS; 320 is what WCAG asks of the narrowest (400 %).
SIZES = {"zoomed": {"width": 640, "height": 480}, "smallest": {"width": 320, "height": 640}}
# A4 between margins of a centimetre, at 96 dots an inch.
PAPER = {"width": 718, "height": 1047}
FINDINGS = """async () => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  const places = one => one.nodes.map(node => node.target).slice(0, 3).join(" ");
  return found.violations.map(one => `${one.id}: ${places(one)}`);
}"""
# What is cut off, or can only be scrolled to, is not on paper.
CUT_OFF = """() => [...document.querySelectorAll("main *")]
  .filter(one => one.checkVisibility() && getComputedStyle(one).overflowX !== "visible")
  .filter(one => one.scrollWidth > one.clientWidth + 1 && !one.closest(".hidden"))
  .map(one => `${one.tagName}.${one.className}: ${one.textContent.trim().slice(0, 60)}`)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing(browser: "Browser", console: str, ledger: Ledger, scheme: str) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not installed: make test-console, which needs npm")
    # The policy of the pages would keep axe itself out.
    context = await browser.new_context(color_scheme=scheme, bypass_csp=True)
    page = await context.new_page()
    for address in await addresses(ledger):
        await page.goto(console + address.removeprefix("/"))
        await page.add_script_tag(path=AXE)
        assert await page.evaluate(FINDINGS) == [], address
    await context.close()


@pytest.mark.parametrize("size", SIZES)
async def test_nothing_scrolls_sideways_but_tables(
    browser: "Browser", console: str, ledger: Ledger, size: str
) -> None:
    page = await browser.new_page(viewport=SIZES[size], device_scale_factor=2)
    for address in await addresses(ledger):
        await page.goto(console + address.removeprefix("/"))
        sideways = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert sideways <= 0, f"{address} scrolls sideways by {sideways} px"


async def test_a_bill_is_on_paper_with_all_its_figures(browser: "Browser", console: str) -> None:
    page = await browser.new_page(viewport=PAPER, color_scheme="dark")
    await page.goto(f"{console}bill?customer=acme")
    shown = await page.locator("main table td:not(:empty)").all_inner_texts()
    await page.emulate_media(media="print")
    assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert await page.evaluate(CUT_OFF) == []
    assert await page.locator("main table td:not(:empty)").all_inner_texts() == shown
    assert not await page.locator("nav, .search, .more").first.is_visible()
    ground = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert ground == "rgb(255, 255, 255)", "on paper everything is dark on light"
    # The window, the moment and the version are on it, so that two prints can be told apart.
    assert "Z to 20" in await page.inner_text("main")
    assert "Phoebe" in await page.inner_text("footer")
    assert (await page.pdf(format="A4")).startswith(b"%PDF")
