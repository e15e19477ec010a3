"""A service follows its price file: what is good is taken, what is not changes nothing and is shouted."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from prometheus_client import generate_latest

from phoebe_proto.v1 import rating_pb2
from rater_service.errors import OperatorError
from rater_service.prices.pricebook import Allowed
from rater_service.prices.store import load_history
from rater_service.prices.watch import PriceWatch
from rater_service.rating.withdrawal import withdraw_loading
from rater_service.service.metrics import Metrics
from tests.harness.ledger import PRICES, Ledger
from tests.harness.rater import Rater
from tests.harness.waiting import until, until_told

pytestmark = pytest.mark.one_postgres

FORGOTTEN = PRICES.replace(
    b'  "tiny/half"', b'  "new/model": { prompt: "0.0001", cached: "0", completion: "0" }\n  "tiny/half"'
)


@asynccontextmanager
async def followed(ledger: Ledger, file: Path) -> AsyncIterator[PriceWatch]:
    watch = PriceWatch(ledger.pool, file, "serve:a test")
    await watch.load()
    following = asyncio.create_task(watch.keep_fresh())
    try:
        yield watch
    finally:
        following.cancel()
        await asyncio.wait([following])


async def books(ledger: Ledger) -> int:
    found: int = await ledger.pool.fetchval("SELECT count(*) FROM price_book")
    return found


async def until_there_are(ledger: Ledger, count: int) -> None:
    async def is_so() -> bool:
        return await books(ledger) == count

    await until_told(is_so)


async def until_logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    await until(lambda: text in caplog.text)


async def until_latest(*watches: PriceWatch, expected: tuple[bool, ...]) -> None:
    await until(lambda: tuple(watch.is_latest for watch in watches) == expected)


async def test_a_changed_file_is_loaded_without_a_restart(rater: Rater, tmp_path: Path) -> None:
    ledger, file = Ledger(rater.pool), tmp_path / "prices.yaml"
    file.write_bytes(PRICES)
    asked = rating_pb2.ResolvePriceRequest(model_id="new/model")
    async with followed(ledger, file):
        with pytest.raises(grpc.aio.AioRpcError, match="no price book prices the model"):
            await rater.rating.ResolvePrice(asked)
        file.write_bytes(FORGOTTEN)
        await until_there_are(ledger, 2)
        assert (await rater.rating.ResolvePrice(asked)).prompt_rate == "0.000100000"


async def test_a_file_that_takes_anothers_place_is_noticed(ledger: Ledger, tmp_path: Path) -> None:
    """As Kubernetes changes a mounted ConfigMap: a link turns to another folder."""
    for name, content in (("old", PRICES), ("new", FORGOTTEN)):
        (tmp_path / name).write_bytes(content)
    file, other = tmp_path / "prices.yaml", tmp_path / "other.yaml"
    file.symlink_to("old")
    other.symlink_to("new")
    async with followed(ledger, file):
        other.replace(file)
        await until_there_are(ledger, 2)


async def test_a_refused_file_changes_nothing_and_all_its_faults_are_logged_once(
    ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "prices.yaml"
    file.write_bytes(PRICES)
    async with followed(ledger, file) as watch:
        metrics = Metrics()
        metrics.follow_file("prices", lambda: watch.changes)
        assert b'phoebe_file_refused{file="prices"} 0.0' in generate_latest(metrics.registry)
        file.write_bytes(PRICES.replace(b"version: 1", b"version: 2").replace(b'"0.000000200"', b"0.2"))
        await until_logged(caplog, "what was in use stays in use")
        assert "2 faults" in caplog.text
        assert "the version must be 1" in caplog.text
        assert b'phoebe_file_refused{file="prices"} 1.0' in generate_latest(metrics.registry)
        assert await books(ledger) == 1
        file.write_bytes(FORGOTTEN)
        await until_there_are(ledger, 2)
        assert caplog.text.count("what was in use stays in use") == 1
        await until(lambda: not watch.changes.fault)


async def test_prices_that_look_like_mistakes_are_refused_until_the_file_says_that_they_are_meant(
    ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "prices.yaml"
    file.write_bytes(PRICES)
    per_million = PRICES.replace(b'"0.000000200"', b'"0.2"')
    async with followed(ledger, file) as watch:
        file.write_bytes(per_million)
        await until_logged(caplog, "what was in use stays in use: the price file is refused")
        assert "0.200000000 USD per token is 200000.000 USD per million" in caplog.text
        assert await books(ledger) == 1
        file.write_bytes(per_million + b'allow: { rates: ["meta/base-a"], changes: ["meta/base-a"] }\n')
        await until_there_are(ledger, 2)
        await until(lambda: not watch.changes.fault)


async def test_what_is_meant_can_be_said_at_the_start_and_holds_for_that_alone(
    ledger: Ledger, tmp_path: Path
) -> None:
    file = tmp_path / "prices.yaml"
    file.write_bytes(PRICES.replace(b'"0.000000200"', b'"0.000002001"'))
    watch = PriceWatch(ledger.pool, file, "serve:a test")
    with pytest.raises(OperatorError, match="more than tenfold against what is in force"):
        await watch.load()
    await watch.load(Allowed(changes=frozenset({"meta/base-a"})))
    assert await books(ledger) == 2
    # As after a crash: it was loaded last.
    await PriceWatch(ledger.pool, file, "serve:a test").load()


async def test_a_file_that_another_service_was_told_to_take_is_no_longer_refused(
    ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rater_service.prices.watch.TRY_AGAIN_S", 0.0)
    monkeypatch.setattr("phoebe_runtime.followed_files.REMIND_EVERY_S", 0.0)
    file = tmp_path / "prices.yaml"
    file.write_bytes(PRICES)
    async with followed(ledger, file) as watch:
        file.write_bytes(PRICES.replace(b'"0.000000200"', b'"0.000002001"'))
        await until_logged(caplog, "more than tenfold")
        other = PriceWatch(ledger.pool, file, "serve:another test")
        await other.load(Allowed(changes=frozenset({"meta/base-a"})))
        await until(lambda: not watch.changes.fault)
    assert caplog.text.count("what was in use stays in use") > 1


async def test_a_file_that_is_away_is_said_once_and_loaded_when_it_is_back(
    ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "prices.yaml"
    file.write_bytes(PRICES)
    async with followed(ledger, file):
        file.unlink()
        await until_logged(caplog, "No such file")
        file.write_bytes(FORGOTTEN)
        await until_there_are(ledger, 2)
        assert caplog.text.count("No such file") == 1


async def test_a_file_that_is_still_being_written_is_not_taken(ledger: Ledger, tmp_path: Path) -> None:
    """Its first half can be a price file of its own."""
    file = tmp_path / "prices.yaml"
    file.write_bytes(PRICES)
    half = FORGOTTEN[: FORGOTTEN.index(b"fine_tunes:")]
    async with followed(ledger, file):
        with file.open("wb", buffering=0) as writing:
            writing.write(half)
            # Longer than two looks, and never still for as long as one takes.
            for number in range(30):
                writing.write(f"# {number}\n".encode())
                os.fsync(writing.fileno())
                await asyncio.sleep(0.1)
            writing.write(FORGOTTEN[len(half) :])
        await until_there_are(ledger, 2)
        async with ledger.pool.acquire() as connection:
            assert await load_history(connection)
        kept = await ledger.pool.fetch("SELECT content FROM price_book")
        assert all(b"ft:own" in row["content"] for row in kept)


async def test_without_the_database_the_change_is_loaded_when_it_is_back(
    ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "prices.yaml"
    file.write_bytes(PRICES)
    async with followed(ledger, file):
        await ledger.pool.execute("ALTER TABLE price_loading RENAME TO price_loading_away")
        file.write_bytes(FORGOTTEN)
        await until_logged(caplog, 'relation "price_loading" does not exist')
        await ledger.pool.execute("ALTER TABLE price_loading_away RENAME TO price_loading")
        await until_there_are(ledger, 2)


async def test_of_two_services_with_different_files_the_last_to_load_counts_and_both_say_so(
    ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("rater_service.prices.watch.COMPARE_EVERY_S", 0.0)
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_bytes(PRICES)
    other.write_bytes(FORGOTTEN)
    async with followed(ledger, one) as first:
        assert "was loaded last: nothing to load" in caplog.text
        async with followed(ledger, other) as second:
            assert f"{other}: book" in caplog.text
            assert f"(loading 2, {other}, loaded" in caplog.text
            assert "to come: book" in caplog.text
            await until_logged(caplog, f"THE PRICE FILE {one} IS NOT WHAT WAS LOADED LAST: that is book")
            await until_latest(first, second, expected=(False, True))
            one.write_bytes(FORGOTTEN)
            await until_latest(first, second, expected=(True, True))
    assert await books(ledger) == 2
    assert caplog.text.count("IS NOT WHAT WAS LOADED LAST") == 1


async def test_another_file_that_took_this_ones_place_and_was_withdrawn_is_told_of_again(
    ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("rater_service.prices.watch.COMPARE_EVERY_S", 0.0)
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_bytes(PRICES)
    other.write_bytes(FORGOTTEN)
    async with followed(ledger, one):
        await PriceWatch(ledger.pool, other, "serve:another test").load()
        await until_logged(caplog, f"THE PRICE FILE {one} IS NOT WHAT WAS LOADED LAST")
        await withdraw_loading(ledger.pool, None, "cli:ops@host-1")
        await until_logged(caplog, f"THE PRICE FILE {one} IS NOT LOADED: book")
        other.write_bytes(PRICES)
        await PriceWatch(ledger.pool, other, "serve:another test").load()
        await until_logged(caplog, f"the price file {one} is what was loaded last again")


async def test_a_database_from_before_the_first_loading_is_told_of(
    ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rater_service.prices.watch.COMPARE_EVERY_S", 0.0)
    file = tmp_path / "prices.yaml"
    file.write_bytes(PRICES)
    async with followed(ledger, file) as watch:
        async with ledger.pool.acquire() as restored, restored.transaction():
            # As it was: what is kept can't be deleted.
            await restored.execute("SET LOCAL session_replication_role = replica")
            await restored.execute("DELETE FROM price_loading")
            await restored.execute("DELETE FROM price_book")
        await until_logged(caplog, "IS NOT LOADED: no price file is")
        assert not watch.is_latest


async def test_a_service_says_that_its_file_was_withdrawn(
    ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rater_service.prices.watch.COMPARE_EVERY_S", 0.0)
    file = tmp_path / "prices.yaml"
    file.write_bytes(FORGOTTEN)
    async with followed(ledger, file) as watch:
        await withdraw_loading(ledger.pool, None, "cli:ops@host-1")
        await until_logged(caplog, f"THE PRICE FILE {file} IS NOT LOADED: book")
        assert "by cli:ops@host-1. A price file is loaded when it changes" in caplog.text
        await until_latest(watch, expected=(False,))
        file.write_bytes(FORGOTTEN + b"# meant so\n")
        await until_latest(watch, expected=(True,))
    caplog.clear()
    await withdraw_loading(ledger.pool, None, "cli:ops@host-1")
    async with followed(ledger, file) as watch:
        assert f"THE PRICE FILE {file} IS NOT IN FORCE" in caplog.text
        assert not watch.is_latest
    assert await books(ledger) == 3


async def test_a_file_that_cannot_be_used_at_the_start_is_an_error(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="can't read the price file"):
        await PriceWatch(ledger.pool, tmp_path / "nowhere", "serve:a test").load()
