"""The clock of the rater's machine differs from the database's: it is told, and decides no prices."""

import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from rater_service.database.clock import machine_skew
from rater_service.database.database import Pool, open_pool
from rater_service.prices.store import read_timeline
from rater_service.prices.watch import PriceWatch
from rater_service.service.metrics import Metrics
from tests.harness.ledger import ONE_HOUR, PRICES, Ledger
from tests.harness.skewed_database import skew_database

pytestmark = pytest.mark.one_postgres


@pytest.fixture
async def skewed(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Ledger]:
    """A database whose clock is so many seconds ahead."""
    await skew_database(database_url, timedelta(seconds=request.param))
    async with open_pool(database_url) as pool:
        ledger = Ledger(pool)
        await ledger.load()
        yield ledger


async def rater_skew_s(pool: Pool) -> float:
    metrics = Metrics()
    await metrics.refresh(pool)
    found = metrics.registry.get_sample_value("phoebe_rater_clock_skew_seconds")
    assert found is not None
    return found


@pytest.mark.parametrize("skewed", [2, -2], indirect=True)
async def test_what_a_network_takes_is_no_skew(skewed: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    result = await skewed.rate()
    assert "CLOCK_SKEW" not in {anomaly.reason for anomaly in result.anomalies}
    assert "clock" not in caplog.text


@pytest.mark.parametrize(("skewed", "told"), [(30, "behind"), (-30, "ahead of")], indirect=["skewed"])
async def test_more_than_five_seconds_are_warned_of(
    skewed: Ledger, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    result = await skewed.rate()
    assert "CLOCK_SKEW" not in {anomaly.reason for anomaly in result.anomalies}
    (warning,) = [record for record in caplog.records if "clock" in record.getMessage()]
    assert warning.levelno == logging.WARNING
    assert warning.getMessage().startswith("the rater's clock is ")
    assert f" s {told} the database's: set it right" in warning.getMessage()
    assert abs(abs(await rater_skew_s(skewed.pool)) - 30) < 5


@pytest.mark.parametrize(("skewed", "told"), [(90, "behind"), (-90, "ahead of")], indirect=["skewed"])
async def test_more_than_a_minute_is_named_in_runs_and_metrics(
    skewed: Ledger, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    result = await skewed.rate()
    (anomaly,) = [anomaly for anomaly in result.anomalies if anomaly.reason == "CLOCK_SKEW"]
    (offender,) = anomaly.offenders
    assert offender.detail is not None
    assert offender.detail.startswith("the rater's clock is ")
    assert offender.detail.endswith(f" s {told} the database's")
    (error,) = [record for record in caplog.records if "CLOCK_SKEW" in record.getMessage()]
    assert error.levelno == logging.ERROR
    skew = await machine_skew(skewed.pool)
    assert (skew < timedelta(0)) == (told == "behind")
    assert abs(await rater_skew_s(skewed.pool) - skew.total_seconds()) < 5


@pytest.mark.parametrize("skewed", [3 * 3600], indirect=True)
async def test_a_slow_clock_puts_no_price_file_into_force_in_the_past(
    skewed: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "prices.yaml"
    file.write_bytes(PRICES.replace(b'"0.000000200"', b'"0.000000300"'))
    await PriceWatch(skewed.pool, file, "serve:a test").load()
    async with skewed.pool.acquire() as connection:
        latest = (await read_timeline(connection)).latest
        now = await connection.fetchval("SELECT clock_timestamp()")
    assert latest is not None
    assert latest.in_force_from is not None
    assert now - ONE_HOUR < latest.loaded_at <= now < latest.in_force_from <= now + ONE_HOUR
    assert "THE CLOCK of this machine is 10800 s behind the database's, by which price files" in caplog.text
    assert "REACHES BACK" not in caplog.text
