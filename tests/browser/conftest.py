"""A real Chromium without a window, and a console on data of all kinds for it to look at."""

import os
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rater_service.hours import hour_of
from tests.harness.ledger import ONE_HOUR, Ledger, make_event
from tests.harness.served_rater import served_rater

if TYPE_CHECKING:
    from playwright.async_api import Browser

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
LONG = "x" * 64
HOSTILE = "<script>alert(1)</script>\u202e=1+1&a=b?../%2F\u200f" + "y" * 150


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker("browser")


@pytest.fixture
async def browser() -> AsyncIterator["Browser"]:
    playwright = pytest.importorskip("playwright.async_api", reason="Playwright: make test-console")
    if CHROMIUM is None:
        pytest.skip("this machine has no chromium (Debian: apt-get install chromium; or set CHROMIUM)")
    async with playwright.async_playwright() as started:
        # As root its sandbox can't be had.
        arguments = ["--no-sandbox"] if os.getuid() == 0 else []
        opened = await started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        await opened.close()


@pytest.fixture
async def console(ledger: Ledger, database_url: str, tmp_path: Path) -> AsyncIterator[str]:
    """The address of a console: some days of usage, hostile names, a problem, and a running hour."""
    hour = hour_of(datetime.now(UTC))
    start = hour - 60 * ONE_HOUR
    await ledger.forget_prices()
    await ledger.load(at=start - ONE_HOUR)
    await ledger.store(
        *(
            make_event(start + hours * ONE_HOUR, auth_id=name)
            for hours in range(0, 60, 7)
            for name in ("acme", LONG)
        ),
        make_event(start, auth_id="acme", model_id="ft:x", base_model="meta/base-b", user_id="ann"),
        make_event(start, auth_id="acme", model_id=HOSTILE),
        make_event(start, auth_id="acme", usage_found=False),
        make_event(hour, auth_id="acme"),
    )
    await ledger.rate(start, hour, now=hour)
    async with served_rater(tmp_path, {"DATABASE_URL": database_url}, "--console", "127.0.0.1:0") as rater:
        rater.wait_for_log("console on ")
        yield rater.log().partition("console on ")[2].split()[0]
