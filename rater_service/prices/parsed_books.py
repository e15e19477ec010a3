"""Parsed price books, by their content: each is parsed once in a process, and off the event loop."""

import asyncio
import gc
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from threading import Lock

from rater_service.prices.file import LoadedPriceFile, parse_price_file

# Of the files themselves. Parsed, a book takes about eight times as much memory. This is enough for some
# twenty books of 20,000 models each, or ten thousand of the usual size.
KEPT_BYTES_MAX = 32 * 1024 * 1024


class ParsedBooks:
    """Those parsed last. Content never changes, so that they are never out of date."""

    def __init__(self, bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._kept: OrderedDict[str, LoadedPriceFile] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()
        # One at a time: who waits for a book that is being parsed finds it parsed.
        self._parser = ThreadPoolExecutor(1, "price-file")

    def get(self, content_hash: str) -> LoadedPriceFile | None:
        """Give a book that is known by the SHA-256 of its content, in hexadecimal."""
        with self._lock:
            found = self._kept.get(content_hash)
            if found is not None:
                self._kept.move_to_end(content_hash)
            return found

    async def parse(self, content: bytes, source: str) -> LoadedPriceFile:
        """Parse a price file, if it is not known, while others go on; see `parse_price_file`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._parser, self._parse, content, source)

    def _parse(self, content: bytes, source: str) -> LoadedPriceFile:
        known = self.get(sha256(content).hexdigest())
        if known is not None:
            return known
        with _garbage_left():
            return self._keep(parse_price_file(content, source))

    def _keep(self, loaded: LoadedPriceFile) -> LoadedPriceFile:
        book = loaded.book
        with self._lock:
            self._kept[book.content_hash] = loaded
            self._bytes += len(book.content)
            while self._bytes > self._bytes_max and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= len(oldest.book.content)
        return loaded


@contextmanager
def _garbage_left() -> Iterator[None]:
    """Switch the garbage collector off meanwhile. A file becomes some hundred thousand objects, and none of
    them is garbage. Each collection would look at all of them, and stop all threads for a tenth of a second.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


PARSED_BOOKS = ParsedBooks()
"""Those of this process."""
