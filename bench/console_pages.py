"""Pages of the console on a month of bills: against SQL that adds up the same month from its rollups."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from statistics import median

import asyncpg
import httpx

from bench.billed_month import CUSTOMERS, PAIRS, BilledMonth
from bench.errors import BenchError
from bench.ratio import Pair, ratio_of
from bench.result import Result
from bench.stage import Stage
from rater_service.console.access import Sessions
from rater_service.console.app import Console, ConsoleSettings
from rater_service.console.json_calls import JsonCalls
from rater_service.console.serving import CONNECTIONS_MAX, STATEMENT_TIMEOUT_S
from rater_service.database.database import Pool, open_pool
from rater_service.hours import HOUR, utc_text
from rater_service.service.rating import RatingReads
from rater_service.service.reads import Reads

NAMES = ("console_pages",)
TIMEOUT_S = 120.0

# What the overview shows, from the rollups: the month by day, by customer and by model.
REFERENCE = """
SELECT
    date_trunc('day', window_start, 'UTC') AS day, auth_id, model_id,
    count(*) AS rollups, sum(event_count) AS events, sum(prompt_tokens) AS prompt_tokens,
    sum(cached_tokens) AS cached_tokens, sum(completion_tokens) AS completion_tokens, sum(cost) AS cost
FROM rated_usage
WHERE window_start >= $1 AND window_start < $2
GROUP BY GROUPING SETS ((1), (2), (3))
"""


def pages_of(month: BilledMonth, rollup: int) -> dict[str, str]:
    """The pages that are measured, by name: each on the whole month, unless it is about something smaller."""
    window = f"from={utc_text(month.start)}"
    day = f"from={utc_text(month.unrated_from - HOUR)}&until={utc_text(month.unrated_from)}"
    names = ("customer", "resource", "model", "day", "customer,model", "day,model")
    return {
        "overview": f"/?{window}",
        **{f"usage by {by}": f"/usage?{window}&by={by}" for by in names},
        "usage by hour, one customer": f"/usage?{window}&by=hour&customer=customer-7",
        "an hour by customer": f"/usage?{day}&by=hour,customer",
        "bill": f"/bill?{window}&customer=customer-7",
        "rollups": f"/rollups?{window}",
        "rollups of a resource": f"/rollups?{window}&resource=deployment-7",
        "rollup": f"/rollup?id={rollup}",
        "search": "/search?q=customer-77",
        "search in vain": "/search?q=nobody",
        "now": "/now",
        "problems": f"/problems?{window}",
        "producers": "/producers",
        "runs": "/runs",
        "prices": "/prices",
        "quote": "/quote?of=model-7",
    }


async def run(stage: Stage, rounds: int) -> list[Result]:
    """Measure each page as the first does who looks, and the second."""
    async with stage.database() as server:
        url = server.replace("/postgres?", "/console?")
        connection = await asyncpg.connect(server)
        try:
            await connection.execute("CREATE DATABASE console")
        finally:
            await connection.close()
        await stage.migrate(url)
        month = BilledMonth(url, datetime.now(UTC))
        stage.say(f"console  billing a month of {CUSTOMERS:,} customers")
        rollups = await month.load()
        async with open_pool(
            url, writes=False, connections_max=CONNECTIONS_MAX, command_timeout_s=STATEMENT_TIMEOUT_S
        ) as pool:
            return [await _measure(stage, pool, month, rollups, rounds)]


async def _measure(stage: Stage, pool: Pool, month: BilledMonth, rollups: int, rounds: int) -> Result:
    pages = pages_of(month, await pool.fetchval("SELECT max(id) / 2 FROM rated_usage"))
    cold: dict[str, list[float]] = {name: [] for name in pages}
    warm: dict[str, list[float]] = {name: [] for name in pages}
    pairs = []
    for number in range(rounds + 1):
        stage.say(f"console  round {number} of {rounds}" if number else "console  warming up")
        for name, address in pages.items():
            async with _console(pool) as client:
                first_ms, second_ms = [await _milliseconds(partial(_get, client, address)) for _ in range(2)]
            if number:
                cold[name].append(first_ms)
                warm[name].append(second_ms)
        reference_ms = await _milliseconds(lambda: pool.fetch(REFERENCE, month.start, month.now + HOUR))
        if number:
            pairs.append(Pair(cold["overview"][-1], reference_ms))
    for name in pages:
        stage.say(f"console  {name:<28} {median(cold[name]):7.1f} ms cold {median(warm[name]):7.1f} ms warm")
    slowest = max(pages, key=lambda name: median(cold[name]))
    note = (
        f"lower is better; {len(pairs)} rounds; the overview of a month of {CUSTOMERS:,} customers with "
        f"{PAIRS} pairs of resource and model each, {rollups:,} rollups, as the first sees it who looks; the "
        f"slowest of {len(pages)} pages is {slowest!r}, {median(cold[slowest]):.0f} ms"
    )
    reference = "SQL that adds the same up from the rollups"
    return Result(NAMES[0], ratio_of(pairs), reference, "ms", note)


def _console(pool: Pool) -> httpx.AsyncClient:
    """A console that has kept no sums yet, without a network."""
    settings = ConsoleSettings("bench", None, secure=False, port=80)
    calls = JsonCalls(RatingReads(pool), None)
    application = Console(Reads(pool), Sessions(None), settings, calls).application()
    transport = httpx.ASGITransport(application)
    return httpx.AsyncClient(transport=transport, base_url="http://console.bench", timeout=TIMEOUT_S)


async def _get(client: httpx.AsyncClient, address: str) -> None:
    answer = await client.get(address)
    if answer.status_code != 200:
        raise BenchError(f"{address} was answered with {answer.status_code}")


async def _milliseconds(work: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await work()
    return (time.perf_counter() - started) * 1000
