"""Documents of an answer: parsed when they are short, skimmed when they are long or not quite JSON.

A document that comes in pieces is gathered until it is whole, and from 64 KiB on only what is read of it.
Parsing is done by a C function and takes a millisecond at most; skimming takes as long for each piece.
"""

import codecs
import json
from typing import NamedTuple

from phoebe_addon.formats.json_skimmer import JsonSkimmer, MemberSpan, Result
from phoebe_addon.formats.json_wanted import Wanted

WHOLE_BYTES_MAX = 64 * 1024
"""Documents up to here are parsed as they are."""

# Engines that write control characters into their strings are understood.
_DECODER = json.JSONDecoder(strict=False)
# Python refuses to read numbers of thousands of digits as integers.
_LONG_NUMBERS_DECODER = json.JSONDecoder(strict=False, parse_int=float)


class Document(NamedTuple):
    """A JSON document and its text."""

    value: object
    text: str


def parse(content: bytes) -> Document | None:
    """Parse JSON in UTF-8; None if it is not JSON. Bytes that are not UTF-8 are replaced."""
    text = content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace")
    for decoder in (_DECODER, _LONG_NUMBERS_DECODER):
        try:
            return Document(decoder.decode(text), text)
        except RecursionError:
            return None
        except ValueError:
            continue
    return None


class Gathering:
    """One document that comes in pieces.

    spans_lines: it is spread over several lines.
    """

    def __init__(self, wanted: Wanted, *, spans: bool = False) -> None:
        self._wanted = wanted
        self._with_spans = spans
        self._start = bytearray()
        self._skimmer: JsonSkimmer | None = None
        self._spans_lines = False

    @property
    def start(self) -> bytes | None:
        """All that came, while it is short; None: it is long."""
        return None if self._skimmer else bytes(self._start)

    @property
    def spans(self) -> list[MemberSpan] | None:
        """Where the members of a long document stand; None: that was not asked for, or they are too many."""
        return self._skimmer.spans if self._skimmer else None

    @property
    def spans_lines(self) -> bool:
        """Whether it is spread over several lines."""
        return self._spans_lines or b"\n" in self._start.strip()

    def feed(self, piece: bytes) -> bytes:
        """Take the next bytes; return those behind the end of the document, if a long one ends in them."""
        if self._skimmer is not None:
            return self._skim(self._skimmer, piece)
        self._start += piece
        return self.end_as_long() if len(self._start) > WHOLE_BYTES_MAX else b""

    def end_as_long(self) -> bytes:
        """Skim what came, although it is short; return what is behind the end of the document."""
        assert self._skimmer is None
        self._skimmer = JsonSkimmer(self._wanted, spans=self._with_spans)
        start = bytes(self._start)
        self._start.clear()
        return self._skim(self._skimmer, start)

    def take_results(self) -> list[Result]:
        """Return the results that a long document has brought, once."""
        if self._skimmer is None:
            return []
        results, self._skimmer.results = self._skimmer.results, []
        return results

    def content(self) -> bytes | None:
        """Return what is to be read of the document when all has come; None: a long one is not whole."""
        return self._skimmer.document() if self._skimmer else bytes(self._start)

    def has_begun(self) -> bool:
        """Whether a long document begins like JSON."""
        return self._skimmer is not None and self._skimmer.begun

    def is_cut(self) -> bool:
        """Whether a long document ends before its end, as far as it is JSON."""
        return self._skimmer is not None and not self._skimmer.ended and not self._skimmer.failed

    def _skim(self, skimmer: JsonSkimmer, piece: bytes) -> bytes:
        end = skimmer.feed(piece)
        self._spans_lines |= piece.find(b"\n", 0, end) >= 0
        return piece[end:]


def skimmed(content: bytes, wanted: Wanted) -> JsonSkimmer:
    """Skim a document that is there whole."""
    skimmer = JsonSkimmer(wanted)
    skimmer.feed(content)
    return skimmer


def is_cut(content: bytes, wanted: Wanted) -> bool:
    """Whether a document that is there ends before its end, as far as it is JSON."""
    skimmer = skimmed(content, wanted)
    return not skimmer.ended and not skimmer.failed
