"""An advisor's tokens, from the answer to the bill: through a real mitmdump and a real `phoebe serve`."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import httpx

from rater_service.audit.audit import AuditRequest, audit
from rater_service.database.database import Pool
from rater_service.hours import HOUR, hour_of
from rater_service.rating.rating import rate_window
from rater_service.rating.run import RateRequest
from tests.corpus.anthropic import message
from tests.corpus.several_models import ADVISED
from tests.e2e.conftest import IDENTITY
from tests.harness import engine as engines
from tests.harness.engine import Engine
from tests.harness.proxy import Proxy
from tests.harness.served_rater import ServedRater
from tests.harness.waiting import until_found

PRICES = """
version: 1
base_models:
  "claude-sonnet-4-6": { prompt: "0.000003", cached: "0.0000003", completion: "0.000015" }
  "claude-opus-4-7": { prompt: "0.000015", cached: "0.0000015", completion: "0.000075" }
"""
# 1,760 tokens of the executor's prompt and 412 of its cache, 531 generated; the advisor's 823 and 1,612.
EXECUTOR_COST = 1760 * Decimal("0.000003") + 412 * Decimal("0.0000003") + 531 * Decimal("0.000015")
ADVISOR_COST = 823 * Decimal("0.000015") + 1612 * Decimal("0.000075")


def ask(proxy: Proxy) -> None:
    body = {"model": "claude-sonnet-4-6", "max_tokens": 64, "messages": []}
    response = httpx.post(proxy.url + "/v1/messages", json=body, headers=IDENTITY, timeout=20)
    assert response.status_code == 200


async def test_an_advisors_tokens_are_billed_at_the_advisors_price(
    tmp_path: Path, engine: Engine, pool: Pool, database_url: str
) -> None:
    engine.script = engines.document(message(ADVISED, model="claude-sonnet-4-6").encode())
    (tmp_path / "prices.yaml").write_text(PRICES)
    async with AsyncExitStack() as stack:
        prices = ("--prices", str(tmp_path / "prices.yaml"))
        rater = ServedRater(tmp_path, {"DATABASE_URL": database_url}, *prices)
        stack.push_async_callback(asyncio.to_thread, rater.stop)
        await asyncio.to_thread(rater.wait_until_ready)
        options = {"phoebe_rater": f"127.0.0.1:{rater.port}"}
        proxy = await asyncio.to_thread(
            lambda: Proxy(tmp_path / "proxy", "--mode", f"reverse:{engine.url}", options=options)
        )
        stack.push_async_callback(asyncio.to_thread, proxy.stop)
        for _ in range(2):
            await asyncio.to_thread(ask, proxy)
        await until_found(pool, "SELECT count(*) = 4 FROM billing_event")
        assert await asyncio.to_thread(proxy.metric, "phoebe_exchanges_admitted_total") == 2

    now = datetime.now(UTC)
    run = await rate_window(pool, RateRequest(hour_of(now) - HOUR, hour_of(now) + HOUR, "a test"), now)

    assert (run.events_in_window, run.events_rated, run.anomalies) == (4, 4, ())
    rows = await pool.fetch("SELECT model_id, sum(cost) AS cost FROM rated_usage GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in rows] == [
        ("claude-opus-4-7", 2 * ADVISOR_COST),
        ("claude-sonnet-4-6", 2 * EXECUTOR_COST),
    ]
    proven = await audit(pool, AuditRequest(None, None, None), now)
    assert proven.proven, proven.findings.differences
    assert (proven.findings.events, proven.findings.part_events) == (4, 2)
