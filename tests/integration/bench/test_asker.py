"""The asker of the benchmark `resolve_price`, with a real rater: it counts only quotes."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from bench import quotes
from bench.asker import TURN_CALLS, WARM_UP_TURNS, ask, main, one_answer
from bench.echo import METHOD, Echo
from bench.errors import BenchError
from rater_service.database.database import Pool
from tests.harness.rater import Rater

pytestmark = pytest.mark.one_postgres


@pytest.fixture
async def echo() -> AsyncIterator[str]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([Echo(METHOD, b"answer")])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


async def test_both_sides_answer_every_call_with_many_books_kept(
    rater: Rater, database_url: str, pool: Pool, echo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotes, "BOOKS", 3)
    await quotes.keep_books(database_url, datetime.now(UTC))
    assert await pool.fetchval("SELECT count(*) FROM price_loading WHERE replaced_by IS NULL") == 4
    # Whatever the next full hour is, the answers stay as they are: the rater's own file is the last.
    last = await pool.fetchrow("SELECT * FROM price_loading ORDER BY number DESC LIMIT 1")
    assert last is not None
    assert last["in_force_from"] <= datetime.now(UTC) - timedelta(minutes=59)
    address = f"127.0.0.1:{rater.port}"
    # 600 + 400 + 500 tokens of a fine-tune, half dearer than its base.
    assert (await one_answer(address)).cost == "0.000660000"
    (warm_up,) = await ask(address, echo, rounds=0)
    assert warm_up.calls == WARM_UP_TURNS * TURN_CALLS
    assert min(warm_up.phoebe_s, warm_up.reference_s) > 0


async def test_a_rater_that_gives_no_quote_ends_the_benchmark(rater: Rater, echo: str) -> None:
    address = f"127.0.0.1:{rater.port}"
    with pytest.raises(grpc.aio.AioRpcError, match="no price file was ever loaded"):
        await one_answer(address)
    with pytest.raises((BenchError, grpc.aio.AioRpcError)):
        await ask(address, echo, rounds=0)


def test_an_asker_that_can_not_reach_a_side_says_so_in_one_line() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--rater=127.0.0.1:1", "--reference=127.0.0.1:1", "--rounds=1"])
    assert str(ended.value.code).startswith("asker failed: ")
    assert "\n" not in str(ended.value.code)
