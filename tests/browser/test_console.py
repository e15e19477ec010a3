"""The console in a real browser: by keyboard, wide and narrow, light and dark, and quiet towards others."""

from typing import TYPE_CHECKING

import pytest

from tests.browser.addresses import addresses
from tests.harness.ledger import Ledger

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.one_postgres

WIDE, NARROW = {"width": 1400, "height": 900}, {"width": 360, "height": 740}
# What a browser computes of each text: its colour, and the first ground under it that is not transparent.
CONTRAST = """() => {
  const parse = text => text.match(/[0-9.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const part = one => (one /= 255) <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4;
    const [x, y, z] = [r, g, b].map(part);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = element => {
    for (; element; element = element.parentElement) {
      const colour = parse(getComputedStyle(element).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || element.closest("svg") || !element.checkVisibility()) continue;
    const pair = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    const [a, b] = pair.sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) faint.push(`${element.className}: ${node.textContent.trim()}`);
  }
  return faint;
}"""
NAMELESS = """() => {
  const faults = [];
  const ids = [...document.querySelectorAll("[id]")].map(one => one.id);
  if (new Set(ids).size !== ids.length) faults.push("an id that is there twice");
  if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
  for (const field of document.querySelectorAll("input:not([type=hidden]), select"))
    if (!field.labels.length) faults.push(`no label: ${field.name}`);
  for (const table of document.querySelectorAll("table"))
    if (!table.caption) faults.push("a table without a caption");
  for (const one of document.querySelectorAll("thead th:not([scope]), tbody th:not([scope])"))
    faults.push(`no scope: ${one.textContent}`);
  for (const one of document.querySelectorAll("a, button"))
    if (!(one.textContent.trim() || one.getAttribute("aria-label"))) faults.push(`no name: ${one.outerHTML}`);
  return faults;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("window", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_pages_are_whole_quiet_and_readable(
    browser: "Browser", console: str, ledger: Ledger, window: dict[str, int], scheme: str
) -> None:
    context = await browser.new_context(viewport=window, color_scheme=scheme)
    page = await context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    for address in await addresses(ledger):
        answer = await page.goto(console + address.removeprefix("/"))
        assert answer is not None
        assert answer.ok, address
        sideways = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert sideways <= 0, f"{address} scrolls sideways by {sideways} px"
        assert await page.evaluate(CONTRAST) == [], address
        assert await page.evaluate(NAMELESS) == [], address
        broken = await page.evaluate(
            "[...document.querySelectorAll('td.money, td.rate')].filter("
            "one => one.getClientRects().length > 1 || getComputedStyle(one).whiteSpace !== 'nowrap').length"
        )
        assert broken == 0, address
    assert said == [], "the browser has nothing to say: no violation of the policy, no error"
    assert all(url.startswith(console) for url in asked)
    await context.close()


async def test_a_violation_of_the_policy_would_be_seen(browser: "Browser", console: str) -> None:
    page = await browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    await page.goto(console)
    await page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: '1'}))")
    await page.wait_for_timeout(100)
    assert any("Content Security Policy" in one for one in said)


async def test_pages_are_whole_without_scripts(browser: "Browser", console: str) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{console}usage?by=day")
    assert await page.locator("svg a").count() > 0
    assert await page.locator("tbody tr").count() > 0
    await page.goto(f"{console}now")
    assert "acme" in await page.inner_text("tbody")
    await context.close()


async def test_the_running_hour_is_renewed_unless_somebody_is_in_it(browser: "Browser", console: str) -> None:
    page = await browser.new_page()
    await page.clock.install()
    await page.goto(f"{console}now")
    await page.clock.run_for(11_000)
    await page.wait_for_function("document.querySelector('[role=status]').textContent.startsWith('Updated ')")
    await page.locator(".scroll").first.focus()
    before = await page.evaluate("window.old = document.getElementById('fragment'); 1")
    await page.clock.run_for(21_000)
    assert before
    assert await page.evaluate("window.old === document.getElementById('fragment')")
