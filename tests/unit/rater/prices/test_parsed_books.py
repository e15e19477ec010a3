"""A price file is parsed once, and nobody waits meanwhile who does not want it."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

from rater_service.prices import parsed_books
from rater_service.prices.faults import PriceFileError
from rater_service.prices.file import LoadedPriceFile, parse_price_file
from rater_service.prices.parsed_books import ParsedBooks

NOTHING = b"version: 1\n"


def price_file(number: int, models: int = 1) -> bytes:
    rates = f'{{ prompt: "0.{number:09d}", cached: "0", completion: "0" }}'
    names = "".join(f"  m{n}: {rates}\n" for n in range(models))
    return f"version: 1\nbase_models:\n{names}".encode()


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """The files that were parsed, in order."""
    files: list[bytes] = []

    def parse(content: bytes, source: str) -> LoadedPriceFile:
        assert not gc.isenabled()
        files.append(content)
        return parse_price_file(content, source)

    monkeypatch.setattr(parsed_books, "parse_price_file", parse)
    yield files
    assert gc.isenabled()


async def test_a_file_is_parsed_once_however_many_want_it(parsed: list[bytes]) -> None:
    books = ParsedBooks()
    content = price_file(1)

    first, *others = await asyncio.gather(*(books.parse(content, f"file {n}") for n in range(5)))

    assert parsed == [content]
    assert all(other is first for other in others)
    assert books.get(first.book.content_hash) is first
    assert first.book == parse_price_file(content, "").book


async def test_what_can_not_be_parsed_is_not_kept(parsed: list[bytes]) -> None:
    books = ParsedBooks()
    for _ in range(2):
        with pytest.raises(PriceFileError, match="other: 1 fault"):
            await books.parse(NOTHING, "other")
    assert parsed == [NOTHING] * 2


async def test_of_more_than_are_kept_those_not_wanted_for_longest_are_forgotten(parsed: list[bytes]) -> None:
    files = [price_file(n) for n in (1, 2, 3)]
    books = ParsedBooks(bytes_max=2 * len(files[0]))
    hashes = [(await books.parse(content, "")).book.content_hash for content in files[:2]]
    assert books.get(hashes[0])

    await books.parse(files[2], "")

    assert [books.get(known) is not None for known in hashes] == [True, False]
    await books.parse(files[1], "")
    assert parsed == [*files, files[1]]


async def test_the_last_one_is_kept_however_large_it_is() -> None:
    books = ParsedBooks(bytes_max=1)
    loaded = await books.parse(price_file(1), "")
    assert books.get(loaded.book.content_hash) is loaded


async def test_others_go_on_while_a_large_file_is_parsed() -> None:
    parsing = asyncio.create_task(ParsedBooks().parse(price_file(1, models=3000), ""))
    turns = 0
    while not parsing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10
    assert len((await parsing).book.base_models) == 3000
