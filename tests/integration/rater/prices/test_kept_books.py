"""Price books are kept for ever, and those that don't matter cost nothing."""

from datetime import datetime, timedelta

import pytest

from phoebe_proto.v1 import rating_pb2 as pb
from rater_service.prices import load, parsed_books, store
from rater_service.prices.file import LoadedPriceFile, parse_price_file
from rater_service.prices.parsed_books import ParsedBooks
from rater_service.prices.store import load_history, read_timeline
from rater_service.wire_time import to_timestamp
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event
from tests.harness.rater import Rater

pytestmark = pytest.mark.one_postgres

COUNT = 40
MODEL = "meta/base-a"


class Parsed:
    """The files that a process parses which has seen none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.files: list[bytes] = []
        monkeypatch.setattr(parsed_books, "parse_price_file", self._parse)
        self.begin()

    def begin(self) -> None:
        """Begin anew."""
        fresh = ParsedBooks()
        for module in (load, store):
            self._monkeypatch.setattr(module, "PARSED_BOOKS", fresh)
        self.files.clear()

    def _parse(self, content: bytes, source: str) -> LoadedPriceFile:
        self.files.append(content)
        return parse_price_file(content, source)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Parsed:
    return Parsed(monkeypatch)


def price_file(since: datetime) -> bytes:
    return PRICES + f'effective_from: "{since:%Y-%m-%dT%H:%M:%SZ}"\n'.encode()


async def load_one_for_each_hour(ledger: Ledger) -> list[bytes]:
    """Load files that are in force from one hour after the other, the last from HOUR on."""
    starts = [HOUR - n * ONE_HOUR for n in reversed(range(COUNT))]
    files = [price_file(start) for start in starts]
    for start, content in zip(starts, files, strict=True):
        await ledger.load(content, at=start - ONE_HOUR / 2)
    return files


async def test_of_many_books_only_those_are_read_that_can_price_a_moment(
    ledger: Ledger, parsed: Parsed
) -> None:
    files = await load_one_for_each_hour(ledger)
    for since, needed in (
        (HOUR + ONE_HOUR, files[-1:]),
        (HOUR, files[-1:]),
        (HOUR - timedelta(seconds=1), files[-2:]),
        (HOUR - 5 * ONE_HOUR, files[-6:]),
        (HOUR - timedelta(days=9), [PRICES, *files]),
        (None, [PRICES, *files]),
    ):
        parsed.begin()
        async with ledger.pool.acquire() as connection:
            assert await load_history(connection, since)
            assert await load_history(connection, since)
        assert parsed.files == needed


async def test_a_book_that_never_is_in_force_is_not_read(ledger: Ledger, parsed: Parsed) -> None:
    replaced, replacing = price_file(HOUR), price_file(HOUR) + b"# again\n"
    await ledger.load(replaced, at=HOUR - timedelta(days=2))
    await ledger.load(replacing, at=HOUR - timedelta(days=1))
    parsed.begin()
    async with ledger.pool.acquire() as connection:
        assert await load_history(connection, HOUR)
    assert parsed.files == [replacing]


async def test_a_file_is_parsed_when_it_is_loaded_and_by_nobody_again(rater: Rater, parsed: Parsed) -> None:
    ledger = Ledger(rater.pool)
    await ledger.load()
    await ledger.load()
    await ledger.store(make_event())
    await ledger.rate()
    asked = pb.ResolvePriceRequest(model_id=MODEL, at=to_timestamp(HOUR))
    quotes = [await rater.rating.ResolvePrice(asked) for _ in range(3)]
    assert {quote.prompt_rate for quote in quotes} == {"0.000000200"}
    assert parsed.files == [PRICES]


async def test_books_are_listed_without_being_read(ledger: Ledger, parsed: Parsed) -> None:
    await load_one_for_each_hour(ledger)
    parsed.begin()
    async with ledger.pool.acquire() as connection:
        timeline = await read_timeline(connection)
    kept = timeline.in_turn
    assert [one.in_force_from for one in kept[1:]] == [timeline.until(one) for one in kept[:-1]]
    assert (len(kept), timeline.until(kept[-1]), parsed.files) == (COUNT + 1, None, [])


async def test_loading_a_file_reads_no_other_but_the_one_in_force(ledger: Ledger, parsed: Parsed) -> None:
    files = await load_one_for_each_hour(ledger)
    parsed.begin()
    content = price_file(HOUR + ONE_HOUR)
    assert (await ledger.load(content, HOUR)).plan is not None
    assert parsed.files == [content, files[-1]]
